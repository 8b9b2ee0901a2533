import Platform
import Processor
import X86Decoder

/// From RIP to the operation to execute.
enum BlockLookup {
  /// Most operations a block can need: see `BlockBuilder`.
  private static let room = 64 * 5 + 8

  /// The operation for the instruction at RIP, decoded if need be; sets `codeBias`.
  ///
  /// Returns nil when a fault of the fetch was delivered (RIP is that of the handler then), or when the code does not lie in memory
  /// (then the instruction must be executed singly).
  static func find(_ cpu: CPU) -> OperationPointer? {
    let s = cpu.s
    let linear = Fetch.linear(cpu, s.pointee.rip)
    if linear == s.pointee.stopAddress { return stop(cpu) }
    if let page = cpu.codePage(linear: linear), isWithinLimit(cpu), page.pointee.key.csLimit == ~0 || page.pointee.key == cpu.codeKey {
      s.pointee.codeBias = (linear & ~0xFFF) &- base(cpu)
      return page.pointee.find(linear & 0xFFF) ?? build(cpu, page, at: linear & 0xFFF)
    }
    return findSlow(cpu)
  }

  /// The owner wants to look around before this instruction; no link leads to it, so every way there comes through here.
  @inline(never)
  private static func stop(_ cpu: CPU) -> OperationPointer? {
    cpu.s.pointee.exitRequest |= ExitRequest.observer
    return nil
  }

  /// Decodes a block of a page that the code TLB knows.
  @inline(never)
  private static func build(_ cpu: CPU, _ page: UnsafeMutablePointer<CodePage>, at offset: UInt64) -> OperationPointer? {
    let cache = cpu.codeCache
    let epoch = cache.epoch
    cache.reserve(room)
    let word = cpu.pageWord(page.pointee.physicalPage &<< 12)
    guard cache.epoch == epoch, let host = UnsafeRawPointer(bitPattern: word & ~PhysicalMemory.PageBits.mask) else {
      return findSlow(cpu)
    }
    return BlockBuilder(cpu, page, host: host).build(at: offset)
  }

  @inline(__always)
  private static func base(_ cpu: CPU) -> UInt64 {
    cpu.s.pointee.codeSize == .bits64 ? 0 : cpu.s.pointee.cs.base
  }

  @inline(__always)
  private static func isWithinLimit(_ cpu: CPU) -> Bool {
    cpu.s.pointee.codeSize == .bits64 || cpu.s.pointee.rip <= UInt64(cpu.s.pointee.cs.limit)
  }

  @inline(never)
  private static func findSlow(_ cpu: CPU) -> OperationPointer? {
    do {
      return try make(cpu)
    } catch {
      // The delivery counts, and a handler that cannot be fetched faults without end: the run loop looks at the count in between.
      cpu.deliver(error)
      cpu.s.pointee.exitRequest &= ~ExitRequest.codeChanged
      return nil
    }
  }

  private static func make(_ cpu: CPU) throws(Fault) -> OperationPointer? {
    if !isWithinLimit(cpu) { throw .generalProtection() }
    cpu.codeCache.reserve(room)
    guard let page = try page(cpu) else { return nil }
    let linear = Fetch.linear(cpu, cpu.s.pointee.rip)
    cpu.s.pointee.codeBias = (linear & ~0xFFF) &- base(cpu)
    if let op = page.pointee.find(linear & 0xFFF) { return op }
    let word = cpu.pageWord(page.pointee.physicalPage &<< 12)
    guard let host = UnsafeRawPointer(bitPattern: word & ~PhysicalMemory.PageBits.mask) else { return nil }
    return BlockBuilder(cpu, page, host: host).build(at: linear & 0xFFF)
  }

  /// Translates RIP and enters its page into the code TLB; nil where there is no memory.
  static func page(_ cpu: CPU) throws(Fault) -> UnsafeMutablePointer<CodePage>? {
    let s = cpu.s
    let linear = Fetch.linear(cpu, s.pointee.rip)
    let translation = try Fetch.translate(cpu, linear)
    let physical = translation.physical
    let word = cpu.pageWord(physical)
    if word & PhysicalMemory.PageBits.readable == 0 { return nil }
    let page = cpu.codeCache.makePage(physical &>> 12, key: cpu.codeKey)
    let entry = s.pointee.codeTLB + CodeTLB.index(linear)
    entry.pointee.tag = (linear & ~0xFFF) | UInt64(s.pointee.modeKey)
    entry.pointee.page = page
    entry.pointee.stamp = s.pointee.translationStamp
    cpu.noteCodePage(linear, global: translation.global)
    return page
  }

  /// Makes stores to the second page of an instruction that crosses noticeable.
  static func watchSecondPage(_ cpu: CPU, _ instruction: Instruction) throws(Fault) {
    let linear = Fetch.linear(cpu, cpu.s.pointee.rip)
    let length = UInt64(instruction.length)
    let first = 4096 &- (linear & 0xFFF)
    if first >= length { return }
    let second = Fetch.linear(cpu, cpu.s.pointee.rip &+ first)
    let translation = try Fetch.translate(cpu, second)
    cpu.noteCodePage(second, global: translation.global)
    let physical = translation.physical
    if cpu.pageWord(physical) & PhysicalMemory.PageBits.readable == 0 { return }
    _ = cpu.codeCache.makePage(physical &>> 12, key: cpu.codeKey)
    cpu.codeCache.mark(physical &>> 12, offset: 0, length: length &- first)
  }
}
