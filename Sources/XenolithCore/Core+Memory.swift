import Platform
import Processor
import X86Decoder

/// Answers a read of a device: offset in its range, and size (1, 2, 4 or 8 bytes).
public typealias DeviceReader = (_ core: Core, _ offset: UInt64, _ size: Int) -> UInt64
/// Takes a write to a device: offset in its range, size, value.
public typealias DeviceWriter = (_ core: Core, _ offset: UInt64, _ size: Int, _ value: UInt64) -> Void
/// Answers an input of 1, 2 or 4 bytes from a port.
public typealias PortReader = (_ core: Core, _ port: UInt16, _ size: Int) -> UInt32
/// Takes an output of 1, 2 or 4 bytes to a port.
public typealias PortWriter = (_ core: Core, _ port: UInt16, _ size: Int, _ value: UInt32) -> Void

/// A piece of the physical address space.
struct Region {
  enum Kind {
    case memory(UnsafeMutableRawPointer, writable: Bool)
    case device(DeviceReader, DeviceWriter)
  }

  var base: UInt64
  var size: UInt64
  var kind: Kind
  var range: ClosedRange<UInt64> { base...(base + (size - 1)) }
}

/// Memory and devices. Addresses labelled `at` are physical, those labelled `linear` go through the page tables as they are now.
extension Core {
  // MARK: Mapping

  /// Puts zeroed memory at a physical address. Memory that is not writable ignores the processor's stores, as ROM does.
  ///
  /// - Throws: `unaligned`, `outsideAddressSpace`, `overlap`.
  public func mapMemory(at address: UInt64, size: UInt64, writable: Bool = true) throws(CoreError) {
    if size == 0 || (address | size) & 0xFFF != 0 { throw .unaligned(address: address, size: size) }
    try checkFree(address, size)
    let host = memory.addMemory(at: PhysicalAddress(address), size: size, writable: writable)
    add(Region(base: address, size: size, kind: .memory(host, writable: writable)))
  }

  /// Lets handlers answer accesses to a range of physical addresses, which need not be whole pages. An access does not cross a page; the handler of its
  /// first byte gets it. Page tables and instructions can be read from memory only.
  ///
  /// - Throws: `unaligned` for a size of 0, `outsideAddressSpace`, `overlap`.
  public func mapDevice(
    at address: UInt64, size: UInt64, read: @escaping DeviceReader, write: @escaping DeviceWriter
  ) throws(CoreError) {
    if size == 0 { throw .unaligned(address: address, size: size) }
    try checkFree(address, size)
    add(Region(base: address, size: size, kind: .device(read, write)))
  }

  /// Takes away the memory or device that was mapped at exactly this address. Not to be called from a hook or handler.
  ///
  /// - Throws: `notMapped`.
  public func unmap(at address: UInt64) throws(CoreError) {
    precondition(!isRunning, "a hook or handler cannot take memory away")
    guard let n = regions.firstIndex(where: { $0.base == address }) else { throw .notMapped(address: address) }
    let region = regions.remove(at: n)
    if case .memory = region.kind {
      codeCache.dropAll()
      memory.removeMemory(at: PhysicalAddress(region.base))
      cpu.flushTLB(keepGlobal: false)
    }
  }

  /// What is mapped, in order of addresses.
  public var mappedRanges: [ClosedRange<UInt64>] { regions.map(\.range) }

  private func checkFree(_ address: UInt64, _ size: UInt64) throws(CoreError) {
    if address >= addressSpace || size > addressSpace - address {
      throw .outsideAddressSpace(address: address, size: size, limit: addressSpace)
    }
    let range = address...(address + (size - 1))
    if let other = regions.first(where: { $0.range.overlaps(range) }) {
      throw .overlap(address: address, size: size, with: other.range)
    }
  }

  private func add(_ region: Region) {
    regions.insert(region, at: regions.firstIndex { $0.base > region.base } ?? regions.count)
  }

  func region(at address: UInt64) -> Region? { regions.first { $0.range.contains(address) } }

  /// Gives I/O ports to handlers. Without `read` or `write` that direction is unclaimed. An access goes to the handler of its first port as it is.
  ///
  /// - Throws: `portsTaken`.
  public func mapPorts(_ ports: ClosedRange<UInt16>, read: PortReader? = nil, write: PortWriter? = nil) throws(CoreError) {
    if let other = bus.ports.first(where: { $0.range.overlaps(ports) }) { throw .portsTaken(other.range) }
    bus.ports.append(CoreBus.Ports(range: ports, read: read, write: write))
  }

  // MARK: Reading and writing

  /// Writes bytes to physical memory, writable for the processor or not; nothing is written if a part of the range is not memory.
  ///
  /// - Throws: `notMapped`.
  public func write(_ bytes: some Collection<UInt8>, at address: UInt64) throws(CoreError) {
    try checkMemory(address, bytes.count)
    let array = Array(bytes)
    _ = array.withUnsafeBytes { memory.load($0, at: address) }
  }

