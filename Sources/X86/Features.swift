/// Processor features: the generations of the instruction set and the flags that CPUID reports.
///
/// The opcode map names, for every instruction form, the feature that introduced it; a CPU model is a
/// `FeatureSet` plus limits. An instruction whose feature the model lacks raises #UD.
///
/// Not modelled: features whose instructions the decoder does not know and that change nothing else
/// (MPX, TSX, AVX-512, AMX, CET, SGX, TBM, XOP, 3DNow!).

/// One feature. Raw values are stable only within a build.
public enum Feature: UInt8, CaseIterable, Sendable {
  // Generations; CPUID does not report them.
  /// Always present.
  case i8086
  case i186, i286, i386, i486, pentium
  /// Pentium Pro: hint NOPs, RDPMC.
  case p6
  /// The 387's additions to the 8087: FUCOM, FSIN, FCOS, FSINCOS, FPREM1.
  case i387

  // CPUID.01H:EDX.
  case fpu, vme, de, pse, tsc, msr, pae, mce, cx8, apic, sep, mtrr, pge, mca, cmov, pat, pse36
  case clflush, acpi, mmx, fxsr, sse, sse2, selfSnoop, htt

  // CPUID.01H:ECX.
  case sse3, pclmulqdq, monitor, vmx, ssse3, fma, cx16, pcid, sse41, sse42, x2apic, movbe, popcnt
  case tscDeadline, aes, xsave, osxsave, avx, f16c, rdrand, hypervisor

  // CPUID.(EAX=07H,ECX=0):EBX, ECX, EDX.
  case fsgsbase, tscAdjust, bmi1, avx2, smep, bmi2, erms, invpcid, rdseed, adx, smap, clflushopt, clwb, sha
  case umip, pku, ospke, la57, rdpid
  case fsrm, mdClear, archCapabilities

  // CPUID.(EAX=0DH,ECX=1):EAX.
  case xsaveopt, xsavec, xgetbv1, xsaves

  // CPUID.80000001H:EDX and ECX.
  case syscall, nx, page1GB, rdtscp, longMode
  case lahf64, svm, lzcnt, prefetchw

  // Other leaves.
  case arat, invariantTSC, wbnoinvd
}

/// A register of CPUID's result.
public enum CPUIDRegister: UInt8, Sendable {
  case eax, ebx, ecx, edx
}

/// Where CPUID reports a feature.
public struct CPUIDLocation: Equatable, Sendable {
  public var leaf: UInt32
  public var subleaf: UInt32
  public var register: CPUIDRegister
  /// Bit number, 0–31.
  public var bit: UInt8

  public init(_ leaf: UInt32, _ subleaf: UInt32, _ register: CPUIDRegister, _ bit: UInt8) {
    self.leaf = leaf
    self.subleaf = subleaf
    self.register = register
    self.bit = bit
  }

  public init(_ leaf: UInt32, _ register: CPUIDRegister, _ bit: UInt8) {
    self.init(leaf, 0, register, bit)
  }
}

