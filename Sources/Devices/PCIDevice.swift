/// One function on a PCI bus: its configuration space, base address registers and interrupt pin.
///
/// Reference: PCI Local Bus Specification 3.0 §6 (configuration space), §6.2.5 (base addresses), §6.8.1 (MSI).
///
/// Not modelled: parity and system errors, power management states, 64-bit I/O, VPD, bridges.

import Platform

/// What answers behind a base address register.
public enum PCIRegion {
  /// I/O ports; accesses up to `maximumSize` bytes reach the handler whole.
  case ports(any PortHandler, maximumSize: Int)
  /// Device registers in memory space.
  case registers(any MemoryHandler)
  /// Plain memory that the device owns, such as a frame buffer.
  case memory(UnsafeMutableRawPointer, writable: Bool)
}

open class PCIDevice: Device {
  public let name: String
  /// 256 bytes as the guest reads them.
  public private(set) var configuration = [UInt8](repeating: 0, count: 256)
  private var writable = [UInt8](repeating: 0, count: 256)
  private var clearable = [UInt8](repeating: 0, count: 256)
  private var powerOn: [UInt8] = []
  /// Bus it sits on, from `PCIBus.attach`.
  public internal(set) weak var bus: PCIBus?
  /// Device number × 8 + function.
  public internal(set) var deviceFunction = 0
  private var apertures: [PCIAperture?] = [PCIAperture?](repeating: nil, count: 7)
  private var nextCapability = 0x40
  private var lastCapability = 0x34
  private var interruptLevel = false
  private var drivenLevel = false
  private var msiOffset: Int?

  /// - Parameters:
  ///   - classCode: base class, subclass and programming interface, as in 0x030000.
  ///   - interruptPin: 0 none, 1…4 INTA#…INTD#.
  public init(
    name: String, vendor: UInt16, device: UInt16, classCode: UInt32, revision: UInt8 = 0,
    subsystemVendor: UInt16 = 0, subsystem: UInt16 = 0, interruptPin: UInt8 = 0
  ) {
    self.name = name
    define16(0x00, vendor)
    define16(0x02, device)
    define16(0x04, 0, writable: 0x0547)
    define16(0x06, 0x0280, clearable: 0xF900)
    define8(0x08, revision)
    define8(0x09, UInt8(truncatingIfNeeded: classCode))
    define16(0x0A, UInt16(truncatingIfNeeded: classCode >> 8))
    define8(0x0C, 0, writable: 0xFF)
    define8(0x0D, 0, writable: 0xF8)
    define16(0x2C, subsystemVendor)
    define16(0x2E, subsystem)
    define8(0x3C, 0, writable: interruptPin == 0 ? 0 : 0xFF)
    define8(0x3D, interruptPin)
  }

  // MARK: Layout, for subclasses and owners before the first use

  public func define8(_ offset: Int, _ value: UInt8, writable mask: UInt8 = 0, clearable clear: UInt8 = 0) {
    guard (0..<256).contains(offset) else { return }
    configuration[offset] = value
    writable[offset] = mask
    clearable[offset] = clear
  }

  public func define16(_ offset: Int, _ value: UInt16, writable mask: UInt16 = 0, clearable clear: UInt16 = 0) {
    for i in 0..<2 {
      define8(
        offset + i, UInt8(truncatingIfNeeded: value >> UInt16(8 * i)),
        writable: UInt8(truncatingIfNeeded: mask >> UInt16(8 * i)),
        clearable: UInt8(truncatingIfNeeded: clear >> UInt16(8 * i)))
    }
  }

  public func define32(_ offset: Int, _ value: UInt32, writable mask: UInt32 = 0) {
    define16(offset, UInt16(truncatingIfNeeded: value), writable: UInt16(truncatingIfNeeded: mask))
    define16(offset + 2, UInt16(truncatingIfNeeded: value >> 16), writable: UInt16(truncatingIfNeeded: mask >> 16))
  }

  /// Declares base address register `index` (0…5); `size` is a power of two. A 64-bit one takes the next register too.
  public func defineBAR(
    _ index: Int, size: UInt64, region: PCIRegion, is64Bit: Bool = false, isPrefetchable: Bool = false
  ) {
    precondition((0..<6).contains(index) && size >= 4 && size & (size - 1) == 0)
    let aperture = PCIAperture(size: size, region: region, is64Bit: is64Bit)
    apertures[index] = aperture
    let flags: UInt32 = aperture.isPorts ? 1 : (is64Bit ? 4 : 0) | (isPrefetchable ? 8 : 0)
    let mask = ~(size - 1) & (aperture.isPorts ? 0xFFFF_FFFC : ~0xF)
    define32(0x10 + 4 * index, flags, writable: UInt32(truncatingIfNeeded: mask))
    if is64Bit { define32(0x14 + 4 * index, 0, writable: UInt32(truncatingIfNeeded: mask >> 32)) }
  }

