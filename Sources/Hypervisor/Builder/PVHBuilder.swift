import Platform
import Processor
import X86
import XenABI

/// What the builder needs of a kernel that starts in a PVH domain.
public struct PVHKernel {
  public var segments: [ParavirtualKernel.Segment]
  /// Physical address of the first instruction, in 32-bit protected mode without paging.
  public var entry: UInt32
  public init(segments: [ParavirtualKernel.Segment], entry: UInt32) {
    self.segments = segments
    self.entry = entry
  }
}

/// Builds a PVH domain: memory, the kernel with its modules, start information, ACPI tables, processors (docs/misc/pvh.pandoc).
struct PVHBuilder {
  /// Where things are in a guest's physical address space.
  enum Place {
    /// Memory below 4 GiB ends here.
    static let lowMemoryEnd: UInt64 = 0xF000_0000
    static let highMemory: UInt64 = 1 << 32
    static let acpi: UInt64 = 0xFC00_0000
    static let acpiBytes: UInt64 = 0x4000
    static let store = GuestFrameNumber(0xFEFFC)
    static let console = GuestFrameNumber(0xFEFFD)
    /// Room above the memory, for pages that a guest maps without having given memory for them.
    static let spare: UInt64 = 1 << 16
  }

  let domain: Domain
  let kernel: PVHKernel
  private var hvm: HVMPlatform { domain.hvm! }

  init(_ domain: Domain, _ kernel: PVHKernel) {
    self.domain = domain
    self.kernel = kernel
  }

  /// Frames of the address space for a guest with this much memory.
  static func space(frames count: UInt64) -> UInt64 { count + (Place.highMemory >> 12) + Place.spare }

  func build(frames count: UInt64, vcpus: Int, ramdisk: [UInt8], commandLine: String, consolePort: EventPort, storePort: EventPort)
    throws(BuildError) -> ParavirtualBuilder.Result {
    let lowFrames = min(count, Place.lowMemoryEnd >> 12)
    domain.maximumFrames = count + 2 + Place.acpiBytes >> 12
    for n in 0..<count { try give(GuestFrameNumber(n < lowFrames ? n : n - lowFrames + Place.highMemory >> 12)) }
    for n in 0..<Place.acpiBytes >> 12 { try give(GuestFrameNumber(Place.acpi >> 12 + n)) }
    try give(Place.store)
    try give(Place.console)
    hvm.memoryMap = [
      MemoryRegion(base: 0, size: lowFrames << 12, kind: .ram),
      MemoryRegion(base: Place.acpi, size: Place.acpiBytes, kind: .acpi),
      MemoryRegion(base: Place.store.address, size: 0x2000, kind: .reserved),
    ]
    if count > lowFrames { hvm.memoryMap.append(MemoryRegion(base: Place.highMemory, size: (count - lowFrames) << 12, kind: .ram)) }
    domain.highestPFN = max(Place.console.rawValue, count > lowFrames ? count - lowFrames + Place.highMemory >> 12 - 1 : 0)
    hvm.parameters[HVMParameter.storeFrame] = Place.store.rawValue
    hvm.parameters[HVMParameter.storePort] = UInt64(storePort)
    hvm.parameters[HVMParameter.consoleFrame] = Place.console.rawValue
    hvm.parameters[HVMParameter.consolePort] = UInt64(consolePort)
    hvm.parameters[HVMParameter.paeEnabled] = 1
    hvm.parameters[HVMParameter.tripleFaultReason] = UInt64(ShutdownReason.reboot.rawValue)

    var end: UInt64 = 0
    for segment in kernel.segments {
      let (last, overflow) = segment.address.addingReportingOverflow(segment.size)
      if overflow || last > lowFrames << 12 { throw .tooSmall(domain.name) }
      copy(segment.bytes, to: segment.address)
      end = max(end, last)
    }
    let tables = PVHTables(processors: vcpus, at: Place.acpi)
    copy(tables.image[...], to: Place.acpi)
    // Behind the kernel, on pages of their own: start information, then the initial RAM disk.
    let start = (end + 4095) & ~4095
    let text = Array(commandLine.utf8) + [0]
    let startBytes = HVMStartInfo.bytes + HVMStartInfo.moduleBytes + UInt64(hvm.memoryMap.count) * HVMStartInfo.memoryMapEntryBytes + UInt64(text.count)
    let disk = (start + startBytes + 4095) & ~4095
    if disk + UInt64(ramdisk.count) > lowFrames << 12 {
      throw .tooSmall(domain.name)
    }
    copy(ramdisk[...], to: disk)
    copy(startInformation(at: start, disk: disk, ramdisk.count, text, rsdp: tables.rsdp)[...], to: start)
    domain.writeWallClock()
    domain.hypervisor.setPhysical(of: domain.sharedInfo, to: ~0)
    makeProcessors(vcpus, startInformation: start)
    return ParavirtualBuilder.Result(consoleFrame: hvm.memory[Place.console]!, storeFrame: hvm.memory[Place.store]!)
  }

