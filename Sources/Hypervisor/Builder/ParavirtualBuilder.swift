import Platform
import X86
import XenABI

/// What the builder needs of a kernel: its segments and what its ELF notes ask for (xen/include/public/elfnote.h).
public struct ParavirtualKernel {
  public struct Segment {
    /// Where the bytes belong, as an offset in the guest's pseudo-physical memory.
    public var address: UInt64
    public var bytes: ArraySlice<UInt8>
    /// Bytes in memory; what the file does not have is zero.
    public var size: UInt64
    public init(address: UInt64, bytes: ArraySlice<UInt8>, size: UInt64) {
      self.address = address
      self.bytes = bytes
      self.size = size
    }
  }
  public var segments: [Segment]
  /// Linear address of the first instruction.
  public var entry: UInt64
  /// Linear address of pseudo-physical address 0.
  public var virtualBase: UInt64
  /// 32-bit (PAE) kernel.
  public var isCompat: Bool
  /// Linear address of the page for hypercall stubs.
  public var hypercallPage: UInt64?
  /// Linear address where the kernel wants the table of its frames; nil for behind the kernel.
  public var initialP2M: UInt64?
  /// The kernel takes its initial RAM disk by frame number, outside the initial mapping.
  public var modulesByPFN: Bool

  public init(segments: [Segment], entry: UInt64, virtualBase: UInt64, isCompat: Bool, hypercallPage: UInt64?, initialP2M: UInt64?, modulesByPFN: Bool) {
    self.segments = segments
    self.entry = entry
    self.virtualBase = virtualBase
    self.isCompat = isCompat
    self.hypercallPage = hypercallPage
    self.initialP2M = initialP2M
    self.modulesByPFN = modulesByPFN
  }
}

/// Why a domain cannot be built: a sentence for the user.
public struct BuildError: Error, CustomStringConvertible {
  /// What of a request is at fault.
  public enum Cause: Sendable {
    case name, kind, kernel, memory, maximumMemory, processors, affinity, shadowMemory
  }
  public var description: String
  /// A file that was named cannot be had.
  public var isMissingFile: Bool
  public var cause: Cause?
  /// The sentence says where the fault was written down.
  public var isLocated = false
  public init(_ description: String, isMissingFile: Bool = false, cause: Cause? = nil) {
    self.description = description
    self.isMissingFile = isMissingFile
    self.cause = cause
  }
}

extension BuildError {
  static func tooSmall(_ name: String) -> BuildError {
    BuildError("domain \(name) has too little memory for its kernel and initial RAM disk", cause: .memory)
  }

  static func noMemory(for name: String, pages: UInt64) -> BuildError {
    BuildError("the machine has no \(pages >> 8) MiB left for domain \(name)", cause: .memory)
  }
}

/// Builds a paravirtual domain as Xen's tools do: memory, first page tables, start_info (xen.h, "start-of-day memory layout").
struct ParavirtualBuilder {
  let domain: Domain
  let kernel: ParavirtualKernel
  /// Machine frames by pseudo-physical number.
  private var p2m: [MachineFrameNumber] = []
  private var next: UInt64 = 0

  init(_ domain: Domain, _ kernel: ParavirtualKernel) {
    self.domain = domain
    self.kernel = kernel
  }

  /// What the toolstack needs to attach its services.
  struct Result {
    var consoleFrame: MachineFrameNumber
    var storeFrame: MachineFrameNumber
  }

  private var layout: StartInfoLayout { kernel.isCompat ? .compat : .wide }
  private var word: Int { kernel.isCompat ? 4 : 8 }

