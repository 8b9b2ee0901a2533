import Platform
import XenABI

/// What a frame may be used as while its type count is not zero: a writable page is never a page table, nor a descriptor table.
public enum FrameType: UInt8, Sendable {
  case none
  case writable
  case l1, l2, l3, l4
  case segmentDescriptors

  /// 1 for L1 … 4 for L4; 0 for what is no page table.
  @inlinable public var level: Int {
    switch self {
    case .l1: 1
    case .l2: 2
    case .l3: 3
    case .l4: 4
    default: 0
    }
  }

  public static func table(level: Int) -> FrameType {
    switch level {
    case 1: .l1
    case 2: .l2
    case 3: .l3
    default: .l4
    }
  }

  /// A frame of this type has contents that were checked when it got the type.
  var isValidated: Bool { level != 0 || self == .segmentDescriptors }
}

/// Book-keeping about one frame of the machine's memory.
struct FrameInfo {
  /// Owner's domid plus one; 0 for a free frame.
  var ownerPlusOne: UInt16
  var type: FrameType
  var flags: UInt8
  /// References that keep the frame with its owner; the owner's own is one of them.
  var references: UInt32
  /// Uses as `type`.
  var typeCount: UInt32
  /// Of a page table: how often it stands in tables of its own level (a linear page table).
  var linearUses: Int32
  /// Value of the flush clock when it was given back: translations of older flushes may still map it.
  var releasedAt: UInt64

  static let pinned: UInt8 = 1
  /// The owner's reference is still there.
  static let allocated: UInt8 = 2
  /// The hypervisor's own frame that the guest may map: it never changes its type and is not freed with the domain's memory.
  static let shared: UInt8 = 4
  /// Contents of a validated type are being checked at this moment.
  static let validating: UInt8 = 8
  /// A page table below the kernel's half of a 64-bit guest's top-level table (`KernelHalf`).
  static let kernelHalf: UInt8 = 16
  /// Of a free frame: it is zero, and nobody can write to it.
  static let zero: UInt8 = 32
}

/// All frames of the machine: who owns them and what they are used as.
///
/// Frames are handed out lowest first and cost host memory only once they are touched.
final class FrameTable {
  let memory: PhysicalMemory
  private let info: UnsafeMutablePointer<FrameInfo>
  private let first: UInt64
  private let end: UInt64
  /// Frames from here on were never handed out.
  private var fresh: UInt64
  private(set) var returned: [UInt64] = []
  private(set) var freeFrames: UInt64
  /// Counts flushes, so that a frame can tell which processors may still have translations of it.
  var flushClock: UInt64 = 1

  /// - Parameters:
  ///   - first, end: frame numbers of the machine's RAM.
  init(memory: PhysicalMemory, first: UInt64, end: UInt64) {
    self.memory = memory
    self.first = first
    self.end = end
    fresh = first
    freeFrames = end - first
    info = memory.reserveTable(of: FrameInfo.self)
  }

  var totalFrames: UInt64 { end - first }
  /// Frame numbers of RAM.
  var range: Range<UInt64> { first..<end }

  /// Whether the number is one of RAM.
  @inline(__always)
  func isRAM(_ frame: MachineFrameNumber) -> Bool { frame.rawValue >= first && frame.rawValue < end }

  /// - Precondition: `isRAM`.
  @inline(__always)
  subscript(_ frame: MachineFrameNumber) -> UnsafeMutablePointer<FrameInfo> { info + Int(frame.rawValue) }

  func owner(_ frame: MachineFrameNumber) -> DomainID? {
    guard isRAM(frame) else { return nil }
    let owner = self[frame].pointee.ownerPlusOne
    return owner == 0 ? nil : DomainID(owner - 1)
  }

  /// A zeroed frame with one reference, its owner's; nil when there is no more.
  func allocate(for owner: DomainID, shared: Bool = false) -> MachineFrameNumber? {
    let number: UInt64
    if let last = returned.popLast() {
      number = last
      // Zeroed now, not when it was given back: until then a processor may have written to it by an old translation.
      if info[Int(number)].flags & FrameInfo.zero == 0 {
        contents(MachineFrameNumber(number)).initializeMemory(as: UInt8.self, repeating: 0, count: 4096)
      }
    } else if fresh < end {
      number = fresh
      fresh += 1
    } else {
      return nil
    }
    freeFrames -= 1
    let frame = MachineFrameNumber(number)
    begin(frame, owner, shared: shared)
    return frame
  }