  /// Declares the expansion ROM; `size` is a power of two of at least 2 KiB.
  public func defineROM(size: UInt64, host: UnsafeMutableRawPointer) {
    precondition(size >= 4096 && size & (size - 1) == 0)
    apertures[6] = PCIAperture(size: size, region: .memory(host, writable: false), is64Bit: false)
    define32(0x30, 0, writable: UInt32(truncatingIfNeeded: ~(size - 1)) & 0xFFFF_F800 | 1)
  }

  /// Appends a capability; returns the offset of its header.
  @discardableResult
  public func addCapability(id: UInt8, length: Int) -> Int {
    let offset = nextCapability
    precondition(offset + length <= 256)
    configuration[lastCapability] = UInt8(offset)
    define8(offset, id)
    lastCapability = offset + 1
    nextCapability = (offset + length + 3) & ~3
    configuration[0x06] |= 0x10
    return offset
  }

  /// Adds a one-vector, 64-bit MSI capability; `setInterrupt` uses it once the guest enabled it.
  public func addMSI() {
    let offset = addCapability(id: 0x05, length: 14)
    define16(offset + 2, 0x0080, writable: 0x0001)
    define32(offset + 4, 0, writable: 0xFFFF_FFFC)
    define32(offset + 8, 0, writable: 0xFFFF_FFFF)
    define16(offset + 12, 0, writable: 0xFFFF)
    msiOffset = offset
  }

  // MARK: Access

  public func read16(_ offset: Int) -> UInt16 {
    UInt16(configuration[offset & 0xFF]) | UInt16(configuration[(offset + 1) & 0xFF]) << 8
  }
  public func read32(_ offset: Int) -> UInt32 { UInt32(read16(offset)) | UInt32(read16(offset + 2)) << 16 }

  /// Changes a byte past its write mask, as the device itself does.
  public func setByte(_ offset: Int, _ value: UInt8) { configuration[offset & 0xFF] = value }

  public var command: UInt16 { read16(0x04) }
  /// Command bit 2: the device may start memory accesses.
  public var isBusMaster: Bool { command.bit(2) }

  /// Reads `size` (1, 2, 4) bytes of configuration space inside one doubleword.
  open func readConfiguration(_ offset: Int, size: Int) -> UInt32 {
    var value: UInt32 = 0
    for i in 0..<size { value |= UInt32(configuration[(offset + i) & 0xFF]) << UInt32(8 * i) }
    return value
  }

  /// A guest's write. Subclasses override it to see registers of theirs change, and call it first.
  open func writeConfiguration(_ offset: Int, _ value: UInt32, size: Int) {
    for i in 0..<size {
      let at = (offset + i) & 0xFF
      let byte = UInt8(truncatingIfNeeded: value >> UInt32(8 * i))
      configuration[at] = (configuration[at] & ~writable[at] | byte & writable[at]) & ~(byte & clearable[at])
    }
    let touched = offset..<offset + size
    if touched.overlaps(0x04..<0x06) {
      driveInterrupt()
      updateApertures()
    } else if touched.overlaps(0x10..<0x28) || touched.overlaps(0x30..<0x34) {
      updateApertures()
    } else if let msiOffset, touched.overlaps(msiOffset + 2..<msiOffset + 4) {
      driveInterrupt()
    }
  }

  // MARK: Base addresses

  /// Where a base address register is mapped now, or nil.
  public func mappedAddress(_ index: Int) -> UInt64? { apertures.indices.contains(index) ? apertures[index]?.mapped : nil }

  private func wantedAddress(_ index: Int, _ aperture: PCIAperture) -> UInt64? {
    if !command.bit(aperture.isPorts ? 0 : 1) { return nil }
    let low = read32(index == 6 ? 0x30 : 0x10 + 4 * index)
    if index == 6, low & 1 == 0 { return nil }
    var address = UInt64(low) & ~(aperture.isPorts ? 3 : index == 6 ? 0x7FF : 15)
    if aperture.is64Bit { address |= UInt64(read32(0x14 + 4 * index)) << 32 }
    // All ones is a sizing probe, not a place; zero is "not assigned".
    let end = address &+ aperture.size
    if address == 0 || end < address { return nil }
    if aperture.isPorts { return end <= 0x10000 ? address : nil }
    return !aperture.is64Bit && end >= 1 << 32 ? nil : address
  }

  /// Brings the mappings of all base addresses in line with the registers.
  func updateApertures() {
    guard let bus else { return }
    for index in apertures.indices {
      guard let aperture = apertures[index] else { continue }
      let wanted = wantedAddress(index, aperture)
      if wanted == aperture.mapped { continue }
      aperture.move(to: wanted, bus: bus)
    }
  }

