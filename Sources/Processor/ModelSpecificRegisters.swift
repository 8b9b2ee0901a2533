import X86

/// Model-specific registers (SDM vol. 4). What is not listed raises #GP, as does a write that sets reserved bits.
///
/// Bits 63-32 of IA32_SYSENTER_CS, which the processor does not use, are not kept.
///
/// Not modelled: performance monitoring, last-branch records and BTF (their bits of IA32_DEBUGCTL are kept without effect), speculation
/// controls, power and thermal management.

public enum MSR {
  public static let p5MachineCheckAddress: UInt32 = 0x0
  public static let p5MachineCheckType: UInt32 = 0x1
  public static let timeStampCounter: UInt32 = 0x10
  public static let platformID: UInt32 = 0x17
  public static let apicBase: UInt32 = 0x1B
  public static let featureControl: UInt32 = 0x3A
  public static let tscAdjust: UInt32 = 0x3B
  public static let microcodeUpdate: UInt32 = 0x79
  public static let microcodeRevision: UInt32 = 0x8B
  public static let mtrrCapabilities: UInt32 = 0xFE
  public static let archCapabilities: UInt32 = 0x10A
  public static let sysenterCS: UInt32 = 0x174
  public static let sysenterESP: UInt32 = 0x175
  public static let sysenterEIP: UInt32 = 0x176
  public static let machineCheckCapabilities: UInt32 = 0x179
  public static let machineCheckStatus: UInt32 = 0x17A
  public static let miscEnable: UInt32 = 0x1A0
  public static let debugControl: UInt32 = 0x1D9
  public static let mtrrPhysicalBase0: UInt32 = 0x200
  public static let mtrrFix64K: UInt32 = 0x250
  public static let mtrrFix16K: UInt32 = 0x258
  public static let mtrrFix4K: UInt32 = 0x268
  public static let pat: UInt32 = 0x277
  public static let mtrrDefaultType: UInt32 = 0x2FF
  public static let machineCheckBank0: UInt32 = 0x400
  public static let tscDeadline: UInt32 = 0x6E0
  public static let x2APICFirst: UInt32 = 0x800
  public static let x2APICLast: UInt32 = 0x8FF
  public static let xss: UInt32 = 0xDA0
  public static let efer: UInt32 = 0xC000_0080
  public static let star: UInt32 = 0xC000_0081
  public static let lstar: UInt32 = 0xC000_0082
  public static let cstar: UInt32 = 0xC000_0083
  public static let sfmask: UInt32 = 0xC000_0084
  public static let fsBase: UInt32 = 0xC000_0100
  public static let gsBase: UInt32 = 0xC000_0101
  public static let kernelGSBase: UInt32 = 0xC000_0102
  public static let tscAux: UInt32 = 0xC000_0103
}

/// Registers that are only stored: memory types and machine checks have no effect here.
public struct ModelSpecificState {
  static let variableRanges = 8
  static let banks = 4
  /// Base and mask in turn.
  public var mtrrVariable = InlineArray<16, UInt64>(repeating: 0)
  /// 64K, two of 16K, eight of 4K.
  public var mtrrFixed = InlineArray<11, UInt64>(repeating: 0)
  public var tscAdjust: UInt64 = 0
  public var debugControl: UInt64 = 0
  public var machineCheckStatus: UInt64 = 0
  /// CTL, STATUS, ADDR, MISC of each bank.
  public var machineCheckBanks = InlineArray<16, UInt64>(repeating: 0)
  public init() {}
}