  mutating func build(frames count: UInt64, vcpus: Int, ramdisk: [UInt8], commandLine: String,
                      consolePort: EventPort, storePort: EventPort) throws(BuildError) -> Result {
    let frames = domain.frames
    p2m.reserveCapacity(Int(count))
    for pfn in 0..<count {
      guard let frame = domain.allocateFrame() else { throw .noMemory(for: domain.name, pages: count) }
      domain.hypervisor.setPhysical(of: frame, to: pfn)
      p2m.append(frame)
    }
    domain.highestPFN = count - 1
    for segment in kernel.segments {
      let (end, overflow) = segment.address.addingReportingOverflow(segment.size)
      if overflow || end > count << 12 { throw .tooSmall(domain.name) }
      copy(segment.bytes, to: segment.address)
      next = max(next, (end + 4095) >> 12)
    }
    // What the start of day consists of, behind the kernel.
    func take(_ pages: UInt64) throws(BuildError) -> UInt64 {
      let first = next
      next += pages
      if next > count { throw .tooSmall(domain.name) }
      return first
    }
    try checkAddress(kernel.entry, pages: 1, "entry")
    let diskPages = (UInt64(ramdisk.count) + 4095) >> 12
    var diskPFN = kernel.modulesByPFN ? 0 : try take(diskPages)
    let p2mPages = (count * UInt64(word) + 4095) >> 12
    var p2mPFN = kernel.initialP2M != nil ? 0 : try take(p2mPages)
    if let list = kernel.initialP2M { try checkAddress(list, pages: p2mPages, "table of frames (INIT_P2M)") }
    let startInfo = try take(1), store = try take(1), console = try take(1)
    // Tables for everything up to a stack of one page and half a megabyte, rounded up to 4 MiB of linear addresses.
    let tables = try makeTables(p2mPages: p2mPages)
    let stack = tables.stack
    // What the initial mapping need not show comes last: the kernel frees all of that mapping that is not its own.
    if kernel.initialP2M != nil { p2mPFN = try take(p2mPages) }
    if kernel.modulesByPFN { diskPFN = try take(diskPages) }
    if !ramdisk.isEmpty { copy(ramdisk[...], to: diskPFN << 12) }
    if let page = kernel.hypercallPage {
      let offset = page &- kernel.virtualBase
      if offset >> 12 >= count { throw BuildError("the kernel's hypercall page lies outside its memory", cause: .kernel) }
      HypercallPage.fill(frames.contents(p2m[Int(offset >> 12)]), compat: kernel.isCompat)
    }
    for pfn in 0..<count { put(p2m[Int(pfn)].rawValue, at: p2mPFN << 12 + pfn * UInt64(word)) }

    let info = frames.contents(p2m[Int(startInfo)])
    func set(_ value: UInt64, _ offset: Int) {
      if kernel.isCompat {
        info.storeBytes(of: UInt32(truncatingIfNeeded: value), toByteOffset: offset, as: UInt32.self)
      } else {
        info.storeBytes(of: value, toByteOffset: offset, as: UInt64.self)
      }
    }
    let magic = kernel.isCompat ? "xen-3.0-x86_32p" : "xen-3.0-x86_64"
    for (n, byte) in magic.utf8.enumerated() { info.storeBytes(of: byte, toByteOffset: n, as: UInt8.self) }
    set(count, layout.pages)
    set(domain.sharedInfo.address, layout.sharedInfo)
    info.storeBytes(of: UInt32(kernel.modulesByPFN && !ramdisk.isEmpty ? StartInfoLayout.flagModuleIsPFN : 0), toByteOffset: layout.flags, as: UInt32.self)
    set(p2m[Int(store)].rawValue, layout.storeFrame)
    info.storeBytes(of: storePort, toByteOffset: layout.storePort, as: UInt32.self)
    set(p2m[Int(console)].rawValue, layout.consoleFrame)
    info.storeBytes(of: consolePort, toByteOffset: layout.consolePort, as: UInt32.self)
    set(kernel.virtualBase &+ tables.rootPFN << 12, layout.pageTableBase)
    set(tables.count, layout.pageTableFrames)
    set(kernel.initialP2M ?? kernel.virtualBase &+ p2mPFN << 12, layout.p2mList)
    if kernel.initialP2M != nil {
      set(p2mPFN, layout.firstP2MPFN)
      set(p2mPages, layout.p2mFrames)
    }
    if !ramdisk.isEmpty {
      set(kernel.modulesByPFN ? diskPFN : kernel.virtualBase &+ diskPFN << 12, layout.moduleStart)
      set(UInt64(ramdisk.count), layout.moduleLength)
    }
    let commandLineBytes = Array(commandLine.utf8.prefix(StartInfoLayout.commandLineBytes - 1))
    for (n, byte) in commandLineBytes.enumerated() { info.storeBytes(of: byte, toByteOffset: layout.commandLine + n, as: UInt8.self) }

    prepareSharedInfo()
    do throws(XenError) {
      try makeProcessors(vcpus, root: p2m[Int(tables.rootPFN)], startInfo: kernel.virtualBase &+ startInfo << 12, stack: kernel.virtualBase &+ (stack + 1) << 12)
    } catch {
      throw BuildError("the first page tables of domain \(domain.name) are not valid (\(error))")
    }
    return Result(consoleFrame: p2m[Int(console)], storeFrame: p2m[Int(store)])
  }

