import X86

/// A kind of processor, as data: what CPUID says and which limits hold.
///
/// The default model answers Linux's and Xen's questions about speculation flaws with "not affected": it has the family and model of
/// an in-order Atom, which both take to be free of all of them, and says the same in IA32_ARCH_CAPABILITIES. An interpreter speculates
/// about nothing, and a kernel that defends itself executes up to 29 times the CR3 writes.
///
/// Not modelled: leaf 0AH (performance counters), 14H (processor trace), 40000000H (a hypervisor's leaves come from its owner).
public final class CPUModel: @unchecked Sendable {
  public let name: String
  /// One sentence for lists of models.
  public let summary: String
  public let features: FeatureSet
  /// Twelve ASCII characters.
  public let vendor: String
  /// Up to 47 ASCII characters.
  public let brand: String
  /// Vendor and brand as three and twelve little-endian words.
  let vendorWords, brandWords: [UInt32]
  public let family: UInt32
  public let model: UInt32
  public let stepping: UInt32
  public let physicalAddressBits: UInt8
  public let linearAddressBits: UInt8
  public let hasCPUID: Bool
  public let caches: [Cache]
  /// Highest basic and extended leaf, at least those that report a feature; the latter 0 where there are none.
  public let maximumLeaf: UInt32
  public let maximumExtendedLeaf: UInt32
  /// IA32_ARCH_CAPABILITIES.
  public let archCapabilities: UInt64
  /// Processors of the machine that this model is used in.
  public let processorCount: UInt32
  /// Hz of the time-stamp counter: one tick an instruction, one instruction a nanosecond.
  public let tscFrequency: UInt32
  /// Hz of the crystal that leaf 15H reports, which is also what the local APIC's timer counts.
  public let crystalFrequency: UInt32

  /// A row of leaf 4.
  public struct Cache: Sendable {
    public enum Kind: UInt32, Sendable { case data = 1, instruction, unified }
    public var kind: Kind
    public var level: UInt32
    public var bytes: UInt32
    public var ways: UInt32
    /// Shared by all processors.
    public var shared: Bool
  }

  /// The components that XSETBV may enable.
  public let supportedXCR0: UInt64
  /// CPUID.1 ECX and EDX and so on are computed once.
  let feature1C: UInt32, feature1D: UInt32
  let feature7B: UInt32, feature7C: UInt32, feature7D: UInt32
  let featureXSAVE: UInt32
  let featureExtendedC: UInt32, featureExtendedD: UInt32

  public init(
    name: String, summary: String, features: FeatureSet, vendor: String = "GenuineIntel", brand: String = "",
    family: UInt32, model: UInt32, stepping: UInt32, physicalAddressBits: UInt8, linearAddressBits: UInt8 = 32,
    hasCPUID: Bool = true, caches: [Cache] = [], maximumLeaf: UInt32, maximumExtendedLeaf: UInt32 = 0,
    archCapabilities: UInt64 = 0, processorCount: UInt32 = 1, tscFrequency: UInt32 = 1_000_000_000,
    crystalFrequency: UInt32 = 1_000_000_000
  ) {
    self.name = name
    self.summary = summary
    self.vendor = vendor
    self.brand = brand
    vendorWords = (0..<3).map { Self.word(vendor, $0) }
    brandWords = (0..<12).map { Self.word(brand, $0) }
    self.family = family
    self.model = model
    self.stepping = stepping
    self.physicalAddressBits = physicalAddressBits
    self.linearAddressBits = linearAddressBits
    self.hasCPUID = hasCPUID
    self.caches = caches
    self.archCapabilities = archCapabilities
    self.processorCount = processorCount
    self.tscFrequency = tscFrequency
    self.crystalFrequency = crystalFrequency
    var f = features
    if processorCount > 1, f.contains(.p6) { f.insert(.htt) }
    self.features = f
    var xcr0: UInt64 = 1
    if f.contains(.sse) { xcr0 |= 2 }
    if f.contains(.avx) { xcr0 |= 4 }
    if f.contains(.pku) { xcr0 |= 0x200 }
    supportedXCR0 = f.contains(.xsave) ? xcr0 : 1
    // OSXSAVE and OSPKE mirror CR4.
    let reported = f.subtracting([.osxsave, .ospke])
    var leaves = reported.features.compactMap { $0.cpuid?.leaf }
    // The XSAVE area is described by a leaf of its own, and the size of linear addresses.
    if f.contains(.xsave) { leaves.append(0xD) }
    if f.contains(.longMode) { leaves.append(0x8000_0008) }
    self.maximumLeaf = hasCPUID ? leaves.filter { $0 < 0x8000_0000 }.reduce(maximumLeaf, max) : maximumLeaf
    self.maximumExtendedLeaf = leaves.filter { $0 >= 0x8000_0000 }.reduce(maximumExtendedLeaf, max)
    feature1C = reported.cpuid(leaf: 1, .ecx)
    feature1D = reported.cpuid(leaf: 1, .edx)
    feature7B = reported.cpuid(leaf: 7, .ebx)
    feature7C = reported.cpuid(leaf: 7, .ecx)
    feature7D = reported.cpuid(leaf: 7, .edx)
    featureXSAVE = reported.cpuid(leaf: 0xD, subleaf: 1, .eax)
    featureExtendedC = reported.cpuid(leaf: 0x8000_0001, .ecx)
    featureExtendedD = reported.cpuid(leaf: 0x8000_0001, .edx)
  }

