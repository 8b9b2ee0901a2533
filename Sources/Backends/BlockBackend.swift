import Hypervisor
import XenABI

/// The back end of a virtual disk (xen/include/public/io/blkif.h).
///
/// Rings of up to 16 pages, up to four of them, in the layouts of 64-bit and 32-bit guests; persistent grants, indirect segments, flush,
/// write barriers, discard.
///
/// Not modelled: large sectors (all disks have 512-byte sectors), secure discard, resizing, and the time a disk takes: requests are done at once.
public final class BlockBackend: BackendDriver {
  private static let maximumRingOrder = 4
  private static let maximumQueues = 4

  private let domain: Domain
  private let image: any BlockImage
  private let isCDROM: Bool
  private let offersDiscard: Bool
  private var queues: [BlockQueue] = []
  /// Told that the connection cannot go on, and why.
  public var onFailure: ((String) -> Void)?
  /// Told the first time that the image cannot be read or written, and why.
  public var onImageError: ((BlockImageError) -> Void)?

  /// - Parameter discard: whether the guest may give sectors back, where the image can take them.
  public init(domain: Domain, image: any BlockImage, isCDROM: Bool = false, discard: Bool = true) {
    self.domain = domain
    self.image = image
    self.isCDROM = isCDROM
    offersDiscard = discard && image.canDiscard && image.isWritable
  }

  public var features: [(key: String, value: String)] {
    [
      ("max-ring-page-order", "\(Self.maximumRingOrder)"), ("multi-queue-max-queues", "\(Self.maximumQueues)"),
      ("feature-persistent", "1"), ("feature-max-indirect-segments", "\(BlockQueue.maximumIndirectSegments)"),
      ("feature-flush-cache", "1"), ("feature-barrier", "1"), ("feature-discard", offersDiscard ? "1" : "0"),
    ] + (offersDiscard ? [("discard-granularity", "4096"), ("discard-alignment", "0"), ("discard-secure", "0")] : [])
  }

  public func connect(_ frontend: FrontendNodes) throws(BackendError) -> [(key: String, value: String)] {
    disconnect()
    let layout = try Self.layout(frontend, domain)
    let count = frontend.number("multi-queue-num-queues") ?? 1
    guard 1...UInt32(Self.maximumQueues) ~= count else { throw BackendError("the front end wants \(count) queues, of \(Self.maximumQueues) at most") }
    let order = try Self.ringOrder(frontend)
    do throws(BackendError) {
      for n in 0..<count {
        let prefix = count == 1 ? "" : "queue-\(n)/"
        var pages: [GrantedPage] = []
        for i in 0..<1 << (order ?? 0) {
          let key = "\(prefix)ring-ref\(order == nil ? "" : "\(i)")"
          pages.append(try Self.ringPage(domain, try frontend.required(key), key))
        }
        let port = try frontend.required("\(prefix)event-channel")
        do throws(RingError) {
          queues.append(
            try BlockQueue(
              domain: domain, image: image, canDiscard: offersDiscard, layout: layout, port: port,
              isPersistent: frontend.flag("feature-persistent"), ring: pages, onFailure: { [weak self] in self?.onFailure?($0) },
              onImageError: { [weak self] in self?.complain($0) }))
        } catch {
          throw BackendError(error.description)
        }
      }
    } catch {
      disconnect()
      throw error
    }
    let info = (isCDROM ? 1 : 0) | (image.isWritable ? 0 : 4)
    return [("sectors", "\(image.sectors)"), ("info", "\(info)"), ("sector-size", "512"), ("physical-sector-size", "512")]
  }

  private func complain(_ error: BlockImageError) {
    onImageError?(error)
    onImageError = nil
  }

  public func disconnect() {
    for queue in queues { queue.close() }
    queues = []
  }

  public func service() {
    for queue in queues where queue.hasMore { queue.service() }
  }

  /// Whether there is work that no event will announce.
  public var hasMore: Bool { queues.contains { $0.hasMore } }

  private static func layout(_ frontend: FrontendNodes, _ domain: Domain) throws(BackendError) -> BlockProtocol {
    // A guest that does not say uses what is natural to it.
    guard let name = frontend.text("protocol") else { return domain.isCompat ? .compat : .wide }
    guard let layout = BlockProtocol(rawValue: name) else { throw BackendError("the front end's protocol is not known") }
    return layout
  }

  /// Nil where the ring is one page, named without a number.
  private static func ringOrder(_ frontend: FrontendNodes) throws(BackendError) -> Int? {
    if let order = frontend.number("ring-page-order") {
      guard order <= UInt32(maximumRingOrder) else { throw BackendError("the front end's ring is too large") }
      return Int(order)
    }
    return nil
  }

  static func ringPage(_ domain: Domain, _ reference: GrantReference, _ key: String) throws(BackendError) -> GrantedPage {
    do throws(XenError) { return try domain.map(reference, writable: true) } catch {
      throw BackendError("\(key) \(reference) is no grant of a writable page")
    }
  }
}