  /// What a kernel wants at a linear address must lie where a guest's things can lie, all of it.
  private func checkAddress(_ first: UInt64, pages: UInt64, _ what: String) throws(BuildError) {
    let (last, overflow) = first.addingReportingOverflow(max(pages, 1) << 12 - 1)
    // A page at the very end of the address space is the last one, no wrap.
    let fits =
      kernel.isCompat
      ? !overflow && last < XenLayout.compatStart
      : !overflow && XenLayout.isGuest(first) && XenLayout.isGuest(last) && (first < XenLayout.start) == (last < XenLayout.start)
    if !fits { throw BuildError("the kernel wants its \(what) at \(String(first, radix: 16)), where no guest can have it", cause: .kernel) }
  }

  // MARK: Memory

  /// Copies into pseudo-physical memory.
  private func copy(_ bytes: ArraySlice<UInt8>, to address: UInt64) {
    bytes.withUnsafeBytes { source in
      var done = 0
      while done < source.count {
        let at = address + UInt64(done)
        let n = min(source.count - done, Int(4096 - (at & 0xFFF)))
        (domain.frames.contents(p2m[Int(at >> 12)]) + Int(at & 0xFFF)).copyMemory(from: source.baseAddress! + done, byteCount: n)
        done += n
      }
    }
  }

