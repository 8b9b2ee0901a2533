import Processor
import X86

/// A CPU model as a user names it: `x86-64-v3`, or with features added and removed, `x86-64-v2,+avx,-pcid`.
public struct CPUSelection: Sendable {
  /// The text that selects it again.
  public let text: String
  public let model: CPUModel

  public init(_ text: String) throws(MachineError) {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    guard let base = CPUModel.named(parts[0]) else {
      throw .usage("there is no CPU model '\(parts[0])': --cpu help lists the models")
    }
    if parts.count > 1, !base.hasCPUID {
      throw .usage("the CPU model \(base.name) has no CPUID, so features cannot be added or removed")
    }
    var adding: FeatureSet = [], removing: FeatureSet = []
    for part in parts.dropFirst() {
      guard let sign = part.first, sign == "+" || sign == "-", let feature = Self.feature(part.dropFirst()) else {
        throw .usage("'\(part)' is no CPU feature to add (+name) or remove (-name): --cpu help lists the features")
      }
      if sign == "+" { adding.insert(feature) } else { removing.insert(feature) }
    }
    let features = try Self.complete(base.features, adding: adding, removing: removing, text)
    self.text = text
    model = base.with(adding: features, removing: base.features.subtracting(features))
  }

  /// An added feature brings what it builds on; a removed one takes along what builds on it.
  private static func complete(
    _ base: FeatureSet, adding: FeatureSet, removing: FeatureSet, _ text: String
  ) throws(MachineError) -> FeatureSet {
    var gone = removing
    // Each round settles at least one more link of a chain.
    for _ in requirements {
      for (feature, needed) in requirements where gone.contains(needed) && optional.contains(feature) && !adding.contains(feature) {
        gone.insert(feature)
      }
    }
    var features = base.union(adding).subtracting(gone)
    for _ in requirements {
      for (feature, needed) in requirements where features.contains(feature) && optional.contains(needed) && !gone.contains(needed) {
        features.insert(needed)
      }
    }
    for (feature, needed) in requirements where features.contains(feature) && !features.contains(needed) {
      throw .usage("the CPU '\(text)' has \(feature) without \(needed), on which it builds")
    }
    return features
  }

  public static let standard: CPUSelection = {
    let model = CPUModel.all[0]
    return CPUSelection(text: model.name, model: model)
  }()

  private init(text: String, model: CPUModel) {
    self.text = text
    self.model = model
  }

  private static func feature(_ name: Substring) -> Feature? {
    optional.first { "\($0)".lowercased() == name.lowercased() }
  }

  /// Names that `+` and `-` take.
  public static var featureNames: [String] { optional.map { "\($0)" } }

  /// Features that exist here and that processors are built without. OSXSAVE and OSPKE mirror CR4.
  private static let optional: [Feature] = {
    let existing = CPUModel.x86_64v3.features.union([.pku, .la57])
    let fixed: FeatureSet = [.fpu, .longMode, .osxsave, .ospke]
    return Feature.allCases.filter { $0.cpuid != nil && existing.contains($0) && !fixed.contains($0) }
  }()

  /// Features that make no sense without another one.
  private static let requirements: [(Feature, Feature)] = [
    (.sse, .fxsr), (.sse2, .sse), (.sse3, .sse2), (.ssse3, .sse3), (.sse41, .ssse3), (.sse42, .sse41), (.aes, .sse2),
    (.pclmulqdq, .sse2), (.sha, .sse2), (.avx, .sse42), (.avx, .xsave), (.avx2, .avx), (.fma, .avx), (.f16c, .avx),
    (.xsaveopt, .xsave), (.xsavec, .xsave), (.xgetbv1, .xsave), (.xsaves, .xsavec), (.xsave, .fxsr), (.pku, .xsave),
    (.pku, .longMode), (.la57, .longMode), (.pcid, .longMode), (.invpcid, .longMode), (.longMode, .pae), (.longMode, .msr),
    (.longMode, .sse2), (.longMode, .syscall), (.nx, .pae), (.x2apic, .apic), (.apic, .msr), (.fsgsbase, .longMode),
    (.page1GB, .longMode), (.cx16, .longMode), (.lahf64, .longMode), (.rdtscp, .tsc), (.tscDeadline, .apic), (.tscDeadline, .tsc),
    (.tscAdjust, .tsc), (.invariantTSC, .tsc),
  ]
}

/// All CPU models, the default first.
public var cpuModels: [(name: String, summary: String)] { CPUModel.all.map { ($0.name, $0.summary) } }
