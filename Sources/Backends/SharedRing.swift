import Hypervisor
import XenABI

/// What guests pay for the work of back ends, in instructions: about the time that it takes the host, so that nobody gets more of that by
/// rings than by programs.
enum ServiceCost {
  static let request: UInt64 = 2000
  static let bytesPerInstruction: UInt64 = 4
}

/// What a front end did that a ring cannot go on from.
struct RingError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// The back end's view of a ring of requests and responses in pages that a front end has granted (xen/include/public/io/ring.h).
///
/// { req_prod u32, req_event u32, rsp_prod u32, rsp_event u32 }, slots from byte 64 on. Indices run freely, modulo 2³²; a response takes the
/// slot of a request that was taken before. The guest's indices are read once for each turn, and its requests are copied before they are
/// looked at.
struct SharedRing {
  private enum Field {
    static let requestProducer = 0
    static let requestEvent = 4
    static let responseProducer = 8
    static let responseEvent = 12
    static let slots = 64
  }

  private let pages: [GrantedPage]
  private let slotBytes: Int
  /// Slots; a power of two.
  let entries: UInt32
  /// Next request to take.
  private(set) var consumer: UInt32
  /// Next response to give, and what the front end knows of that.
  private var producer: UInt32
  private var published: UInt32

  /// - Parameter pages: writable, one at least.
  init(_ pages: [GrantedPage], slotBytes: Int) throws(RingError) {
    self.pages = pages
    self.slotBytes = slotBytes
    entries = Self.entries(pages: pages.count, slotBytes: slotBytes)
    // A front end that kept its ring goes on where its back end was.
    producer = pages[0].word(Field.responseProducer)
    consumer = producer
    published = producer
    _ = try waiting()
  }

  static func entries(pages: Int, slotBytes: Int) -> UInt32 {
    let n = UInt32((pages * GrantedPage.bytes - Field.slots) / slotBytes)
    return 1 << (31 - UInt32(n.leadingZeroBitCount))
  }

  /// Requests that are there and not taken yet.
  func waiting() throws(RingError) -> UInt32 {
    let count = pages[0].word(Field.requestProducer) &- consumer
    guard count <= entries else { throw RingError("its ring says that \(count) requests wait, of \(entries) at most") }
    return count
  }

  /// Copies the next request but `ahead`.
  func copy(_ ahead: UInt32 = 0, into target: UnsafeMutableRawBufferPointer) {
    each(consumer &+ ahead, target.count) { page, offset, range in
      page.read(offset, into: UnsafeMutableRawBufferPointer(rebasing: target[range]))
    }
  }

  mutating func take(_ count: UInt32 = 1) { consumer &+= count }

  /// Puts a response; the front end sees it after `publish`.
  mutating func respond(_ response: UnsafeRawBufferPointer) {
    each(producer, response.count) { page, offset, range in
      page.write(offset, UnsafeRawBufferPointer(rebasing: response[range]))
    }
    producer &+= 1
  }

  /// Shows the front end all responses.
  /// - Returns: whether it wants to be told.
  mutating func publish() -> Bool {
    if producer == published { return false }
    let old = published
    published = producer
    set(Field.responseProducer, producer)
    return producer &- pages[0].word(Field.responseEvent) < producer &- old
  }

  /// Asks to be told of the next request. Whoever asks looks once more afterwards.
  func askForEvent(after count: UInt32 = 1) { set(Field.requestEvent, consumer &+ count) }

  private func set(_ field: Int, _ value: UInt32) {
    withUnsafeBytes(of: value.littleEndian) { pages[0].write(field, $0) }
  }

  /// The parts of a slot, which may cross a border of pages.
  private func each(_ index: UInt32, _ count: Int, _ body: (GrantedPage, Int, Range<Int>) -> Void) {
    var at = Field.slots + Int(index & (entries - 1)) * slotBytes
    var done = 0
    while done < count {
      let offset = at % GrantedPage.bytes
      let n = min(count - done, GrantedPage.bytes - offset)
      body(pages[at / GrantedPage.bytes], offset, done..<done + n)
      done += n
      at += n
    }
  }
}
