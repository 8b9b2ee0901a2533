#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A device's registers in memory space. The device sees offsets in its own range.
public protocol MemoryHandler: AnyObject {
  /// Reads `size` bytes (1, 2, 4 or 8) at `offset`; the value is right-justified.
  func readMemory(_ offset: UInt64, size: Int) -> UInt64
  func writeMemory(_ offset: UInt64, _ value: UInt64, size: Int)
}

/// The guest-physical address space: pages of RAM and ROM with a host address, and ranges that devices answer.
///
/// The page table is flat: one word a page frame holds the host address with the permissions in its low bits,
/// so that a TLB fill is one load. It is mapped lazily, so only the part that describes real pages costs memory.
public final class PhysicalMemory {
  /// Low bits of a word of the page table.
  public enum PageBits {
    public static let readable: UInt = 1
    public static let writable: UInt = 2
    /// The page holds code that a processor has decoded: writers must tell `onCodeWrite`.
    public static let code: UInt = 4
    /// Some TLB may hold a writable entry for the page.
    public static let cachedForWriting: UInt = 8
    /// Somebody wants to know of every store to the page: writers must tell `onWatchedWrite`.
    public static let watched: UInt = 16
    /// Stores must be told of for one reason or the other.
    public static let noticed = code | watched
    public static let mask: UInt = 0xFFF
  }

  /// One range of RAM or ROM, in bus order; all RAM is one host allocation.
  public struct Block: Sendable {
    public let base: PhysicalAddress
    public let size: UInt64
    public let host: UInt
    public let isWritable: Bool
  }

  struct Range {
    var base: UInt64
    var end: UInt64
    var handler: any MemoryHandler
  }

  /// Word for each page frame; index is the physical page number below `pageCount`.
  public let pageTable: UnsafeMutablePointer<UInt>
  public let pageCount: UInt64
  @exclusivity(unchecked) public private(set) var blocks: [Block] = []
  /// Told before a device or loader writes to a page that holds decoded code.
  @exclusivity(unchecked) public var onCodeWrite: ((_ address: UInt64, _ size: Int) -> Void)?
  /// Told before anything but the accessed and dirty bits of a page walk is written to a watched page; the bytes lie on one page.
  @exclusivity(unchecked) public var onWatchedWrite: ((_ address: UInt64, _ size: Int) -> Void)?
  @exclusivity(unchecked) private var ranges: [Range] = []
  private var mappings: [(UnsafeMutableRawPointer, Int)] = []

  /// - Parameter limit: first physical address that the map does not describe (at most 2^46).
  public init(limit: UInt64) {
    pageCount = (limit &+ 4095) / 4096
    let bytes = Int(pageCount) * MemoryLayout<UInt>.stride
    let raw = Self.reserve(bytes)
    mappings.append((raw, bytes))
    pageTable = raw.bindMemory(to: UInt.self, capacity: Int(pageCount))
  }

  deinit {
    for (address, size) in mappings { munmap(address, size) }
  }