extension CPU {
  /// RDMSR.
  /// - Returns: nil where the register does not exist (#GP).
  public func readMSR(_ index: UInt32) -> UInt64? {
    let features = environment.model.features
    if !features.contains(.msr) { return nil }
    switch index {
    case MSR.p5MachineCheckAddress, MSR.p5MachineCheckType: return features.contains(.mce) ? 0 : nil
    case MSR.timeStampCounter: return features.contains(.tsc) ? readTSC() : nil
    case MSR.platformID where features.contains(.p6): return 0
    case MSR.apicBase: return features.contains(.apic) && features.contains(.p6) ? environment.bus.readAPICRegister(index) : nil
    case MSR.featureControl where features.contains(.longMode): return 1
    case MSR.tscAdjust where features.contains(.tscAdjust): return s.pointee.msr.tscAdjust
    case MSR.microcodeRevision where features.contains(.p6): return 1 << 32
    case MSR.mtrrCapabilities where features.contains(.mtrr): return 0x500 | UInt64(ModelSpecificState.variableRanges)
    case MSR.archCapabilities where features.contains(.archCapabilities): return environment.model.archCapabilities
    case MSR.sysenterCS where features.contains(.sep): return s.pointee.sysenterCS
    case MSR.sysenterESP where features.contains(.sep): return s.pointee.sysenterESP
    case MSR.sysenterEIP where features.contains(.sep): return s.pointee.sysenterEIP
    case MSR.machineCheckCapabilities where features.contains(.mca): return UInt64(ModelSpecificState.banks)
    case MSR.machineCheckStatus where features.contains(.mca): return s.pointee.msr.machineCheckStatus
    case MSR.miscEnable where features.contains(.p6): return s.pointee.miscEnable
    case MSR.debugControl where features.contains(.p6): return s.pointee.msr.debugControl
    case MSR.mtrrPhysicalBase0..<(MSR.mtrrPhysicalBase0 + 16) where features.contains(.mtrr):
      return s.pointee.msr.mtrrVariable[Int(index - MSR.mtrrPhysicalBase0)]
    case MSR.pat where features.contains(.pat): return s.pointee.pat
    case MSR.mtrrDefaultType where features.contains(.mtrr): return s.pointee.mtrrDefType
    case MSR.machineCheckBank0..<(MSR.machineCheckBank0 + 16) where features.contains(.mca):
      return s.pointee.msr.machineCheckBanks[Int(index - MSR.machineCheckBank0)]
    case MSR.tscDeadline where features.contains(.tscDeadline): return environment.bus.readAPICRegister(index)
    case MSR.x2APICFirst...MSR.x2APICLast where features.contains(.x2apic): return environment.bus.readAPICRegister(index)
    case MSR.xss where features.contains(.xsaves): return s.pointee.xss
    case MSR.efer where features.contains(.longMode) || features.contains(.nx) || features.contains(.syscall):
      return s.pointee.efer
    case MSR.tscAux where features.contains(.rdtscp) || features.contains(.rdpid): return s.pointee.tscAux
    default: break
    }
    if let n = Self.fixedRange(index), features.contains(.mtrr) { return s.pointee.msr.mtrrFixed[n] }
    if features.contains(.longMode) {
      switch index {
      case MSR.star: return s.pointee.star
      case MSR.lstar: return s.pointee.lstar
      case MSR.cstar: return s.pointee.cstar
      case MSR.sfmask: return s.pointee.sfmask
      case MSR.fsBase: return s.pointee.fs.base
      case MSR.gsBase: return s.pointee.gs.base
      case MSR.kernelGSBase: return s.pointee.kernelGSBase
      default: break
      }
    }
    return nil
  }