  /// Sizes of the declared base addresses, for firmware-less boots.
  var declaredApertures: [(index: Int, size: UInt64, isPorts: Bool, is64Bit: Bool)] {
    apertures.indices.prefix(6).compactMap { n in
      apertures[n].map { (n, $0.size, $0.isPorts, $0.is64Bit) }
    }
  }

  // MARK: Interrupts

  /// The device's interrupt condition. It reaches the guest as INTx#, or as MSI at each rising edge once that is enabled.
  public func setInterrupt(_ level: Bool) {
    let rises = level && !interruptLevel
    interruptLevel = level
    if rises, let msi = msiOffset, read16(msi + 2).bit(0), isBusMaster {
      bus?.signalMSI(
        address: UInt64(read32(msi + 4)) | UInt64(read32(msi + 8)) << 32, data: UInt32(read16(msi + 12)))
    }
    driveInterrupt()
  }

  private func driveInterrupt() {
    configuration[0x06] = configuration[0x06].settingBit(3, interruptLevel)
    let usesMSI = msiOffset.map { read16($0 + 2).bit(0) } ?? false
    let level = interruptLevel && !usesMSI && !command.bit(10)
    let pin = Int(configuration[0x3D])
    if level == drivenLevel || pin == 0 { return }
    drivenLevel = level
    bus?.setPin(deviceFunction, pin: pin, level: level)
  }

  // MARK: Device

  func attached() { powerOn = configuration }

  open func reset() {
    configuration = powerOn.isEmpty ? configuration : powerOn
    interruptLevel = false
    driveInterrupt()
    updateApertures()
  }

  open func save(to writer: inout StateWriter) {
    writer.put(configuration)
    writer.put(interruptLevel)
    writer.put(drivenLevel)
  }

  open func restore(from reader: inout StateReader) throws(StateError) {
    let bytes = try reader.getBytes()
    guard bytes.count == 256 else { throw StateError("the saved configuration space of '\(name)' is damaged") }
    configuration = bytes
    interruptLevel = try reader.getBool()
    drivenLevel = try reader.getBool()
    updateApertures()
  }
}

/// A window of a device in I/O or memory space. Being the registered handler itself, it can be taken away on its own.
final class PCIAperture: PortHandler, MemoryHandler {
  let size: UInt64
  let is64Bit: Bool
  private let region: PCIRegion
  private(set) var mapped: UInt64?

  init(size: UInt64, region: PCIRegion, is64Bit: Bool) {
    self.size = size
    self.region = region
    self.is64Bit = is64Bit
  }

  var isPorts: Bool { if case .ports = region { true } else { false } }

  func move(to address: UInt64?, bus: PCIBus) {
    if let old = mapped {
      switch region {
      case .ports: bus.ports.remove(self)
      case .registers: bus.memory.removeHandler(self)
      case .memory(let host, _): unmap(host, from: old, bus.memory)
      }
    }
    mapped = address
    if let new = address {
      switch region {
      case .ports(_, let width): bus.ports.add(self, at: UInt16(new), count: Int(size), maximumSize: width)
      case .registers: bus.memory.addHandler(self, at: PhysicalAddress(new), size: size)
      case .memory(let host, let writable): map(host, at: new, writable: writable, bus.memory)
      }
    }
    if !isPorts { bus.onMemoryMapChange?() }
  }

  /// RAM of the machine is decoded before the PCI bus, so only free pages are taken.
  private func map(_ host: UnsafeMutableRawPointer, at base: UInt64, writable: Bool, _ memory: PhysicalMemory) {
    for offset in stride(from: 0, to: size, by: Int(pageSize)) where memory.pageWord(base &+ offset) == 0 {
      memory.map(host + Int(offset), at: PhysicalAddress(base &+ offset), size: pageSize, writable: writable)
    }
  }

  private func unmap(_ host: UnsafeMutableRawPointer, from base: UInt64, _ memory: PhysicalMemory) {
    for offset in stride(from: 0, to: size, by: Int(pageSize)) {
      let word = memory.pageWord(base &+ offset)
      if word & ~PhysicalMemory.PageBits.mask == UInt(bitPattern: host) &+ UInt(offset) {
        memory.unmap(at: PhysicalAddress(base &+ offset), size: pageSize)
      }
    }
  }

  func readPort(_ offset: UInt16, size: Int) -> UInt32 {
    if case .ports(let handler, _) = region { return handler.readPort(offset, size: size) }
    return UInt32(truncatingIfNeeded: allOnes(size))
  }

  func writePort(_ offset: UInt16, _ value: UInt32, size: Int) {
    if case .ports(let handler, _) = region { handler.writePort(offset, value, size: size) }
  }

  func readMemory(_ offset: UInt64, size: Int) -> UInt64 {
    if case .registers(let handler) = region { return handler.readMemory(offset, size: size) }
    return allOnes(size)
  }

  func writeMemory(_ offset: UInt64, _ value: UInt64, size: Int) {
    if case .registers(let handler) = region { handler.writeMemory(offset, value, size: size) }
  }
}
