import X86
import X86Decoder

/// What a case's comparison leaves out.
struct HostMasks {
  /// Status flags that are not compared.
  var flags: UInt32 = 0
  /// General registers, by number.
  var registers: UInt32 = 0
  /// Bits 63-32 of all general registers.
  var upperHalves = false
  /// YMM registers, by number.
  var vectors: UInt32 = 0
  /// Bits of the x87 status word.
  var status: UInt16 = 0
  var mxcsr: UInt32 = 0
  /// How far x87 registers may be from each other, in units of the last place.
  var lastPlaces: UInt64 = 0
  /// XMM results may differ by this share: 2^-bits; 0 for none.
  var approximationBits: Int = 0
  /// Bytes of memory: address and length.
  var memory: [(UInt64, UInt64)] = []
  /// Pairs of exceptions that count as the same: the host's, the core's.
  var alternatives: [(UInt32, UInt32)] = []
  /// The faulting address and the error code.
  var faultDetails = false
  /// Where the exception returns to.
  var returnAddress = false
  /// Tags, TOP and registers of the x87 unit.
  var floats = false
}

/// An instruction of a case, for rules.
struct HostContext {
  let instruction: UnsafePointer<Instruction>
  /// Its offset in the code.
  let offset: Int
  let start: StatePointer
  /// What the host ended with, and what the core did.
  let end: StatePointer
  let core: StatePointer
  /// The case's code from this instruction on.
  let code: UnsafeBufferPointer<UInt8>
  let is32: Bool
  let host: HostFeatures
  /// The instruction is the first: registers are those of the case.
  let isFirst: Bool

  var mnemonic: Mnemonic { instruction.pointee.mnemonic }

  /// The core took an exception at this instruction.
  var coreFaultedHere: Bool { core.pointee.vector != HostLayout.noVector && core.pointee.rip == start.pointee.rip &+ UInt64(offset) }
  var faulted: Bool { end.pointee.vector != HostLayout.noVector }
  var isOverridden: Bool { instruction.pointee.segment == .fs || instruction.pointee.segment == .gs }

  /// Address of the memory operand of a case's last instruction, which has left the registers it is made of alone.
  var address: UInt64 { HostOperands.address(instruction, offset: offset, end, rip: start.pointee.rip, is32: is32) }
  /// Address of the memory operand, if registers are still those of the case.
  var startAddress: UInt64 { HostOperands.address(instruction, offset: offset, start, rip: start.pointee.rip, is32: is32) }
}

/// Where the host and the core legitimately differ, or a program cannot run the instruction: a rule with a reason, never a list of cases.
public struct HostRule: Sendable {
  enum Effect: Sendable {
    /// Rows that are never run.
    case exclude
    /// Cases that are not run.
    case skip
    /// Cases of which a part is not compared.
    case compare(String, @Sendable (inout HostMasks, HostContext) -> Void)

    var name: String {
      switch self {
      case .exclude: "not run"
      case .skip: "skipped"
      case .compare(let what, _): "compared without \(what)"
      }
    }
  }

  public let id: String
  public let reason: String
  let effect: Effect
  /// Rows that it may apply to.
  let rows: @Sendable (UInt16, HostFeatures) -> Bool
  let applies: @Sendable (HostContext) -> Bool

  /// Nothing may follow in a case, because it could make a defined result of what is not compared.
  let endsCase: Bool

  public var effectName: String { effect.name }

  init(
    _ id: String, _ effect: Effect, _ reason: String, rows: @escaping @Sendable (UInt16, HostFeatures) -> Bool, endsCase: Bool? = nil,
    applies: @escaping @Sendable (HostContext) -> Bool = { _ in true }
  ) {
    if let endsCase {
      self.endsCase = endsCase
    } else if case .compare = effect {
      self.endsCase = true
    } else {
      self.endsCase = false
    }
    self.id = id
    self.effect = effect
    self.reason = reason
    self.rows = rows
    self.applies = applies
  }

