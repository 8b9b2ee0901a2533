import Platform
import X86Decoder

/// The decoded operations of one page of code in one mode: where in the page blocks begin.
public struct CodePage {
  public let physicalPage: UInt64
  /// What decoding depended on: mode, base and limit of CS.
  public let key: CodeKey
  public var next: UnsafeMutablePointer<CodePage>?
  /// Open-addressed table of block starts: pointer << 16 | offset + 1; 0 is empty.
  @usableFromInline var table: UnsafeMutablePointer<UInt64>
  @usableFromInline var mask: Int
  var used: Int

  @inlinable @inline(__always)
  public func find(_ offset: UInt64) -> OperationPointer? {
    var i = Int(offset) & mask
    while true {
      let e = table[i]
      if e == 0 { return nil }
      if e & 0xFFFF == offset &+ 1 { return OperationPointer(bitPattern: UInt(e &>> 16)) }
      i = (i &+ 1) & mask
    }
  }

  /// Forgets all blocks.
  mutating func clear() {
    if mask >= 128 {
      table.deallocate()
      table = .allocate(capacity: 32)
      mask = 31
    }
    table.update(repeating: 0, count: mask + 1)
    used = 0
  }

  mutating func insert(_ offset: UInt64, _ operation: OperationPointer) {
    if used &* 2 >= mask { grow() }
    place((UInt64(UInt(bitPattern: operation)) &<< 16) | (offset &+ 1))
    used &+= 1
  }

  private func place(_ entry: UInt64) {
    var i = Int((entry & 0xFFFF) &- 1) & mask
    while table[i] != 0 { i = (i &+ 1) & mask }
    table[i] = entry
  }

  private mutating func grow() {
    let old = table
    let count = mask + 1
    table = .allocate(capacity: count * 4)
    table.initialize(repeating: 0, count: count * 4)
    mask = count * 4 - 1
    for i in 0..<count where old[i] != 0 { place(old[i]) }
    old.deallocate()
  }
}

public struct CodeKey: Equatable {
  public var modeKey: UInt16
  public var csBase: UInt32
  public var csLimit: UInt32

  @inlinable public init(modeKey: UInt16, csBase: UInt32, csLimit: UInt32) {
    self.modeKey = modeKey
    self.csBase = csBase
    self.csLimit = csLimit
  }
}

/// What the machine's processors share of decoded code: pages by physical address and an arena of operations. It also keeps their
/// fast stores away from pages that somebody watches.
///
/// A page that holds decoded code has no writable TLB entry and a mark in the physical page table, so writers come here first
/// (`noteWrite`). Operations are never freed one by one: a dropped page leaves its operations unreachable, and a
/// full arena drops everything. Dropping changes every processor's jump stamp, which makes all cached jumps between pages stale at once.
public final class CodeCache {
  public let memory: PhysicalMemory
  @exclusivity(unchecked) private var processors: [CPU] = []

  /// First `CodePage` of a physical page as an address, by page number; allocated lazily by the host.
  private let pages: UnsafeMutablePointer<UInt>
  /// By page number: granules of 64 bytes that hold decoded bytes, and writes that missed them.
  private let granules: UnsafeMutablePointer<UInt64>
  private let quietWrites: UnsafeMutablePointer<UInt32>
  /// By page number: what TLBs hold the page for writing.
  let writers: UnsafeMutablePointer<TLBWriters>
  /// Pages that were ever marked, and which those are.
  @exclusivity(unchecked) private var markedPages: [UInt64] = []
  private let wasMarked: UnsafeMutablePointer<Bool>

  /// Arena of 32-byte slots, in chunks.
  public static let chunkSlots = 32768
  public static let maximumChunks = 40
  @exclusivity(unchecked) private var chunks: [OperationPointer] = []
  @exclusivity(unchecked) private var chunk = 0
  @exclusivity(unchecked) private var slot = 0
  /// Goes up when all operations were dropped; who holds operation pointers over a look-up compares it.
  @exclusivity(unchecked) public private(set) var epoch: UInt64 = 0

  @exclusivity(unchecked) public private(set) var blocksDecoded: UInt64 = 0

  public init(memory: PhysicalMemory) {
    self.memory = memory
    pages = memory.reserveTable(of: UInt.self)
    granules = memory.reserveTable(of: UInt64.self)
    quietWrites = memory.reserveTable(of: UInt32.self)
    writers = memory.reserveTable(of: TLBWriters.self)
    wasMarked = memory.reserveTable(of: Bool.self)
    memory.onCodeWrite = { [unowned self] address, size in _ = noteWrite(address, size: size) }
  }

  deinit {
    dropAll()
    for c in chunks { c.deallocate() }
  }

  public func add(_ cpu: CPU) { processors.append(cpu) }
  public func remove(_ cpu: CPU) { processors.removeAll { $0.s == cpu.s } }

  // MARK: Pages

  public func page(_ physicalPage: UInt64, key: CodeKey) -> UnsafeMutablePointer<CodePage>? {
    var p = UnsafeMutablePointer<CodePage>(bitPattern: pages[Int(physicalPage)])
    while let page = p {
      if page.pointee.key == key { return page }
      p = page.pointee.next
    }
    return nil
  }

  /// The record of a page, made and marked if need be. The page is memory.
  public func makePage(_ physicalPage: UInt64, key: CodeKey) -> UnsafeMutablePointer<CodePage> {
    if let p = page(physicalPage, key: key) { return p }
    let first = UnsafeMutablePointer<CodePage>(bitPattern: pages[Int(physicalPage)])
    if first == nil {
      let n = Int(physicalPage)
      if !wasMarked[n] {
        wasMarked[n] = true
        markedPages.append(physicalPage)
      }
      granules[n] = 0
      quietWrites[n] = 0
      protect(n, PhysicalMemory.PageBits.code)
    }
    let p = UnsafeMutablePointer<CodePage>.allocate(capacity: 1)
    let table = UnsafeMutablePointer<UInt64>.allocate(capacity: 32)
    table.initialize(repeating: 0, count: 32)
    p.initialize(to: CodePage(physicalPage: physicalPage, key: key, next: first, table: table, mask: 31, used: 0))
    pages[Int(physicalPage)] = UInt(bitPattern: p)
    return p
  }

