import HostOracle
import X86
import X86Decoder

/// One thing that the core has otherwise than the host.
public struct HostDifference: Sendable, Equatable {
  public var what: String
  public var before: String
  public var host: String
  public var core: String
  /// Which flags differ, or nothing.
  public var note = ""
}

/// Compares the two end states of a case.
struct HostComparison {
  let c: CasePointer
  let program: HostProgram
  let rules: HostRuleTable
  let core: StatePointer
  let coreLines: UnsafeMutablePointer<HostLines>
  /// Whether the core came to an end.
  let isDone: Bool
  let banks: UnsafePointer<UInt8>

  private var host: StatePointer { c.end }
  private var is32: Bool { c.pointee.is32 != 0 }

  enum Verdict {
    case agree
    /// A rule found that the case says nothing.
    case skipped(Int)
    case differ([HostDifference])
  }

  /// Instructions that were begun, going by where the case ended; all if it branches.
  var begun: Int {
    if program.branches || host.pointee.vector == HostLayout.noVector { return program.count }
    let at = host.pointee.rip &- c.start.pointee.rip
    for n in 0..<program.count where UInt64(program.offset(n)) >= at { return n + 1 }
    return program.count
  }

  /// - Parameter counts: of cases a rule applied to, by rule.
  func verdict(counting counts: inout [Int]) -> Verdict {
    var masks = HostMasks()
    let begun = begun
    for n in 0..<begun {
      let i = program.instructions + n
      let row = i.pointee.row
      let isStopped = n == begun - 1 && host.pointee.vector != HostLayout.noVector && !program.branches
      // What faulted has changed no flags, and its traps come behind it.
      if !isStopped || host.pointee.rip != c.start.pointee.rip &+ UInt64(program.offset(n)) {
        let undefined = HostFlags.undefined(i, c.start, isFirst: n == 0)
        masks.flags = program.branches ? masks.flags | undefined : masks.flags & ~OpcodeMap.shared.flagsModified(row) | undefined
      }
      if rules.asked[Int(row)].isEmpty { continue }
      let context = HostContext(
        instruction: UnsafePointer(i), offset: program.offset(n), start: c.start, end: c.end, core: core,
        code: UnsafeBufferPointer(start: c.code + program.offset(n), count: c.length - program.offset(n)), is32: is32, host: rules.host, isFirst: n == 0)
      for number in rules.asked[Int(row)] where HostRule.all[number].applies(context) {
        counts[number] += 1
        switch HostRule.all[number].effect {
        case .exclude: break
        case .skip: return .skipped(number)
        case .compare(_, let apply): apply(&masks, context)
        }
      }
    }
    var found: [HostDifference] = []
    compare(masks, &found)
    return found.isEmpty ? .agree : .differ(found)
  }

  private func compare(_ masks: HostMasks, _ found: inout [HostDifference]) {
    let h = host.pointee, k = core.pointee
    if h.signal == HostLayout.systemCall || h.signal == HostLayout.stopped || !isDone {
      let hostEnd = h.signal == HostLayout.systemCall ? "a system call" : h.signal == HostLayout.stopped ? "no end" : "an end"
      let coreEnd = isDone ? HostEvent.text(k.vector) : "no end"
      if !(h.signal == HostLayout.stopped && !isDone) { found.append(HostDifference(what: "end", before: "", host: hostEnd, core: coreEnd)) }
      return
    }
    if h.vector != k.vector {
      if masks.alternatives.contains(where: { $0 == h.vector && $1 == k.vector }) { return }
      found.append(HostDifference(what: "event", before: "", host: HostEvent.text(h.vector), core: HostEvent.text(k.vector)))
      if h.rip != k.rip { found.append(word("RIP", c.start.pointee.rip, h.rip, k.rip)) }
    } else if h.vector != HostLayout.noVector {
      compareEvent(masks, &found)
    }
    registers(masks, &found)
    floats(masks, &found)
    memory(masks, &found)
  }

  private func compareEvent(_ masks: HostMasks, _ found: inout [HostDifference]) {
    let h = host.pointee, k = core.pointee
    if masks.faultDetails {
      // Nothing.
    } else if h.vector == 14 {
      if h.faultAddress != k.faultAddress { found.append(word("CR2", nil, h.faultAddress, k.faultAddress)) }
      // Linux shows every fault beyond the user's addresses as one of protection.
      let mask: UInt32 = h.faultAddress >= 0x7FFF_FFFF_F000 ? ~1 : ~0
      if (h.errorCode ^ k.errorCode) & mask != 0 { found.append(word("error code", nil, UInt64(h.errorCode), UInt64(k.errorCode))) }
    } else if h.errorCode != k.errorCode {
      found.append(word("error code", nil, UInt64(h.errorCode), UInt64(k.errorCode)))
    }
    let mask: UInt64 = k.cs == HostLayout.code32 ? 0xFFFF_FFFF : ~0
    if (h.rip ^ k.rip) & mask != 0, !masks.returnAddress { found.append(word("RIP", c.start.pointee.rip, h.rip, k.rip)) }
    if h.cs != k.cs { found.append(word("CS", UInt64(c.start.pointee.cs), UInt64(h.cs), UInt64(k.cs))) }
  }

