import XenABI

/// How requests and responses lie in a ring's slots: 64-bit fields have another alignment for 32-bit guests.
enum BlockProtocol: String {
  case wide = "x86_64-abi"
  case compat = "x86_32-abi"

  var slotBytes: Int { self == .wide ? 112 : 108 }
  var responseBytes: Int { self == .wide ? 16 : 12 }
  /// Offset of `id`; `sector_number` is 8 bytes behind it, and what depends on the operation 16.
  fileprivate var id: Int { self == .wide ? 8 : 4 }
}

/// A part of a page that is read or written.
struct BlockSegment: Equatable {
  var reference: GrantReference
  /// First and last sector within the page.
  var first: UInt8
  var last: UInt8

  static let bytes = 8

  /// { gref u32, first_sect u8, last_sect u8 }
  init(_ p: UnsafeRawPointer) {
    reference = UInt32(littleEndian: p.loadUnaligned(as: UInt32.self))
    first = p.load(fromByteOffset: 4, as: UInt8.self)
    last = p.load(fromByteOffset: 5, as: UInt8.self)
  }

  /// Bytes; nil where that is no part of a page.
  var count: Int? { first <= last && last < 8 ? (Int(last) - Int(first) + 1) * sectorBytes : nil }
  var offset: Int { Int(first) * sectorBytes }
}

/// A request as a guest put it into a ring: nothing in it is checked.
///
/// Source: xen/include/public/io/blkif.h.
struct BlockRequest {
  enum Operation: UInt8 {
    case read = 0
    case write = 1
    case writeBarrier = 2
    case flush = 3
    case discard = 5
    case indirect = 6
  }

  enum Body {
    case segments([BlockSegment])
    /// Too many segments for a request.
    case tooMany
    case discard(sectors: UInt64)
    /// Segments stand in other pages.
    case indirect(operation: UInt8, count: Int, references: [GrantReference])
  }

  static let maximumSegments = 11
  static let maximumIndirectPages = 8
  static let segmentsPerPage = 4096 / BlockSegment.bytes

  var operation: UInt8
  var id: UInt64
  var sector: UInt64
  var body: Body

  /// What a response names: of an indirect request, the operation that it stands for (blkback and blkfront agree on that, blkif.h does not say).
  var answeredOperation: UInt8 {
    if case .indirect(let operation, _, _) = body { operation } else { operation }
  }

  /// - Parameter slot: a copy of the whole slot.
  init(_ slot: UnsafeRawBufferPointer, _ layout: BlockProtocol) {
    let p = slot.baseAddress!
    operation = slot[0]
    id = UInt64(littleEndian: p.loadUnaligned(fromByteOffset: layout.id, as: UInt64.self))
    sector = UInt64(littleEndian: p.loadUnaligned(fromByteOffset: layout.id + 8, as: UInt64.self))
    let rest = p + layout.id + 16
    switch Operation(rawValue: operation) {
    case .discard:
      body = .discard(sectors: UInt64(littleEndian: rest.loadUnaligned(as: UInt64.self)))
    case .indirect:
      // { handle u16, pad u16, indirect_grefs[8] u32 }
      let references = (0..<Self.maximumIndirectPages).map {
        UInt32(littleEndian: rest.loadUnaligned(fromByteOffset: 4 + $0 * 4, as: UInt32.self))
      }
      body = .indirect(operation: slot[1], count: Int(slot[2]) | Int(slot[3]) << 8, references: references)
    default:
      let count = Int(slot[1])
      body = count > Self.maximumSegments ? .tooMany : .segments((0..<count).map { BlockSegment(rest + $0 * BlockSegment.bytes) })
    }
  }
}

/// BLKIF_RSP_*
enum BlockStatus: Int16 {
  case okay = 0
  case error = -1
  case notSupported = -2
}

extension BlockProtocol {
  /// { id u64, operation u8, status s16 }
  func response(to request: BlockRequest, _ status: BlockStatus, into slot: UnsafeMutableRawBufferPointer) {
    slot.initializeMemory(as: UInt8.self, repeating: 0)
    slot.storeBytes(of: request.id.littleEndian, toByteOffset: 0, as: UInt64.self)
    slot.storeBytes(of: request.answeredOperation, toByteOffset: 8, as: UInt8.self)
    slot.storeBytes(of: status.rawValue.littleEndian, toByteOffset: 10, as: Int16.self)
  }
}
