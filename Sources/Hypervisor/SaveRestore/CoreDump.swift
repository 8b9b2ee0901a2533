import Processor
import X86
import XenABI

/// A domain's memory and processors as a file for debuggers: an ELF file of Xen's dump-core format, version 0.1, as `crash` reads it
/// (docs/misc/dump-core-format.txt; arch-x86/xen.h, struct vcpu_guest_context).
///
/// Not modelled: MMX and AVX state beyond what FXSAVE shows.
extension Hypervisor {
  public func dumpCore(of domain: Domain, to sink: any ByteSink) throws(BuildError) { try CoreDump(domain).write(to: sink) }
}

private struct CoreDump {
  private let domain: Domain
  /// What comes before the pages and, from `tail` on, what comes behind them.
  private var file: [UInt8] = []
  private var tail = 0
  private let pages: [MachineFrameNumber]
  /// Bytes of the pages, where they stand already.
  private var pageBytes = 0
  /// Section headers, their names and sizes.
  private var names: [UInt8] = [0]
  private var headers: [UInt8] = []
  private var sections = 0

  private enum SectionType {
    static let programBits: UInt32 = 1
    static let strings: UInt32 = 3
    static let note: UInt32 = 7
  }
  private static let headerBytes = 64

  init(_ domain: Domain) {
    self.domain = domain
    // A guest that crashed may have numbered its frames in any way: the first of a number counts, those without one are left out.
    var frames: [UInt64: MachineFrameNumber] = [:]
    for number in domain.ownedFrames.sorted() {
      let frame = MachineFrameNumber(number), pfn = domain.hypervisor.physical(of: frame)
      if pfn <= domain.highestPFN, frames[pfn] == nil { frames[pfn] = frame }
    }
    let list = frames.sorted { $0.key < $1.key }
    pages = list.map(\.value)
    file += [UInt8](repeating: 0, count: Self.headerBytes)
    addHeader("", 0, 0..<0, 0)
    let notes = add(noteBytes(pages: list.count))
    addHeader(".note.Xen", SectionType.note, notes, 0)
    addHeader(".xen_prstatus", SectionType.programBits, add(domain.vcpus.flatMap { Self.context($0) }), UInt64(domain.isCompat ? 2800 : 5168))
    addHeader(".xen_shared_info", SectionType.programBits, add(Array(UnsafeRawBufferPointer(start: domain.shared, count: 4096))), 4096)
    let map = add(list.flatMap { Self.bytes($0.key) + Self.bytes($0.value.rawValue) })
    addHeader(".xen_p2m", SectionType.programBits, map, 16)
    align(4096)
    tail = file.count
    pageBytes = pages.count * 4096
    addHeader(".xen_pages", SectionType.programBits, tail..<end, 4096)
    let nameAt = names.count
    names += Array(".shstrtab".utf8) + [0]
    let strings = add(names)
    addHeader(nameAt, SectionType.strings, strings, 0)
    align(8)
    let table = end
    file += headers
    file.replaceSubrange(0..<Self.headerBytes, with: elfHeader(sectionTable: table))
  }

  /// Where the next byte stands in the file.
  private var end: Int { file.count + pageBytes }

  func write(to sink: any ByteSink) throws(BuildError) {
    try sink.take(Array(file[..<tail]))
    for frame in pages { try sink.take(UnsafeRawBufferPointer(start: domain.frames.contents(frame), count: 4096)) }
    try sink.take(Array(file[tail...]))
  }