  private func registers(_ masks: HostMasks, _ found: inout [HostDifference]) {
    let wide = !is32
    let mask: UInt64 = wide && !masks.upperHalves ? ~0 : 0xFFFF_FFFF
    for n in 0..<(wide ? 16 : 8) where (host.gpr(n) ^ core.gpr(n)) & mask != 0 && masks.registers >> UInt32(n) & 1 == 0 {
      found.append(word(HostNames.general[n], c.start.gpr(n), host.gpr(n) & mask, core.gpr(n) & mask))
    }
    // CF PF AF ZF SF OF, DF, TF, NT, AC, ID.
    let flags = 0x24_4DD5 & ~masks.flags
    let different = UInt32(truncatingIfNeeded: host.pointee.rflags ^ core.pointee.rflags) & flags
    if different != 0 {
      var d = word("RFLAGS", c.start.pointee.rflags, host.pointee.rflags, core.pointee.rflags)
      d.note = FlagNames.text(different)
      found.append(d)
    }
    let h = host.pointee, k = core.pointee, s = c.start.pointee
    for (name, a, b, before) in [("ES", h.es, k.es, s.es), ("SS", h.ss, k.ss, s.ss), ("DS", h.ds, k.ds, s.ds), ("FS", h.fs, k.fs, s.fs), ("GS", h.gs, k.gs, s.gs)] as [(String, UInt16, UInt16, UInt16)]
    // The return from the host's kernel takes the RPL off null selectors.
    where a != b && (a | b) & 0xFFFC != 0 {
      found.append(word(name, UInt64(before), UInt64(a), UInt64(b)))
    }
    if h.fsBase != k.fsBase { found.append(word("FS base", s.fsBase, h.fsBase, k.fsBase)) }
    if h.gsBase != k.gsBase { found.append(word("GS base", s.gsBase, h.gsBase, k.gsBase)) }
  }

  private func floats(_ masks: HostMasks, _ found: inout [HostDifference]) {
    if host.controlWord != core.controlWord { found.append(word("FCW", UInt64(c.start.controlWord), UInt64(host.controlWord), UInt64(core.controlWord))) }
    if (host.statusWord ^ core.statusWord) & ~masks.status != 0 {
      found.append(word("FSW", UInt64(c.start.statusWord), UInt64(host.statusWord), UInt64(core.statusWord)))
    }
    if host.tags != core.tags, !masks.floats { found.append(word("FTW", UInt64(c.start.tags), UInt64(host.tags), UInt64(core.tags))) }
    for n in 0..<8 where !masks.floats && (host.significand(n) != core.significand(n) || host.signExponent(n) != core.signExponent(n)) {
      if masks.lastPlaces != 0, HostFloats.distance(host, core, n) <= masks.lastPlaces { continue }
      func text(_ s: StatePointer) -> String { Hex.text(UInt64(s.signExponent(n)), 4) + ":" + Hex.text(s.significand(n), 16) }
      found.append(HostDifference(what: "ST\(n)", before: text(c.start), host: text(host), core: text(core)))
    }
    if (host.mxcsr ^ core.mxcsr) & ~masks.mxcsr != 0 {
      found.append(word("MXCSR", UInt64(c.start.mxcsr), UInt64(host.mxcsr), UInt64(core.mxcsr)))
    }
    for n in 0..<16 where masks.vectors >> UInt32(n) & 1 == 0 {
      let a = UnsafeRawPointer(host) + HostLayout.ymm + n * 32, b = UnsafeRawPointer(core) + HostLayout.ymm + n * 32
      let x = a.loadUnaligned(as: SIMD4<UInt64>.self), y = b.loadUnaligned(as: SIMD4<UInt64>.self)
      if x == y { continue }
      if masks.approximationBits != 0, HostFloats.areClose(x, y, bits: masks.approximationBits) { continue }
      func text(_ v: SIMD4<UInt64>) -> String { (0..<4).reversed().map { Hex.text(v[$0], 16) }.joined(separator: "_") }
      let before = (UnsafeRawPointer(c.start) + HostLayout.ymm + n * 32).loadUnaligned(as: SIMD4<UInt64>.self)
      found.append(HostDifference(what: "YMM\(n)", before: text(before), host: text(x), core: text(y)))
    }
  }