extension Feature {
  /// The CPUID bit that reports the feature; nil for the generations (SDM vol. 2A, CPUID; AMD APM vol. 3
  /// appendix E for the extended leaves).
  public var cpuid: CPUIDLocation? {
    switch self {
    case .i8086, .i186, .i286, .i386, .i486, .pentium, .p6, .i387: nil
    case .fpu: .init(1, .edx, 0)
    case .vme: .init(1, .edx, 1)
    case .de: .init(1, .edx, 2)
    case .pse: .init(1, .edx, 3)
    case .tsc: .init(1, .edx, 4)
    case .msr: .init(1, .edx, 5)
    case .pae: .init(1, .edx, 6)
    case .mce: .init(1, .edx, 7)
    case .cx8: .init(1, .edx, 8)
    case .apic: .init(1, .edx, 9)
    case .sep: .init(1, .edx, 11)
    case .mtrr: .init(1, .edx, 12)
    case .pge: .init(1, .edx, 13)
    case .mca: .init(1, .edx, 14)
    case .cmov: .init(1, .edx, 15)
    case .pat: .init(1, .edx, 16)
    case .pse36: .init(1, .edx, 17)
    case .clflush: .init(1, .edx, 19)
    case .acpi: .init(1, .edx, 22)
    case .mmx: .init(1, .edx, 23)
    case .fxsr: .init(1, .edx, 24)
    case .sse: .init(1, .edx, 25)
    case .sse2: .init(1, .edx, 26)
    case .selfSnoop: .init(1, .edx, 27)
    case .htt: .init(1, .edx, 28)
    case .sse3: .init(1, .ecx, 0)
    case .pclmulqdq: .init(1, .ecx, 1)
    case .monitor: .init(1, .ecx, 3)
    case .vmx: .init(1, .ecx, 5)
    case .ssse3: .init(1, .ecx, 9)
    case .fma: .init(1, .ecx, 12)
    case .cx16: .init(1, .ecx, 13)
    case .pcid: .init(1, .ecx, 17)
    case .sse41: .init(1, .ecx, 19)
    case .sse42: .init(1, .ecx, 20)
    case .x2apic: .init(1, .ecx, 21)
    case .movbe: .init(1, .ecx, 22)
    case .popcnt: .init(1, .ecx, 23)
    case .tscDeadline: .init(1, .ecx, 24)
    case .aes: .init(1, .ecx, 25)
    case .xsave: .init(1, .ecx, 26)
    case .osxsave: .init(1, .ecx, 27)
    case .avx: .init(1, .ecx, 28)
    case .f16c: .init(1, .ecx, 29)
    case .rdrand: .init(1, .ecx, 30)
    case .hypervisor: .init(1, .ecx, 31)
    case .fsgsbase: .init(7, .ebx, 0)
    case .tscAdjust: .init(7, .ebx, 1)
    case .bmi1: .init(7, .ebx, 3)
    case .avx2: .init(7, .ebx, 5)
    case .smep: .init(7, .ebx, 7)
    case .bmi2: .init(7, .ebx, 8)
    case .erms: .init(7, .ebx, 9)
    case .invpcid: .init(7, .ebx, 10)
    case .rdseed: .init(7, .ebx, 18)
    case .adx: .init(7, .ebx, 19)
    case .smap: .init(7, .ebx, 20)
    case .clflushopt: .init(7, .ebx, 23)
    case .clwb: .init(7, .ebx, 24)
    case .sha: .init(7, .ebx, 29)
    case .umip: .init(7, .ecx, 2)
    case .pku: .init(7, .ecx, 3)
    case .ospke: .init(7, .ecx, 4)
    case .la57: .init(7, .ecx, 16)
    case .rdpid: .init(7, .ecx, 22)
    case .fsrm: .init(7, .edx, 4)
    case .mdClear: .init(7, .edx, 10)
    case .archCapabilities: .init(7, .edx, 29)
    case .xsaveopt: .init(0xD, 1, .eax, 0)
    case .xsavec: .init(0xD, 1, .eax, 1)
    case .xgetbv1: .init(0xD, 1, .eax, 2)
    case .xsaves: .init(0xD, 1, .eax, 3)
    case .syscall: .init(0x8000_0001, .edx, 11)
    case .nx: .init(0x8000_0001, .edx, 20)
    case .page1GB: .init(0x8000_0001, .edx, 26)
    case .rdtscp: .init(0x8000_0001, .edx, 27)
    case .longMode: .init(0x8000_0001, .edx, 29)
    case .lahf64: .init(0x8000_0001, .ecx, 0)
    case .svm: .init(0x8000_0001, .ecx, 2)
    case .lzcnt: .init(0x8000_0001, .ecx, 5)
    case .prefetchw: .init(0x8000_0001, .ecx, 8)
    case .arat: .init(6, .eax, 2)
    case .invariantTSC: .init(0x8000_0007, .edx, 8)
    case .wbnoinvd: .init(0x8000_0008, .ebx, 9)
    }
  }
}

/// A set of features: two machine words, no storage.
public struct FeatureSet: Equatable, Hashable, Sendable, ExpressibleByArrayLiteral {
  public var low: UInt64
  public var high: UInt64

  @inlinable
  public init(low: UInt64 = 0, high: UInt64 = 0) {
    self.low = low
    self.high = high
  }

  @inlinable
  public init(arrayLiteral features: Feature...) {
    self.init(low: 0, high: 0)
    for feature in features { insert(feature) }
  }

  @inlinable
  public init(_ features: some Sequence<Feature>) {
    self.init(low: 0, high: 0)
    for feature in features { insert(feature) }
  }

  @inlinable @inline(__always)
  public func contains(_ feature: Feature) -> Bool {
    let bit = feature.rawValue
    return (bit < 64 ? low &>> UInt64(bit) : high &>> UInt64(bit &- 64)) & 1 != 0
  }

  @inlinable
  public mutating func insert(_ feature: Feature) {
    let bit = feature.rawValue
    if bit < 64 { low |= 1 &<< UInt64(bit) } else { high |= 1 &<< UInt64(bit &- 64) }
  }

  @inlinable
  public mutating func remove(_ feature: Feature) {
    let bit = feature.rawValue
    if bit < 64 { low &= ~(1 &<< UInt64(bit)) } else { high &= ~(1 &<< UInt64(bit &- 64)) }
  }

  @inlinable public var isEmpty: Bool { low | high == 0 }

  @inlinable
  public func union(_ other: FeatureSet) -> FeatureSet {
    FeatureSet(low: low | other.low, high: high | other.high)
  }

  @inlinable
  public func intersection(_ other: FeatureSet) -> FeatureSet {
    FeatureSet(low: low & other.low, high: high & other.high)
  }

  @inlinable
  public func subtracting(_ other: FeatureSet) -> FeatureSet {
    FeatureSet(low: low & ~other.low, high: high & ~other.high)
  }

  @inlinable
  public func isSuperset(of other: FeatureSet) -> Bool {
    other.subtracting(self).isEmpty
  }

  /// The members in the order of their raw values.
  public var features: [Feature] { Feature.allCases.filter(contains) }

  /// The register of a CPUID leaf with the bits of the members that are reported there.
  public func cpuid(leaf: UInt32, subleaf: UInt32 = 0, _ register: CPUIDRegister) -> UInt32 {
    var value: UInt32 = 0
    for feature in Feature.allCases where contains(feature) {
      guard let at = feature.cpuid, at.leaf == leaf, at.subleaf == subleaf, at.register == register else { continue }
      value |= 1 &<< UInt32(at.bit)
    }
    return value
  }
}