  /// For instructions by name.
  init(
    _ id: String, _ effect: Effect, _ reason: String, _ mnemonics: Set<Mnemonic>, onlyAMD: Bool = false, endsCase: Bool? = nil,
    applies: @escaping @Sendable (HostContext) -> Bool = { _ in true }
  ) {
    self.init(
      id, effect, reason, rows: { row, host in mnemonics.contains(OpcodeMap.mnemonic(row)) && (!onlyAMD || host.isAMD) }, endsCase: endsCase,
      applies: applies)
  }

  static let transcendental: Set<Mnemonic> = [.FSIN, .FCOS, .FSINCOS, .FPTAN, .FPATAN, .F2XM1, .FYL2X, .FYL2XP1]
  static let savesPointers: Set<Mnemonic> = [.FXSAVE, .XSAVE, .XSAVEOPT, .XSAVEC]
  static let conditionalMoves: Set<Mnemonic> = [.FCMOVB, .FCMOVBE, .FCMOVE, .FCMOVNB, .FCMOVNBE, .FCMOVNE, .FCMOVNU, .FCMOVU]
  static let flagComparisons: Set<Mnemonic> = [.FCOMI, .FCOMIP, .FUCOMI, .FUCOMIP]
  static let comparisons: Set<Mnemonic> = [.FCOM, .FCOMP, .FCOMPP, .FUCOM, .FUCOMP, .FUCOMPP, .FICOM, .FICOMP, .FTST]
  static let largeOperands: Set<Mnemonic> = [
    .FXSAVE, .FXRSTOR, .XSAVE, .XSAVEC, .XSAVEOPT, .XRSTOR, .FNSAVE, .FRSTOR, .FNSTENV, .FLDENV,
  ]
  static let gathers: Set<Mnemonic> = [
    .VGATHERDPD, .VGATHERDPS, .VGATHERQPD, .VGATHERQPS, .VPGATHERDD, .VPGATHERDQ, .VPGATHERQD, .VPGATHERQQ,
  ]
  static let secureHashes: Set<Mnemonic> = [.SHA1MSG1, .SHA1MSG2, .SHA1NEXTE, .SHA1RNDS4, .SHA256MSG1, .SHA256MSG2, .SHA256RNDS2]
  static let maskedMoves: Set<Mnemonic> = [.MASKMOVQ, .MASKMOVDQU, .VMASKMOVDQU]
  static let approximations: Set<Mnemonic> = [.RCPPS, .RCPSS, .RSQRTPS, .RSQRTSS, .VRCPPS, .VRCPSS, .VRSQRTPS, .VRSQRTSS]
}

/// Which rules an opcode row is subject to on this host; worked out once.
final class HostRuleTable: @unchecked Sendable {
  let host: HostFeatures
  /// Rule that keeps a row from being run, or nil.
  let excluding: [Int?]
  /// Rules to ask about each case.
  let asked: [[Int]]
  /// The number of the rule for branches into the middle of an instruction.
  let strayRule = HostRule.all.firstIndex { $0.id == HostRule.strayID }!
  /// Results of a row may differ, so nothing may follow that uses them.
  let isLast: [Bool]

  init(host: HostFeatures) {
    self.host = host
    let count = OpcodeMap.shared.rowCount
    var excluding: [Int?] = Array(repeating: nil, count: count)
    var asked: [[Int]] = Array(repeating: [], count: count)
    var isLast = Array(repeating: false, count: count)
    for row in 0..<UInt16(count) {
      for (n, rule) in HostRule.all.enumerated() where rule.rows(row, host) {
        if case .exclude = rule.effect {
          if excluding[Int(row)] == nil { excluding[Int(row)] = n }
        } else {
          asked[Int(row)].append(n)
          if rule.endsCase { isLast[Int(row)] = true }
        }
      }
    }
    self.excluding = excluding
    self.asked = asked
    self.isLast = isLast
  }
}