  /// Frames in a row, from those that were never used.
  func allocateRun(_ count: UInt64, for owner: DomainID) -> MachineFrameNumber? {
    let aligned = (fresh + count - 1) & ~(count - 1)
    guard aligned + count <= end else { return nil }
    while fresh < aligned {
      info[Int(fresh)].flags = FrameInfo.zero
      returned.append(fresh)
      fresh += 1
    }
    fresh += count
    freeFrames -= count
    for n in aligned..<aligned + count { begin(MachineFrameNumber(n), owner, shared: false) }
    return MachineFrameNumber(aligned)
  }

  private func begin(_ frame: MachineFrameNumber, _ owner: DomainID, shared: Bool) {
    let p = self[frame]
    p.pointee.ownerPlusOne = owner.rawValue &+ 1
    p.pointee.flags = FrameInfo.allocated | (shared ? FrameInfo.shared : 0)
    p.pointee.references = 1
    p.pointee.linearUses = 0
    // A page that the hypervisor shares is writable for ever.
    p.pointee.type = shared ? .writable : .none
    p.pointee.typeCount = shared ? 1 : 0
  }

  /// A reference, if the frame belongs to `owner`.
  func get(_ frame: MachineFrameNumber, owner: DomainID) -> Bool {
    guard isRAM(frame) else { return false }
    let p = self[frame]
    guard p.pointee.ownerPlusOne == owner.rawValue &+ 1, p.pointee.references != 0, p.pointee.references < .max else { return false }
    p.pointee.references += 1
    return true
  }

  /// Gives a reference back; the last one frees the frame.
  func put(_ frame: MachineFrameNumber) {
    let p = self[frame]
    p.pointee.references -= 1
    if p.pointee.references != 0 { return }
    p.pointee.ownerPlusOne = 0
    p.pointee.flags = 0
    p.pointee.releasedAt = flushClock
    // The next owner finds nothing decoded from what was there.
    if memory.pageWord(frame.address) & PhysicalMemory.PageBits.code != 0 { memory.onCodeWrite?(frame.address, 4096) }
    returned.append(frame.rawValue)
    freeFrames += 1
  }

  /// Gives the host memory of free frames back: those of a domain that is gone, whose processors cannot write to them any more.
  /// - Parameter candidates: lowest first; those that are not free are left alone.
  func discard(_ candidates: [MachineFrameNumber]) {
    var n = 0
    while n < candidates.count {
      let first = candidates[n].rawValue
      var end = first
      while n < candidates.count, candidates[n].rawValue == end, self[candidates[n]].pointee.ownerPlusOne == 0 {
        end += 1
        n += 1
      }
      if end == first {
        n += 1
      } else if memory.discard(first..<end) {
        for frame in first..<end { info[Int(frame)].flags = FrameInfo.zero }
      }
    }
  }

  /// A frame gets the contents of another one, or zeros; decoded code on it is forgotten.
  func fill(_ frame: MachineFrameNumber, from source: MachineFrameNumber?) {
    memory.noteWrite(frame.address, size: 4096)
    if let source {
      contents(frame).copyMemory(from: contents(source), byteCount: 4096)
    } else {
      contents(frame).initializeMemory(as: UInt8.self, repeating: 0, count: 4096)
    }
  }

  /// Takes the owner's own reference away: the frame is free as soon as nobody uses it.
  /// - Returns: false if it was taken before.
  func release(_ frame: MachineFrameNumber) -> Bool {
    let p = self[frame]
    if p.pointee.flags & FrameInfo.allocated == 0 { return false }
    p.pointee.flags &= ~FrameInfo.allocated
    put(frame)
    return true
  }

  /// Host address of the frame's 4096 bytes. For writing to frames of guests there is `MachineMemory`.
  @inline(__always)
  func contents(_ frame: MachineFrameNumber) -> UnsafeMutableRawPointer {
    memory.host(frame.address).unsafelyUnwrapped
  }

  /// Entry `index` of a table of 8-byte entries.
  @inline(__always)
  func entry(_ frame: MachineFrameNumber, _ index: Int) -> UInt64 {
    UInt64(littleEndian: contents(frame).load(fromByteOffset: index &* 8, as: UInt64.self))
  }

  /// Writes an entry; decoded code on the frame is forgotten.
  @inline(__always)
  func setEntry(_ frame: MachineFrameNumber, _ index: Int, _ value: UInt64) {
    let address = frame.address &+ UInt64(index &* 8)
    memory.noteWrite(address, size: 8)
    contents(frame).storeBytes(of: value.littleEndian, toByteOffset: index &* 8, as: UInt64.self)
  }

  /// Bytes of RAM, with decoded code on them forgotten.
  func write(_ bytes: UnsafeRawBufferPointer, at address: UInt64) { memory.load(bytes, at: address) }
}
