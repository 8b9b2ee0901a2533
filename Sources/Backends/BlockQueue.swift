import Hypervisor
import XenABI

/// One ring of a block device that is connected, and the work it asks for.
///
/// Everything is done at once when the guest kicks the event channel, so a run can be repeated.
final class BlockQueue: EventService {
  /// Grants that are kept in use: as many as blkback keeps.
  static let maximumPersistent = 1056
  static let maximumIndirectSegments = 256

  private let domain: Domain
  private let image: any BlockImage
  private let canDiscard: Bool
  private let layout: BlockProtocol
  private let port: EventPort
  private let isPersistent: Bool
  private var ring: SharedRing
  private var persistent: [GrantReference: GrantedPage] = [:]
  private var slot: [UInt8]
  private var response: [UInt8]
  /// The bytes of one request.
  private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: maximumIndirectSegments * 4096, alignment: 4096)
  /// Told that the connection cannot go on, and why.
  private let onFailure: (String) -> Void
  /// Told what went wrong with the image; the guest only hears that a request failed.
  private let onImageError: (BlockImageError) -> Void
  /// The guest gave more to do than one turn is for.
  private(set) var hasMore = false
  private var isOpen = true

  /// - Parameter ring: its pages, writable.
  init(
    domain: Domain, image: any BlockImage, canDiscard: Bool, layout: BlockProtocol, port: EventPort, isPersistent: Bool,
    ring pages: [GrantedPage], onFailure: @escaping (String) -> Void, onImageError: @escaping (BlockImageError) -> Void
  ) throws(RingError) {
    self.domain = domain
    self.image = image
    self.canDiscard = canDiscard
    self.layout = layout
    self.port = port
    self.isPersistent = isPersistent
    self.onFailure = onFailure
    self.onImageError = onImageError
    ring = try SharedRing(pages, slotBytes: layout.slotBytes)
    slot = [UInt8](repeating: 0, count: layout.slotBytes)
    response = [UInt8](repeating: 0, count: layout.responseBytes)
    do throws(XenError) { try domain.connect(port, to: self) } catch {
      throw RingError("its event channel \(port) does not wait for a back end")
    }
  }

  deinit { buffer.deallocate() }

  func close() {
    isOpen = false
    hasMore = false
    domain.disconnect(port, from: self)
    persistent = [:]
  }

  func guestNotified(_ domain: Domain, port: EventPort) { service() }

  /// Takes requests and answers them.
  func service() {
    guard isOpen else { return }
    // A guest may write its ring by its own requests, and so have ever more of them: not all in one turn.
    var budget = 2 * ring.entries
    do throws(RingError) {
      while true {
        var count = try ring.waiting()
        if count == 0 {
          ring.askForEvent()
          count = try ring.waiting()
          if count == 0 { break }
        }
        if budget == 0 { break }
        for _ in 0..<min(count, budget) {
          budget -= 1
          serveNext()
        }
      }
      hasMore = budget == 0
      if ring.publish() { domain.raise(port, from: self) }
    } catch {
      onFailure(error.description)
    }
  }

  private func serveNext() {
    slot.withUnsafeMutableBytes { ring.copy(into: $0) }
    ring.take()
    let request = slot.withUnsafeBytes { BlockRequest($0, layout) }
    domain.hypervisor.charge(domain, ServiceCost.request)
    let status = serve(request)
    response.withUnsafeMutableBytes { layout.response(to: request, status, into: $0) }
    response.withUnsafeBytes { ring.respond($0) }
  }

  // MARK: Requests

  private struct Refused: Error {
    var status = BlockStatus.error
  }

  private func serve(_ request: BlockRequest) -> BlockStatus {
    do throws(Refused) {
      switch request.body {
      case .tooMany: throw Refused()
      case .discard(let count): try discard(request.sector, count)
      case .segments(let segments):
        guard let operation = BlockRequest.Operation(rawValue: request.operation) else { throw Refused() }
        try transfer(operation, request.sector, segments)
      case .indirect(let code, let count, let references):
        // Only plain reads and writes may have their segments elsewhere.
        guard code <= 1, let operation = BlockRequest.Operation(rawValue: code) else { throw Refused() }
        try transfer(operation, request.sector, try indirectSegments(count, references))
      }
      return .okay
    } catch {
      return error.status
    }
  }

  private func indirectSegments(_ count: Int, _ references: [GrantReference]) throws(Refused) -> [BlockSegment] {
    guard 1...Self.maximumIndirectSegments ~= count else { throw Refused() }
    var segments: [BlockSegment] = []
    var bytes = [UInt8](repeating: 0, count: 4096)
    while segments.count < count {
      let n = min(count - segments.count, BlockRequest.segmentsPerPage)
      let page = try map(references[segments.count / BlockRequest.segmentsPerPage], writable: false)
      bytes.withUnsafeMutableBytes { bytes in
        page.read(0, into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<(n * BlockSegment.bytes)]))
        for i in 0..<n { segments.append(BlockSegment(UnsafeRawPointer(bytes.baseAddress! + i * BlockSegment.bytes))) }
      }
    }
    return segments
  }

  private func transfer(_ operation: BlockRequest.Operation, _ sector: UInt64, _ segments: [BlockSegment]) throws(Refused) {
    let isRead = operation == .read
    if !isRead, !image.isWritable { throw Refused() }
    var bytes = 0
    for segment in segments {
      guard let count = segment.count else { throw Refused() }
      bytes += count
    }
    if segments.isEmpty, operation != .flush, operation != .writeBarrier { throw Refused() }
    try checkRange(sector, UInt64(bytes / sectorBytes), isEmptyAllowed: segments.isEmpty)
    // All pages first: a request is done as a whole or not at all.
    var pages: [GrantedPage] = []
    for segment in segments { pages.append(try map(segment.reference, writable: isRead)) }
    domain.hypervisor.charge(domain, UInt64(bytes) / ServiceCost.bytesPerInstruction)
    do throws(BlockImageError) {
      if operation == .flush || operation == .writeBarrier { try image.flush() }
      if isRead { try image.read(sector, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<bytes])) }
      var at = 0
      for (segment, page) in zip(segments, pages) {
        let part = UnsafeMutableRawBufferPointer(rebasing: buffer[at..<at + segment.count!])
        if isRead { page.write(segment.offset, UnsafeRawBufferPointer(part)) } else { page.read(segment.offset, into: part) }
        at += part.count
      }
      if !isRead, bytes > 0 { try image.write(sector, UnsafeRawBufferPointer(rebasing: buffer[..<bytes])) }
      if operation == .writeBarrier { try image.flush() }
    } catch {
      onImageError(error)
      throw Refused()
    }
  }

  private func discard(_ sector: UInt64, _ count: UInt64) throws(Refused) {
    guard canDiscard else { throw Refused(status: .notSupported) }
    try checkRange(sector, count, isEmptyAllowed: false)
    do throws(BlockImageError) { try image.discard(sector, count: count) } catch {
      onImageError(error)
      throw Refused()
    }
  }

  /// Sectors must lie within the disk.
  private func checkRange(_ sector: UInt64, _ count: UInt64, isEmptyAllowed: Bool) throws(Refused) {
    if count == 0, isEmptyAllowed { return }
    let (end, overflow) = sector.addingReportingOverflow(count)
    guard count > 0, !overflow, end <= image.sectors else { throw Refused() }
  }

  /// A page of the guest's. A front end that keeps its grants grants for reading and writing.
  private func map(_ reference: GrantReference, writable: Bool) throws(Refused) -> GrantedPage {
    if let page = persistent[reference] { return page }
    do throws(XenError) {
      guard isPersistent, persistent.count < Self.maximumPersistent else { return try domain.map(reference, writable: writable) }
      let page: GrantedPage
      do throws(XenError) {
        page = try domain.map(reference, writable: true)
      } catch {
        return try domain.map(reference, writable: writable)
      }
      persistent[reference] = page
      return page
    } catch {
      throw Refused()
    }
  }
}