  /// WRMSR.
  /// - Throws: #GP(0) for a register that does not exist and for values it cannot hold.
  public func writeMSR(_ index: UInt32, _ value: UInt64) throws(Fault) {
    // Existence is the same question for reading and writing, but for the command registers.
    if index == MSR.microcodeUpdate, has(.p6) { return }
    // Some x2APIC registers are write-only (EOI, self-IPI), others read-only (SDM vol. 3A table 11-6): the APIC knows.
    if MSR.x2APICFirst...MSR.x2APICLast ~= index, has(.x2apic) { return try writeAPIC(index, value) }
    guard let old = readMSR(index) else { throw .generalProtection() }
    switch index {
    case MSR.p5MachineCheckAddress, MSR.p5MachineCheckType, MSR.microcodeRevision: break
    case MSR.timeStampCounter:
      let change = value &- old
      s.pointee.tscOffset = s.pointee.tscOffset &+ change
      s.pointee.msr.tscAdjust = s.pointee.msr.tscAdjust &+ change
    case MSR.tscAdjust:
      s.pointee.tscOffset = s.pointee.tscOffset &+ (value &- old)
      s.pointee.msr.tscAdjust = value
    case MSR.apicBase:
      let address = (1 as UInt64) &<< UInt64(environment.model.physicalAddressBits) &- 0x1000
      if value & ~(address | 0x900 | (has(.x2apic) ? 0x400 : 0)) != 0 { throw .generalProtection() }
      try writeAPIC(index, value)
    case MSR.tscDeadline: try writeAPIC(index, value)
    case MSR.sysenterCS: s.pointee.sysenterCS = value & 0xFFFF_FFFF
    case MSR.sysenterESP: s.pointee.sysenterESP = try canonical(value)
    case MSR.sysenterEIP: s.pointee.sysenterEIP = try canonical(value)
    case MSR.machineCheckStatus:
      if value & ~7 != 0 { throw .generalProtection() }
      s.pointee.msr.machineCheckStatus = value
    case MSR.miscEnable:
      // Reserved bits fault, those that tell what there is stay (SDM vol. 4, IA32_MISC_ENABLE). The others are kept without effect.
      let writable: UInt64 = 1 << 0 | 1 << 3 | 1 << 16 | 1 << 18 | 1 << 22 | 1 << 23 | 1 << 34
      let readOnly: UInt64 = 1 << 7 | 1 << 11 | 1 << 12
      if value & ~(writable | readOnly) != 0 { throw .generalProtection() }
      s.pointee.miscEnable = (s.pointee.miscEnable & readOnly) | (value & writable)
    case MSR.debugControl:
      if value & ~3 != 0 { throw .generalProtection() }
      s.pointee.msr.debugControl = value
    case MSR.mtrrPhysicalBase0..<(MSR.mtrrPhysicalBase0 + 16):
      try writeVariableRange(Int(index - MSR.mtrrPhysicalBase0), value)
    case MSR.pat: s.pointee.pat = try memoryTypes(value, allowUncachedMinus: true)
    case MSR.mtrrDefaultType:
      if value & ~0xCFF != 0 || !Self.isMemoryType(UInt8(truncatingIfNeeded: value)) { throw .generalProtection() }
      s.pointee.mtrrDefType = value
    case MSR.machineCheckBank0..<(MSR.machineCheckBank0 + 16):
      let n = Int(index - MSR.machineCheckBank0)
      // Status, address and miscellany can be cleared only (SDM vol. 3B §16.3.2.2).
      if n & 3 != 0, value != 0 { throw .generalProtection() }
      s.pointee.msr.machineCheckBanks[n] = value
    case MSR.xss:
      if value != 0 { throw .generalProtection() }
    case MSR.efer: try setEFER(value)
    case MSR.star: s.pointee.star = value
    case MSR.lstar: s.pointee.lstar = try canonical(value)
    case MSR.cstar: s.pointee.cstar = try canonical(value)
    case MSR.sfmask:
      if value &>> 32 != 0 { throw .generalProtection() }
      s.pointee.sfmask = value
    case MSR.fsBase: s.pointee.fs.base = try canonical(value)
    case MSR.gsBase: s.pointee.gs.base = try canonical(value)
    case MSR.kernelGSBase: s.pointee.kernelGSBase = try canonical(value)
    case MSR.tscAux:
      if value &>> 32 != 0 { throw .generalProtection() }
      s.pointee.tscAux = value
    default:
      guard let n = Self.fixedRange(index) else { throw .generalProtection() }
      s.pointee.msr.mtrrFixed[n] = try memoryTypes(value, allowUncachedMinus: false)
    }
  }

  private func writeAPIC(_ index: UInt32, _ value: UInt64) throws(Fault) {
    if !environment.bus.writeAPICRegister(index, value) { throw .generalProtection() }
    s.pointee.exitRequest |= ExitRequest.event
  }

  private func canonical(_ value: UInt64) throws(Fault) -> UInt64 {
    if has(.longMode), !isCanonicalForRegister(value) { throw .generalProtection() }
    return value
  }

  /// Index of a fixed-range MTRR.
  private static func fixedRange(_ index: UInt32) -> Int? {
    switch index {
    case MSR.mtrrFix64K: return 0
    case MSR.mtrrFix16K, MSR.mtrrFix16K + 1: return 1 + Int(index - MSR.mtrrFix16K)
    case MSR.mtrrFix4K..<(MSR.mtrrFix4K + 8): return 3 + Int(index - MSR.mtrrFix4K)
    default: return nil
    }
  }

  /// UC, WC, WT, WP, WB.
  private static func isMemoryType(_ type: UInt8) -> Bool { type == 0 || type == 1 || (type >= 4 && type <= 6) }

  private func memoryTypes(_ value: UInt64, allowUncachedMinus: Bool) throws(Fault) -> UInt64 {
    for n in 0..<8 as Range<UInt64> {
      let type = UInt8(truncatingIfNeeded: value &>> (n &* 8))
      if !Self.isMemoryType(type), !(allowUncachedMinus && type == 7) { throw .generalProtection() }
    }
    return value
  }

  private func writeVariableRange(_ n: Int, _ value: UInt64) throws(Fault) {
    let beyond = ~0 &<< UInt64(environment.model.physicalAddressBits)
    if n & 1 == 0 {
      if value & (beyond | 0xF00) != 0 || !Self.isMemoryType(UInt8(truncatingIfNeeded: value)) { throw .generalProtection() }
    } else if value & (beyond | 0x7FF) != 0 {
      throw .generalProtection()
    }
    s.pointee.msr.mtrrVariable[n] = value
  }
}
