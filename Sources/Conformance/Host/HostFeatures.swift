import HostOracle
import Processor
import X86

/// What the host's processor is and has.
public struct HostFeatures: Sendable {
  public let features: FeatureSet
  public let isAMD: Bool
  /// AltMovCr8: LOCK before MOV of CR0 makes it one of CR8 (CPUID 8000_0001h, ECX bit 4; AMD APM vol. 3, MOV CRn).
  public let hasAlternativeCR8: Bool
  /// XCR0 as the host's kernel has set it.
  public let xcr0: UInt64
  /// Twelve characters of CPUID leaf 0, and the family and model.
  public let vendor: String
  public let family: UInt32, model: UInt32

  /// Nil where the host cannot run test code: another architecture or system, or a processor without AVX2 and FSGSBASE.
  public init?() {
    guard host_oracle_available() else { return nil }
    var r: [UInt32] = [0, 0, 0, 0]
    func leaf(_ number: UInt32, _ sub: UInt32 = 0) -> [UInt32] {
      host_cpuid(number, sub, &r)
      return r
    }
    var found: FeatureSet = []
    for feature in Feature.allCases {
      guard let at = feature.cpuid else {
        found.insert(feature)
        continue
      }
      let register = leaf(at.leaf, at.subleaf)
      let word: UInt32 =
        switch at.register {
        case .eax: register[0]
        case .ebx: register[1]
        case .ecx: register[2]
        case .edx: register[3]
        }
      if word >> UInt32(at.bit) & 1 != 0 { found.insert(feature) }
    }
    features = found
    let identity = leaf(0)
    var name = ""
    for word in [identity[1], identity[3], identity[2]] {
      for n in 0..<4 as Range<UInt32> { name.unicodeScalars.append(UnicodeScalar(UInt8(truncatingIfNeeded: word >> (n * 8)))) }
    }
    vendor = name
    isAMD = name == "AuthenticAMD" || name == "HygonGenuine"
    hasAlternativeCR8 = isAMD && leaf(0x8000_0001)[2] >> 4 & 1 != 0
    let signature = leaf(1)[0]
    family = (signature >> 8 & 0xF) + (signature >> 8 & 0xF == 0xF ? signature >> 20 & 0xFF : 0)
    model = signature >> 4 & 0xF | signature >> 12 & 0xF0
    xcr0 = host_xcr0()
  }

  /// The default model with what it and the host have in common.
  public var coreModel: CPUModel {
    CPUModel.x86_64v3.with(removing: CPUModel.x86_64v3.features.subtracting(features))
  }

  public var text: String { "\(vendor) family \(family) model \(model)" }
}