  private func memory(_ masks: HostMasks, _ found: inout [HostDifference]) {
    let a = c.lines, b = coreLines
    if a.pointee.count == b.pointee.count, a.pointee.hash == b.pointee.hash { return }
    // Line by line, both lists in rising order.
    var i = 0, j = 0, shown = 0
    while i < a.held || j < b.held, shown < 4 {
      let x = i < a.held ? a.index(i) : Int.max, y = j < b.held ? b.index(j) : Int.max
      let line = min(x, y)
      for k in 0..<8 {
        let address = HostLayout.data + UInt64(line * 64 + k * 8)
        let old = before(line, k)
        // A line that is not held is the bank's again, whatever the case had put there.
        let bank = UnsafeRawPointer(banks).loadUnaligned(
          fromByteOffset: Int(c.pointee.bank) % HostLayout.banks * Int(HostLayout.dataSize) + line * 64 + k * 8, as: UInt64.self)
        let p = x == line ? a.word(i, k) : bank, q = y == line ? b.word(j, k) : bank
        var mask: UInt64 = ~0
        for (start, length) in masks.memory {
          for byte in 0..<8 as Range<UInt64> where address &+ byte &- start < length { mask &= ~(0xFF << (byte * 8)) }
        }
        if (p ^ q) & mask != 0, shown < 4 {
          shown += 1
          found.append(word("[\(Hex.text(address, 8))]", old, p, q))
        }
      }
      if x == line { i += 1 }
      if y == line { j += 1 }
    }
    if shown == 0, masks.memory.isEmpty { found.append(word("memory", nil, UInt64(a.pointee.count), UInt64(b.pointee.count))) }
  }

  /// What memory held before the case.
  private func before(_ line: Int, _ k: Int) -> UInt64 {
    withUnsafeTemporaryAllocation(byteCount: Int(HostLayout.dataSize), alignment: 64) { buffer in
      host_oracle_fill(buffer.baseAddress!.assumingMemoryBound(to: UInt8.self), banks, c)
      return buffer.load(fromByteOffset: line * 64 + k * 8, as: UInt64.self)
    }
  }

  private func word(_ what: String, _ before: UInt64?, _ a: UInt64, _ b: UInt64) -> HostDifference {
    let digits = max(a, b, before ?? 0) >> 32 != 0 ? 16 : 8
    return HostDifference(what: what, before: before.map { Hex.text($0, digits) } ?? "", host: Hex.text(a, digits), core: Hex.text(b, digits))
  }
}

enum HostNames {
  static let general = ["RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"]
}

enum HostEvent {
  static func text(_ vector: UInt32) -> String {
    let names = ["#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "9", "#TS", "#NP", "#SS", "#GP", "#PF", "15", "#MF", "#AC", "#MC", "#XM"]
    if vector == HostLayout.noVector { return "none" }
    return vector < names.count ? names[Int(vector)] : "vector \(vector)"
  }
}

enum HostFlags {
  /// Status flags that the instruction leaves undefined, with what is known of its operands.
  static func undefined(_ i: UnsafeMutablePointer<Instruction>, _ start: StatePointer, isFirst: Bool) -> UInt32 {
    var undefined = OpcodeMap.shared.flagsUndefined(i.pointee.row)
    switch i.pointee.mnemonic {
    case .ROL, .ROR, .RCL, .RCR, .SHL, .SHR, .SAR, .SHLD, .SHRD:
      let last = i.pointee.op2.kind == .none ? i.pointee.op1 : i.pointee.op2
      let count: UInt64
      switch last.kind {
      case .immediate: count = i.pointee.immediate
      case .one: count = 1
      default:
        // CL of a later instruction is anybody's guess.
        guard isFirst else { return undefined | 1 }
        count = start.gpr(1)
      }
      let used = count & (i.pointee.op0.size == 8 ? 63 : 31)
      if used == 0 { return 0 }
      if used == 1 { undefined &= ~0x800 }
      // SDM: CF is undefined for SHL and SHR by the operand's size or more.
      if i.pointee.mnemonic == .SHL || i.pointee.mnemonic == .SHR, used >= UInt64(i.pointee.op0.size) * 8 { undefined |= 1 }
    default: break
    }
    return undefined
  }
}

enum HostFloats {
  /// Distance of the two contents of ST(n) in units of the last place, or a large number.
  static func distance(_ a: StatePointer, _ b: StatePointer, _ n: Int) -> UInt64 {
    // Sign and exponent above the fraction, so that neighbours across a power of two are neighbours.
    func key(_ s: StatePointer) -> (UInt64, UInt64) { (UInt64(s.signExponent(n)), s.significand(n) & (1 << 63 - 1)) }
    let (x, y) = (key(a), key(b))
    if x.0 == y.0 { return x.1 > y.1 ? x.1 - y.1 : y.1 - x.1 }
    if x.0 + 1 == y.0 { return (1 << 63 - x.1) &+ y.1 }
    if y.0 + 1 == x.0 { return (1 << 63 - y.1) &+ x.1 }
    return .max
  }

  /// Whether two vectors of singles differ by a relative error of at most 2^-bits in each element.
  static func areClose(_ x: SIMD4<UInt64>, _ y: SIMD4<UInt64>, bits: Int) -> Bool {
    for lane in 0..<8 {
      let shift = UInt64(lane & 1) * 32
      let a = UInt32(truncatingIfNeeded: x[lane >> 1] >> shift), b = UInt32(truncatingIfNeeded: y[lane >> 1] >> shift)
      if a == b { continue }
      if a >> 31 != b >> 31 { return false }
      let (m, n) = (a & 0x7FFF_FFFF, b & 0x7FFF_FFFF)
      if m >= 0x7F80_0000 || n >= 0x7F80_0000 { return false }
      if (m > n ? m - n : n - m) >> UInt32(24 - bits) != 0 { return false }
    }
    return true
  }
}
