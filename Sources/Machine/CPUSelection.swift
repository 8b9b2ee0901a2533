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
    var adding: FeatureSet = [], removing: FeatureSet = []
    for part in parts.dropFirst() {
      guard let sign = part.first, sign == "+" || sign == "-", let feature = Self.feature(part.dropFirst()) else {
        throw .usage("'\(part)' is no CPU feature to add (+name) or remove (-name): --cpu help lists the features")
      }
      if sign == "+" { adding.insert(feature) } else { removing.insert(feature) }
    }
    self.text = text
    model = base.with(adding: adding, removing: removing)
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
    Feature.allCases.first { $0.cpuid != nil && "\($0)".lowercased() == name.lowercased() }
  }

  /// Names that `+` and `-` take.
  public static var featureNames: [String] {
    Feature.allCases.filter { $0.cpuid != nil }.map { "\($0)" }
  }
}

/// All CPU models, the default first.
public var cpuModels: [(name: String, summary: String)] { CPUModel.all.map { ($0.name, $0.summary) } }