  private func put(_ value: UInt64, at address: UInt64) {
    let p = domain.frames.contents(p2m[Int(address >> 12)]) + Int(address & 0xFFF)
    if kernel.isCompat {
      p.storeBytes(of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
    } else {
      p.storeBytes(of: value, as: UInt64.self)
    }
  }

  // MARK: Page tables

  private struct Tables {
    var rootPFN: UInt64
    var count: UInt64
    var stack: UInt64
  }

  /// The tables lie behind everything else and map themselves, so their number depends on itself: tried until it fits.
  private mutating func makeTables(p2mPages: UInt64) throws(BuildError) -> Tables {
    let first = next
    var tableCount: UInt64 = 4
    var mapped: UInt64 = 0
    while true {
      let used = first + tableCount + 1
      // 512 KiB of room, then whole 4 MiB.
      let end = (kernel.virtualBase &+ used << 12 &+ (512 << 10) &+ (4 << 20) - 1) & ~((4 << 20) - 1)
      mapped = (end &- kernel.virtualBase) >> 12
      try checkAddress(kernel.virtualBase, pages: mapped, "first mapping (VIRT_BASE)")
      var needed = tablesFor(kernel.virtualBase, pages: mapped, counted: true)
      if let p2m = kernel.initialP2M { needed += tablesFor(p2m, pages: p2mPages, counted: false) }
      if kernel.isCompat, end <= 0xC000_0000 { needed += 1 }
      if needed <= tableCount { break }
      tableCount = needed
    }
    if first + tableCount + 1 > UInt64(p2m.count) { throw .tooSmall(domain.name) }
    mapped = min(mapped, UInt64(p2m.count))
    let range = first..<first + tableCount
    let root = first
    var free = first + 1
    let frames = domain.frames
    let p2mMap = p2m
    let compat = kernel.isCompat
    func enter(_ linear: UInt64, _ pfn: UInt64, writable: Bool) {
      var table = root
      for level in stride(from: compat ? 3 : 4, to: 1, by: -1) {
        let index = Int((linear >> UInt64(3 + level * 9)) & (compat && level == 3 ? 3 : 511))
        var entry = frames.entry(p2mMap[Int(table)], index)
        if entry == 0 {
          entry = p2mMap[Int(free)].address | PTE.present
          if !(compat && level == 3) { entry |= PTE.writable | PTE.user | PTE.accessed | PTE.dirty }
          frames.setEntry(p2mMap[Int(table)], index, entry)
          free += 1
        }
        table = domain.hypervisor.physical(of: PTE.frame(entry))
      }
      let flags = PTE.present | PTE.accessed | PTE.dirty | (writable ? PTE.writable : 0) | (compat ? 0 : PTE.user)
      frames.setEntry(p2mMap[Int(table)], Int((linear >> 12) & 511), p2mMap[Int(pfn)].address | flags)
    }
    for pfn in 0..<mapped { enter(kernel.virtualBase &+ pfn << 12, pfn, writable: !range.contains(pfn)) }
    if let list = kernel.initialP2M {
      for n in 0..<p2mPages where first + tableCount + 1 + n < UInt64(p2m.count) {
        enter(list &+ n << 12, first + tableCount + 1 + n, writable: true)
      }
    }
    if compat, frames.entry(p2mMap[Int(root)], 3) == 0 {
      // The table of the last gigabyte, where the hypervisor's tables appear, is there from the start.
      frames.setEntry(p2mMap[Int(root)], 3, p2mMap[Int(free)].address | PTE.present)
    }
    next = first + tableCount + 1
    return Tables(rootPFN: root, count: tableCount, stack: first + tableCount)
  }

  /// Tables below the root (and with it, if it is to be counted) for a range.
  private func tablesFor(_ linear: UInt64, pages: UInt64, counted: Bool) -> UInt64 {
    func spans(_ shift: UInt64) -> UInt64 {
      let last = linear &+ (pages - 1) << 12
      let mask: UInt64 = kernel.isCompat ? 0xFFFF_FFFF : 0x0000_FFFF_FFFF_FFFF
      return (last & mask) >> shift - (linear & mask) >> shift + 1
    }
    return spans(21) + spans(30) + (kernel.isCompat ? 0 : spans(39)) + (counted ? 1 : 0)
  }

  // MARK: Processors

  private func prepareSharedInfo() {
    let h = domain.hypervisor
    let shared = domain.shared
    domain.writeWallClock()
    for n in 0..<SharedInfoLayout.legacyVCPUs {
      shared.storeBytes(of: 1, toByteOffset: n * SharedInfoLayout.vcpuInfoBytes + SharedInfoLayout.upcallMask, as: UInt8.self)
    }
    h.setPhysical(of: domain.sharedInfo, to: ~0)
  }

  private func makeProcessors(_ count: Int, root: MachineFrameNumber, startInfo: UInt64, stack: UInt64) throws(XenError) {
    for n in 0..<count { _ = try domain.addProcessor(n) }
    let v = domain.vcpus[0]
    try domain.pin(root, domain.rootType)
    try domain.loadRoot(root, v)
    var first = VCPU.FirstState()
    first.rip = kernel.entry
    first.registers[4] = stack
    first.registers[6] = startInfo
    first.rflags = RFLAGS.IF
    if domain.isCompat {
      first.cs = FlatSelector.compatKernelCode
      first.ss = FlatSelector.compatKernelData
      (first.ds, first.es, first.fs, first.gs) = (first.ss, first.ss, first.ss, first.ss)
    } else {
      first.cs = FlatSelector.ring3Code64
      first.ss = FlatSelector.ring3Data
    }
    v.kernelSS = first.ss
    v.kernelSP = stack
    v.start(first)
    v.upcallMask = true
    v.bringUp()
  }
}

extension Domain {
  /// One more virtual processor, without page tables yet.
  func addProcessor(_ n: Int) throws(XenError) -> VCPU {
    try makePerDomainTables(n)
    let v = VCPU(domain: self, index: n)
    vcpus.append(v)
    v.prepareProcessor()
    v.writeTimeInfo()
    if isCompat {
      guard let monitor = hypervisor.allocateFrame(for: .xen, shared: true) else { throw .ENOMEM }
      perDomainTables.append(monitor)
      v.monitorTable = monitor
      hypervisor.installOwnSlots(monitor, of: self)
    }
    return v
  }
}

/// Stubs by which a guest calls the hypervisor without knowing how (xen-x86_64.h, "hypercall interface").
enum HypercallPage {
  /// For a guest with page tables of its own: `mov eax, n`, an instruction that calls, `ret`; of IRET there is none.
  static func fill(_ frame: MachineFrameNumber, of domain: Domain, call: [UInt8]) {
    var page: [UInt8] = []
    for n in 0..<HypercallLimits.stubs {
      var stub = n == Int(Hypercall.iret.rawValue) ? [0x0F, 0x0B] : [0xB8, UInt8(n), 0, 0, 0] + call + [0xC3]
      stub += [UInt8](repeating: 0xCC, count: HypercallLimits.stubBytes - stub.count)
      page += stub
    }
    page.withUnsafeBytes { domain.frames.write($0, at: frame.address) }
  }

  static func fill(_ page: UnsafeMutableRawPointer, compat: Bool) {
    for n in 0..<HypercallLimits.stubs {
      let number = [UInt8(n), 0, 0, 0]
      let isReturn = n == Int(Hypercall.iret.rawValue)
      let code: [UInt8]
      if compat {
        // mov eax, n; int 82h; ret
        code = (isReturn ? [0x50] : []) + [0xB8] + number + [0xCD, 0x82] + (isReturn ? [] : [0xC3])
      } else {
        // push rcx; push r11; [push rax;] mov eax, n; syscall; pop r11; pop rcx; ret
        code = [0x51, 0x41, 0x53] + (isReturn ? [0x50] : []) + [0xB8] + number + [0x0F, 0x05] + (isReturn ? [] : [0x41, 0x5B, 0x59, 0xC3])
      }
      for k in 0..<HypercallLimits.stubBytes {
        page.storeBytes(of: k < code.count ? code[k] : 0xCC, toByteOffset: n * HypercallLimits.stubBytes + k, as: UInt8.self)
      }
    }
  }
}