  private static func bytes<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }

  private mutating func align(_ to: Int) { file += [UInt8](repeating: 0, count: (to - file.count % to) % to) }

  private mutating func add(_ contents: [UInt8]) -> Range<Int> {
    align(8)
    file += contents
    return end - contents.count..<end
  }

  private mutating func addHeader(_ name: String, _ type: UInt32, _ place: Range<Int>, _ entryBytes: UInt64) {
    var at = 0
    if !name.isEmpty {
      at = names.count
      names += Array(name.utf8) + [0]
    }
    addHeader(at, type, place, entryBytes)
  }

  private mutating func addHeader(_ name: Int, _ type: UInt32, _ place: Range<Int>, _ entryBytes: UInt64) {
    headers += Self.bytes(UInt32(name)) + Self.bytes(type) + Self.bytes(UInt64(0)) + Self.bytes(UInt64(0))
    headers += Self.bytes(UInt64(place.lowerBound)) + Self.bytes(UInt64(place.count)) + Self.bytes(UInt64(0))
    headers += Self.bytes(UInt64(type == 0 ? 0 : 8)) + Self.bytes(entryBytes)
    sections += 1
  }

  /// A core file, little-endian, without program headers.
  private func elfHeader(sectionTable: Int) -> [UInt8] {
    var header: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 9)
    header += Self.bytes(UInt16(4)) + Self.bytes(UInt16(domain.isCompat ? 3 : 62)) + Self.bytes(UInt32(1))
    header += Self.bytes(UInt64(0)) + Self.bytes(UInt64(0)) + Self.bytes(UInt64(sectionTable)) + Self.bytes(UInt32(0))
    for field in [Self.headerBytes, 0, 0, 64, sections, sections - 1] { header += Self.bytes(UInt16(field)) }
    return header
  }

  // MARK: Notes

  private func noteBytes(pages: Int) -> [UInt8] {
    func note(_ type: UInt32, _ contents: [UInt8]) -> [UInt8] {
      Self.bytes(UInt32(4)) + Self.bytes(UInt32(contents.count)) + Self.bytes(type) + Array("Xen\0".utf8) + contents
    }
    func text(_ text: String, _ room: Int) -> [UInt8] {
      let bytes = Array(text.utf8.prefix(room - 1))
      return bytes + [UInt8](repeating: 0, count: room - bytes.count)
    }
    let header = [0xF00F_EBED, UInt64(domain.vcpus.count), UInt64(pages), 4096].flatMap { Self.bytes($0) }
    let version = Self.bytes(UInt64(XenIdentity.major)) + Self.bytes(UInt64(XenIdentity.minor)) + text(XenIdentity.extra, 16)
      + text("swift", 64) + text("xenolith", 16) + text("", 32) + text("", 32) + text(XenIdentity.capabilities, 1024) + text("unavailable", 64)
      + Self.bytes(domain.isCompat ? XenLayout.compatStart : XenLayout.start) + Self.bytes(UInt64(4096))
    return note(0x200_0000, []) + note(0x200_0001, header) + note(0x200_0002, version) + note(0x200_0003, Self.bytes(UInt64(1)))
  }

  // MARK: Processors

  private static func context(_ v: VCPU) -> [UInt8] {
    let compat = v.domain.isCompat
    let s = v.cpu.s
    func word(_ value: UInt64) -> [UInt8] { compat ? bytes(UInt32(truncatingIfNeeded: value)) : bytes(value) }
    func gpr(_ n: UInt8) -> [UInt8] { word(v.cpu.gpr(n)) }
    func selector(_ value: UInt16) -> [UInt8] { word(UInt64(value)) }
    func root(_ frame: MachineFrameNumber) -> UInt64 {
      frame == .invalid ? 0 : compat ? (frame.rawValue &<< 12) & 0xFFFF_FFFF | frame.rawValue &>> 20 : frame.address
    }
    var c = floatingPoint(v)
    // VGCF_in_kernel, VGCF_online.
    c += word((v.inKernel ? 4 : 0) | (v.state != .offline ? 32 : 0))
    let flags = (v.cpu.rflags() & ~RFLAGS.IF) | (v.upcallMask ? 0 : RFLAGS.IF)
    if compat {
      for n in [3, 1, 2, 6, 7, 5, 0] as [UInt8] { c += gpr(n) }
      c += bytes(UInt32(0)) + word(s.pointee.rip) + bytes(s.pointee.cs.selector) + [v.upcallMask ? 1 : 0, 0]
    } else {
      for n in [15, 14, 13, 12, 5, 3, 11, 10, 9, 8, 0, 1, 2, 6, 7] as [UInt8] { c += gpr(n) }
      c += bytes(UInt64(0)) + word(s.pointee.rip) + bytes(UInt32(s.pointee.cs.selector)) + [v.upcallMask ? 1 : 0, 0, 0, 0]
    }
    c += word(flags) + gpr(4)
    for register in [s.pointee.ss, s.pointee.es, s.pointee.ds, s.pointee.fs, s.pointee.gs] { c += selector(register.selector) }
    for (vector, entry) in v.traps.enumerated() {
      c += [UInt8(vector), entry.dpl | (entry.masksEvents ? 4 : 0)] + bytes(entry.cs)
      if !compat { c += [0, 0, 0, 0] }
      c += word(entry.address)
    }
    c += word(v.ldtBase) + word(UInt64(v.ldtEntries))
    for n in 0..<16 { c += word(n < v.gdtFrames.count ? v.gdtFrames[n].rawValue : 0) }
    c += word(UInt64(v.gdtFrames.count * 512)) + word(UInt64(v.kernelSS)) + word(v.kernelSP)
    let user: UInt64 = if let userRoot = v.userRoot { root(userRoot) } else { 0 }
    let controls: [UInt64] = [s.pointee.cr0, user, v.faultAddress, root(v.kernelRoot), s.pointee.cr4, 0, 0, 0]
    for value in controls { c += word(value) }
    for n in 0..<8 as Range<UInt8> { c += word(n == 4 || n == 5 ? 0 : v.cpu.debugRegister(n)) }
    if compat {
      for entry in [v.eventCallback, v.failsafeCallback] { c += selector(entry.cs) + word(entry.address) }
      return c + word(v.domain.assists)
    }
    for entry in [v.eventCallback, v.failsafeCallback, v.syscallCallback] { c += word(entry.address) }
    c += word(v.domain.assists) + word(s.pointee.fs.base)
    return c + word(v.inKernel ? s.pointee.gs.base : s.pointee.kernelGSBase) + word(v.inKernel ? s.pointee.kernelGSBase : s.pointee.gs.base)
  }

  /// As FXSAVE writes it (SDM vol. 1 §10.5.1).
  private static func floatingPoint(_ v: VCPU) -> [UInt8] {
    let s = v.cpu.s
    let x = s.pointee.x87
    var image = bytes(x.controlWord) + bytes(x.statusWord & ~0x3800 | UInt16(x.top & 7) << 11) + [x.valid, 0] + bytes(x.lastOpcode)
    image += bytes(x.lastInstruction) + bytes(x.lastOperand) + bytes(s.pointee.mxcsr) + bytes(UInt32(0xFFFF))
    let physical = [x.r0, x.r1, x.r2, x.r3, x.r4, x.r5, x.r6, x.r7]
    for n in 0..<8 {
      let register = physical[(Int(x.top) + n) & 7]
      image += bytes(register.significand) + bytes(register.signExponent) + [0, 0, 0, 0, 0, 0]
    }
    for n in 0..<16 as Range<UInt8> { image += bytes(v.cpu.vector(n).pointee.q0) + bytes(v.cpu.vector(n).pointee.q1) }
    return image + [UInt8](repeating: 0, count: 512 - image.count)
  }
}