  private static func reserve(_ bytes: Int) -> UnsafeMutableRawPointer {
    let p = mmap(nil, max(bytes, 4096), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let p, p != MAP_FAILED else {
      fatalError("the host refused \(bytes) bytes of address space for guest memory")
    }
    return p
  }

  /// A zeroed table with one element for each page frame; it lives as long as this map and costs memory only where it is touched.
  public func reserveTable<T>(of type: T.Type) -> UnsafeMutablePointer<T> {
    let bytes = Int(pageCount) * MemoryLayout<T>.stride
    let raw = Self.reserve(bytes)
    mappings.append((raw, bytes))
    return raw.bindMemory(to: T.self, capacity: Int(pageCount))
  }

  /// Adds zeroed memory at `base`; both numbers are multiples of 4096. Returns its host address.
  @discardableResult
  public func addMemory(at base: PhysicalAddress, size: UInt64, writable: Bool = true) -> UnsafeMutableRawPointer {
    let host = Self.reserve(Int(size))
    mappings.append((host, Int(size)))
    // Large host pages: a guest that strides through its memory misses the host's TLB otherwise. A hint; refusal does no harm.
    #if os(Linux)
    if size >= 1 << 21 { madvise(host, Int(size), MADV_HUGEPAGE) }
    #endif
    map(host, at: base, size: size, writable: writable)
    blocks.append(Block(base: base, size: size, host: UInt(bitPattern: host), isWritable: writable))
    blocks.sort { $0.base < $1.base }
    return host
  }

  /// Makes host memory that somebody else owns (a frame buffer, an alias of RAM or ROM) visible at `base`.
  public func map(_ host: UnsafeMutableRawPointer, at base: PhysicalAddress, size: UInt64, writable: Bool) {
    let bits = PageBits.readable | (writable ? PageBits.writable : 0)
    let first = base.pageNumber
    var page: UInt64 = 0
    while page < size / pageSize, first &+ page < pageCount {
      pageTable[Int(first &+ page)] = (UInt(bitPattern: host) &+ UInt(page &* pageSize)) | bits
      page &+= 1
    }
  }

  /// Takes memory that `addMemory` put at `base` away and gives it back to the host. No processor may hold translations or decoded code of it.
  public func removeMemory(at base: PhysicalAddress) {
    guard let n = blocks.firstIndex(where: { $0.base == base }) else { return }
    let block = blocks.remove(at: n)
    unmap(at: base, size: block.size)
    guard let m = mappings.firstIndex(where: { UInt(bitPattern: $0.0) == block.host }) else { return }
    let (address, size) = mappings.remove(at: m)
    munmap(address, size)
  }

  /// Takes pages away, so that accesses go to a handler or to nothing.
  public func unmap(at base: PhysicalAddress, size: UInt64) {
    let first = base.pageNumber
    var page: UInt64 = 0
    while page < size / pageSize, first &+ page < pageCount {
      pageTable[Int(first &+ page)] = 0
      page &+= 1
    }
  }

  /// Lets `handler` answer [base, base+size) wherever no page of memory is mapped. The newest wins an overlap.
  public func addHandler(_ handler: any MemoryHandler, at base: PhysicalAddress, size: UInt64) {
    ranges.insert(Range(base: base.rawValue, end: base.rawValue &+ size, handler: handler), at: 0)
  }

  public func removeHandler(_ handler: any MemoryHandler) {
    ranges.removeAll { $0.handler === handler }
  }

  /// Word of the page table for a physical address; 0 where there is no memory.
  @inlinable @inline(__always)
  public func pageWord(_ address: UInt64) -> UInt {
    let page = address &>> 12
    return page < pageCount ? pageTable[Int(truncatingIfNeeded: page)] : 0
  }

  /// Host address of a byte of memory, or nil where a device (or nothing) answers.
  @inlinable
  public func host(_ address: UInt64, forWriting: Bool = false) -> UnsafeMutableRawPointer? {
    let word = pageWord(address)
    if word & (forWriting ? PageBits.writable : PageBits.readable) == 0 { return nil }
    return UnsafeMutableRawPointer(bitPattern: (word & ~PageBits.mask) &+ UInt(address & 0xFFF))
  }

  /// To be called before bytes of one page are written past the processors: tells those who must know.
  @inlinable @inline(__always)
  public func noteWrite(_ address: UInt64, size: Int) {
    let word = pageWord(address)
    if word & PageBits.noticed == 0 { return }
    if word & PageBits.code != 0 { onCodeWrite?(address, size) }
    if word & PageBits.watched != 0 { onWatchedWrite?(address, size) }
  }

  /// Reads `size` (1…8) bytes that do not cross a page from memory or a device; nothing answers with ones.
  public func read(_ address: UInt64, size: Int) -> UInt64 {
    if let p = host(address) {
      var v: UInt64 = 0
      withUnsafeMutableBytes(of: &v) { $0.baseAddress!.copyMemory(from: p, byteCount: size) }
      return UInt64(littleEndian: v)
    }
    for r in ranges where address >= r.base && address < r.end {
      return r.handler.readMemory(address &- r.base, size: size)
    }
    return size >= 8 ? ~0 : (1 &<< UInt64(size &* 8)) &- 1
  }

  /// Writes `size` (1…8) bytes that do not cross a page; writes to ROM and to nothing are dropped.
  public func write(_ address: UInt64, _ value: UInt64, size: Int) {
    if let p = host(address, forWriting: true) {
      noteWrite(address, size: size)
      withUnsafeBytes(of: value.littleEndian) { p.copyMemory(from: $0.baseAddress!, byteCount: size) }
      return
    }
    if pageWord(address) != 0 { return }
    for r in ranges where address >= r.base && address < r.end {
      r.handler.writeMemory(address &- r.base, value, size: size)
      return
    }
  }

  /// Copies bytes into memory, over page borders. Returns false (and stops) at the first page that is not memory.
  @discardableResult
  public func load(_ bytes: UnsafeRawBufferPointer, at address: UInt64) -> Bool {
    var done = 0
    while done < bytes.count {
      let a = address &+ UInt64(done)
      guard let p = host(a) else { return false }
      let n = min(bytes.count - done, Int(4096 - (a & 0xFFF)))
      noteWrite(a, size: n)
      p.copyMemory(from: bytes.baseAddress! + done, byteCount: n)
      done += n
    }
    return true
  }
}