  /// Reads bytes from physical memory; nothing for a count of 0 or less.
  ///
  /// - Throws: `notMapped`.
  public func read(at address: UInt64, count: Int) throws(CoreError) -> [UInt8] {
    if count <= 0 { return [] }
    try checkMemory(address, count)
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      for k in 0..<count { buffer[k] = byte(address + UInt64(k)) }
      initialized = count
    }
  }

  /// Writes an integer to physical memory, little-endian.
  public func write<T: FixedWidthInteger>(_ value: T, at address: UInt64) throws(CoreError) {
    try write(withUnsafeBytes(of: value.littleEndian) { Array($0) }, at: address)
  }

  /// Reads an integer from physical memory, little-endian.
  public func read<T: FixedWidthInteger>(at address: UInt64, as: T.Type) throws(CoreError) -> T {
    Self.integer(try read(at: address, count: MemoryLayout<T>.size))
  }

  /// The same by linear address, over page borders. No rights are checked, no accessed or dirty bits set, no hooks called.
  ///
  /// - Throws: `noTranslation`, `notMapped`.
  public func write(_ bytes: some Collection<UInt8>, linear: UInt64) throws(CoreError) {
    let array = Array(bytes)
    for (piece, range) in try pieces(linear, array.count) { try write(array[range], at: piece) }
  }

  public func read(linear: UInt64, count: Int) throws(CoreError) -> [UInt8] {
    var result: [UInt8] = []
    for (piece, range) in try pieces(linear, count) { result += try read(at: piece, count: range.count) }
    return result
  }

  public func write<T: FixedWidthInteger>(_ value: T, linear: UInt64) throws(CoreError) {
    try write(withUnsafeBytes(of: value.littleEndian) { Array($0) }, linear: linear)
  }

  public func read<T: FixedWidthInteger>(linear: UInt64, as: T.Type) throws(CoreError) -> T {
    Self.integer(try read(linear: linear, count: MemoryLayout<T>.size))
  }

  /// The physical address behind a linear one, by the page tables as they are; nil where there is no page.
  public func physicalAddress(ofLinear linear: UInt64) -> UInt64? { cpu.translateForDebugger(linear) }

  private static func integer<T: FixedWidthInteger>(_ bytes: [UInt8]) -> T {
    var value: T = 0
    withUnsafeMutableBytes(of: &value) { $0.copyBytes(from: bytes) }
    return T(littleEndian: value)
  }

  private func byte(_ address: UInt64) -> UInt8 { memory.host(address)?.load(as: UInt8.self) ?? 0xFF }

  private func checkMemory(_ address: UInt64, _ count: Int) throws(CoreError) {
    var at = address, left = UInt64(count)
    while left > 0 {
      guard let region = region(at: at), case .memory = region.kind else { throw .notMapped(address: at) }
      let rest = region.size - (at - region.base)
      if left <= rest { return }
      left -= rest
      at += rest
    }
  }

  /// The physical pieces of a range of linear addresses, with the offsets they have in it.
  private func pieces(_ linear: UInt64, _ count: Int) throws(CoreError) -> [(UInt64, Range<Int>)] {
    var found: [(UInt64, Range<Int>)] = []
    var done = 0
    while done < count {
      let address = wrap(linear &+ UInt64(done))
      guard let physical = cpu.translateForDebugger(address) else { throw .noTranslation(linear: address) }
      let n = min(count - done, Int(4096 - (address & 0xFFF)))
      found.append((physical, done..<(done + n)))
      done += n
    }
    return found
  }

  private func wrap(_ linear: UInt64) -> UInt64 { cpu.s.pointee.codeSize == .bits64 ? linear : linear & 0xFFFF_FFFF }

  // MARK: Code

  /// Decodes the instruction at a linear address, for the code size in force. What the CPU model lacks is `.invalid`.
  ///
  /// - Throws: `noTranslation`, `notMapped` if its first byte cannot be read.
  public func instruction(atLinear linear: UInt64) throws(CoreError) -> Instruction {
    var bytes = try read(linear: linear, count: 1)
    while bytes.count < Decoder.maximumLength, let next = try? read(linear: linear &+ UInt64(bytes.count), count: 1) { bytes += next }
    var instruction = bytes.withUnsafeBytes {
      Decoder.decode($0.baseAddress!, available: bytes.count, codeSize: cpu.s.pointee.codeSize)
    }
    cpu.admit(&instruction)
    return instruction
  }

  /// The text of the instruction at a linear address; `(bad)` for bytes that are none.
  public func disassembly(atLinear linear: UInt64, syntax: Disassembler.Syntax = .intel) throws(CoreError) -> String {
    Disassembler.text(of: try instruction(atLinear: linear), at: linear, syntax: syntax)
  }
}
