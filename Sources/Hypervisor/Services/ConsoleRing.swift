import XenABI

/// The console of a domain: a page with two rings of bytes (xen/include/public/io/console.h). The guest may write anything there.
public final class ConsoleRing: EventService {
  private enum Field {
    static let input = 0
    static let output = 1024
    static let inputConsumer = 3072
    static let inputProducer = 3076
    static let outputConsumer = 3080
    static let outputProducer = 3084
  }
  static let inputBytes: UInt32 = 1024
  static let outputBytes: UInt32 = 2048

  private let domain: Domain
  private let page: UnsafeMutableRawPointer
  let port: EventPort
  /// What did not fit into the ring yet.
  private var waiting: [UInt8] = []
  /// Told of what the guest writes.
  public var onOutput: (([UInt8]) -> Void)?

  init(domain: Domain, page: UnsafeMutableRawPointer, port: EventPort) {
    self.domain = domain
    self.page = page
    self.port = port
  }

  private func word(_ field: Int) -> UInt32 { UInt32(littleEndian: page.load(fromByteOffset: field, as: UInt32.self)) }
  private func set(_ field: Int, _ value: UInt32) { page.storeBytes(of: value.littleEndian, toByteOffset: field, as: UInt32.self) }

  public func guestNotified(_ domain: Domain, port: EventPort) {
    drain()
    fill()
  }

  /// Takes what the guest has written.
  public func drain() {
    let consumer = word(Field.outputConsumer)
    var count = word(Field.outputProducer) &- consumer
    // More than the ring holds is a guest's mistake: it gets a new beginning.
    if count > Self.outputBytes { count = 0 }
    if count > 0 {
      let bytes = (0..<count).map { page.load(fromByteOffset: Field.output + Int((consumer &+ $0) & (Self.outputBytes - 1)), as: UInt8.self) }
      onOutput?(bytes)
    }
    let new = word(Field.outputProducer)
    if new != consumer {
      set(Field.outputConsumer, count == 0 ? new : consumer &+ count)
      domain.raise(port, from: self)
    }
  }

  /// Bytes of input that did not fit yet.
  public var backlog: Int { waiting.count }

  /// Input for the guest.
  public func type(_ bytes: [UInt8]) {
    waiting += bytes
    fill()
  }

  private func fill() {
    if waiting.isEmpty { return }
    let consumer = word(Field.inputConsumer)
    var producer = word(Field.inputProducer)
    var room = Self.inputBytes &- (producer &- consumer)
    if room > Self.inputBytes { room = 0 }
    let n = min(Int(room), waiting.count)
    for byte in waiting.prefix(n) {
      page.storeBytes(of: byte, toByteOffset: Field.input + Int(producer & (Self.inputBytes - 1)), as: UInt8.self)
      producer &+= 1
    }
    waiting.removeFirst(n)
    set(Field.inputProducer, producer)
    if n > 0 { domain.raise(port, from: self) }
  }
}