  /// Marks a page in the physical page table so that stores to it leave the fast path.
  private func protect(_ page: Int, _ mark: UInt) {
    memory.pageTable[page] |= mark
    dropWriters(UInt64(page))
  }

  /// Takes every translation from the processors by which they could store to a page of memory.
  /// - Returns: how many places of TLBs had to be looked at: a few, or all where the page is written through many addresses.
  @discardableResult
  public func dropWriters(_ physicalPage: UInt64) -> Int {
    let page = Int(physicalPage)
    let word = memory.pageTable[page]
    if word & PhysicalMemory.PageBits.cachedForWriting == 0 { return 0 }
    defer { writers[page] = TLBWriters() }
    memory.pageTable[page] = word & ~PhysicalMemory.PageBits.cachedForWriting
    for cpu in processors { cpu.dropWriters(hostPage: word & ~PhysicalMemory.PageBits.mask, writers: writers[page]) }
    return processors.count * (writers[page].count ?? DataTLB.entries)
  }

  /// Stores to a page of memory are told to `PhysicalMemory.onWatchedWrite` from now on.
  public func watch(_ physicalPage: UInt64) { protect(Int(physicalPage), PhysicalMemory.PageBits.watched) }

  public func unwatch(_ physicalPage: UInt64) { memory.pageTable[Int(physicalPage)] &= ~PhysicalMemory.PageBits.watched }

  /// Enters a block whose bytes lie at [offset, offset + length) of the page.
  public func insert(_ page: UnsafeMutablePointer<CodePage>, offset: UInt64, length: UInt64, _ operation: OperationPointer) {
    page.pointee.insert(offset, operation)
    blocksDecoded &+= 1
    mark(page.pointee.physicalPage, offset: offset, length: length)
  }

  /// Marks bytes as decoded without entering a block (the second page of an instruction that crosses).
  public func mark(_ physicalPage: UInt64, offset: UInt64, length: UInt64) {
    let first = offset &>> 6
    let last = min((offset &+ max(length, 1) &- 1) &>> 6, 63)
    let bits = (~0 &>> (63 &- (last &- first))) &<< first
    granules[Int(physicalPage)] |= bits
  }

  /// A write of `size` bytes is about to happen on a page marked as code; it does not cross the page.
  /// Returns true if decoded code was dropped.
  public func noteWrite(_ address: UInt64, size: Int) -> Bool {
    let page = address &>> 12
    let n = Int(page)
    if pages[n] == 0 { return false }
    let first = (address & 0xFFF) &>> 6
    let last = min(((address & 0xFFF) &+ UInt64(size) &- 1) &>> 6, 63)
    let bits: UInt64 = (~0 &>> (63 &- (last &- first))) &<< first
    if granules[n] & bits != 0 {
      clear(page)
      return true
    }
    // Data beside code, or where code was. After many such writes the page is taken for data, so that it gets a fast TLB entry again.
    quietWrites[n] &+= granules[n] == 0 ? 32 : 1
    if quietWrites[n] >= 512 { drop(page) }
    return false
  }

  /// Forgets the blocks of a physical page, which stays marked as code: what was modified is most often executed again.
  private func clear(_ physicalPage: UInt64) {
    var p = UnsafeMutablePointer<CodePage>(bitPattern: pages[Int(physicalPage)])
    while let page = p {
      page.pointee.clear()
      p = page.pointee.next
    }
    granules[Int(physicalPage)] = 0
    quietWrites[Int(physicalPage)] = 0
    for cpu in processors { cpu.forgetBlocks() }
  }

  /// Forgets all code decoded from a physical page.
  private func drop(_ physicalPage: UInt64) {
    release(physicalPage)
    for cpu in processors { cpu.forgetCode() }
  }

  public func dropAll() {
    for page in markedPages where pages[Int(page)] != 0 { release(page) }
    chunk = 0
    slot = 0
    epoch &+= 1
    for cpu in processors { cpu.forgetCode() }
  }

  private func release(_ physicalPage: UInt64) {
    var p = UnsafeMutablePointer<CodePage>(bitPattern: pages[Int(physicalPage)])
    while let page = p {
      p = page.pointee.next
      page.pointee.table.deallocate()
      page.deallocate()
    }
    pages[Int(physicalPage)] = 0
    memory.pageTable[Int(physicalPage)] &= ~PhysicalMemory.PageBits.code
  }

  // MARK: Arena

  /// Makes sure that `count` operations (at most 4096) can be allocated without dropping anything; may drop all code to do so.
  public func reserve(_ count: Int) {
    if chunk < chunks.count, slot &+ count > Self.chunkSlots {
      chunk &+= 1
      slot = 0
    }
    if chunk == chunks.count {
      if chunk == Self.maximumChunks {
        dropAll()
      } else {
        chunks.append(.allocate(capacity: Self.chunkSlots))
        slot = 0
      }
    }
  }

  /// Room for `count` operations in a row, not initialised. `reserve` must have made sure of it.
  public func allocate(_ count: Int) -> OperationPointer {
    let p = chunks[chunk] + slot
    slot &+= count
    return p
  }

  /// Returns the unused end of the last allocation.
  public func giveBack(_ count: Int) { slot &-= count }
}