  // MARK: Memory

  private func give(_ frame: GuestFrameNumber) throws(BuildError) {
    guard let machine = domain.allocateFrame() else { throw .noMemory(for: domain.name, pages: domain.maximumFrames) }
    hvm.memory.set(frame, to: machine, .ram)
    domain.hypervisor.setPhysical(of: machine, to: frame.rawValue)
  }

  /// Copies into the guest's memory; the range has been checked.
  private func copy(_ bytes: ArraySlice<UInt8>, to address: UInt64) {
    bytes.withUnsafeBytes { source in
      var done = 0
      while done < source.count {
        let at = address + UInt64(done)
        let n = min(source.count - done, Int(4096 - (at & 0xFFF)))
        if let machine = hvm.memory[GuestFrameNumber(at >> 12)] {
          (domain.frames.contents(machine) + Int(at & 0xFFF)).copyMemory(from: source.baseAddress! + done, byteCount: n)
        }
        done += n
      }
    }
  }

  private func startInformation(at start: UInt64, disk: UInt64, _ diskBytes: Int, _ text: [UInt8], rsdp: UInt64) -> [UInt8] {
    let modules = start + HVMStartInfo.bytes
    let map = modules + HVMStartInfo.moduleBytes
    let commandLine = map + UInt64(hvm.memoryMap.count) * HVMStartInfo.memoryMapEntryBytes
    var bytes = [UInt8](repeating: 0, count: Int(commandLine - start))
    func set<T: FixedWidthInteger>(_ value: T, _ offset: Int) {
      bytes.withUnsafeMutableBytes { $0.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self) }
    }
    set(HVMStartInfo.magicValue, HVMStartInfo.magic)
    set(UInt32(1), HVMStartInfo.version)
    set(UInt32(diskBytes > 0 ? 1 : 0), HVMStartInfo.modules)
    set(diskBytes > 0 ? modules : 0, HVMStartInfo.moduleList)
    set(commandLine, HVMStartInfo.commandLine)
    set(rsdp, HVMStartInfo.rsdp)
    set(map, HVMStartInfo.memoryMap)
    set(UInt32(hvm.memoryMap.count), HVMStartInfo.memoryMapEntries)
    set(disk, Int(modules - start))
    set(UInt64(diskBytes), Int(modules - start) + 8)
    for (n, region) in hvm.memoryMap.enumerated() {
      let at = Int(map - start) + n * Int(HVMStartInfo.memoryMapEntryBytes)
      set(region.base, at)
      set(region.size, at + 8)
      set(region.kind.rawValue, at + 16)
    }
    return bytes + text
  }

  // MARK: Processors

  private func makeProcessors(_ count: Int, startInformation: UInt64) {
    for n in 0..<count {
      let v = VCPU(domain: domain, index: n)
      domain.vcpus.append(v)
      v.writeTimeInfo()
    }
    let v = domain.vcpus[0]
    v.enterPVH(entry: UInt64(kernel.entry), startInformation: startInformation)
    v.isInitialised = true
    v.bringUp()
  }
}

extension VCPU {
  /// The state in which a PVH domain begins: 32-bit protected mode with flat segments, no paging, the start information in EBX.
  func enterPVH(entry: UInt64, startInformation: UInt64) {
    let s = cpu.s
    s.pointee.cr0 = CR0.PE | CR0.ET
    cpu.enterFlat(cs: 8, ss: 16, long: false)
    s.pointee.ds = s.pointee.ss
    s.pointee.es = s.pointee.ss
    s.pointee.tr.limit = 0x67
    // Memory is write-back.
    s.pointee.mtrrDefType = 0x806
    s.pointee.rdx = 0
    s.pointee.rbx = startInformation
    cpu.setRIP(entry)
    cpu.updateMode()
    cpu.updateVectorsEnabled()
  }
}