  /// The same model with other features or in another machine.
  public func with(
    adding: FeatureSet = [], removing: FeatureSet = [], processorCount: UInt32? = nil, crystalFrequency: UInt32? = nil
  ) -> CPUModel {
    CPUModel(
      name: name, summary: summary, features: features.union(adding).subtracting(removing), vendor: vendor, brand: brand,
      family: family, model: model, stepping: stepping, physicalAddressBits: physicalAddressBits,
      linearAddressBits: linearAddressBits, hasCPUID: hasCPUID, caches: caches, maximumLeaf: maximumLeaf,
      maximumExtendedLeaf: maximumExtendedLeaf, archCapabilities: archCapabilities,
      processorCount: processorCount ?? self.processorCount, tscFrequency: tscFrequency,
      crystalFrequency: crystalFrequency ?? self.crystalFrequency)
  }

  // MARK: The models

  /// All models, the default first.
  public static let all: [CPUModel] = [x86_64v3, x86_64v2, x86_64v1, pentium3, pentium, i486, i386]

  /// The model of this name, or nil.
  public static func named(_ name: String) -> CPUModel? { all.first { $0.name == name } }

  private static let i386Features: FeatureSet = [.i8086, .i186, .i286, .i386, .i387, .fpu]
  private static let i486Features = i386Features.union([.i486])
  private static let pentiumFeatures = i486Features.union([.pentium, .vme, .de, .pse, .tsc, .msr, .mce, .cx8, .apic])
  private static let pentium3Features = pentiumFeatures.union([
    .p6, .pae, .sep, .mtrr, .pge, .mca, .cmov, .pat, .pse36, .mmx, .fxsr, .sse,
  ])
  private static let v1Features = pentium3Features.union([
    .sse2, .clflush, .selfSnoop, .x2apic, .syscall, .nx, .longMode, .rdtscp, .invariantTSC, .arat, .tscAdjust, .tscDeadline,
    .archCapabilities, .prefetchw,
  ])
  private static let v2Features = v1Features.union([
    .sse3, .ssse3, .sse41, .sse42, .popcnt, .cx16, .lahf64, .page1GB, .pcid,
  ])
  private static let v3Features = v2Features.union([
    .avx, .avx2, .bmi1, .bmi2, .f16c, .fma, .lzcnt, .movbe, .xsave, .osxsave, .xsaveopt, .xsavec, .xgetbv1, .xsaves,
    .aes, .pclmulqdq, .sha, .rdrand, .rdseed, .adx, .clflushopt, .clwb, .rdpid,
    .fsgsbase, .smep, .smap, .umip, .invpcid, .erms, .fsrm,
  ])

  /// RDCL_NO, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO,
  /// GDS_NO, RFDS_NO, ITS_NO (SDM vol. 4, IA32_ARCH_CAPABILITIES).
  private static let notAffected: UInt64 =
    1 << 0 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 13 | 1 << 14 | 1 << 15 | 1 << 20 | 1 << 24 | 1 << 26 | 1 << 27 | 1 << 62

  private static let modernCaches = [
    Cache(kind: .data, level: 1, bytes: 32 << 10, ways: 8, shared: false),
    Cache(kind: .instruction, level: 1, bytes: 32 << 10, ways: 8, shared: false),
    Cache(kind: .unified, level: 2, bytes: 2 << 20, ways: 16, shared: false),
    Cache(kind: .unified, level: 3, bytes: 32 << 20, ways: 16, shared: true),
  ]

  private static func modern(_ name: String, _ summary: String, _ features: FeatureSet) -> CPUModel {
    CPUModel(
      name: name, summary: summary, features: features, brand: "Xenolith \(name) processor", family: 6, model: 0x1C,
      stepping: 10, physicalAddressBits: 40, linearAddressBits: 48, caches: modernCaches, maximumLeaf: 0x1F,
      maximumExtendedLeaf: 0x8000_0008, archCapabilities: notAffected)
  }

  public static let x86_64v3 = modern(
    "x86-64-v3", "64-bit with AVX2, FMA, BMI and the system features of about 2020", v3Features)
  public static let x86_64v2 = modern(
    "x86-64-v2", "64-bit with SSE4.2, POPCNT and CMPXCHG16B", v2Features)
  public static let x86_64v1 = modern(
    "x86-64-v1", "64-bit with SSE2 only", v1Features)

  public static let pentium3 = CPUModel(
    name: "pentium3", summary: "32-bit with MMX and SSE, PAE", features: pentium3Features.subtracting([.tscDeadline]),
    family: 6, model: 8, stepping: 6, physicalAddressBits: 36, maximumLeaf: 2)
  public static let pentium = CPUModel(
    name: "pentium", summary: "32-bit of 1993: CPUID, TSC, 4 MiB pages", features: pentiumFeatures,
    family: 5, model: 2, stepping: 12, physicalAddressBits: 32, maximumLeaf: 1)
  public static let i486 = CPUModel(
    name: "486", summary: "486DX with CPUID", features: i486Features,
    family: 4, model: 1, stepping: 3, physicalAddressBits: 32, maximumLeaf: 1)
  public static let i386 = CPUModel(
    name: "386", summary: "386DX with a 387", features: i386Features,
    family: 3, model: 0, stepping: 8, physicalAddressBits: 32, hasCPUID: false, maximumLeaf: 0)
}
