import X86

/// The answers of CPUID (SDM vol. 2A, CPUID; AMD APM vol. 3 appendix E for the extended leaves).

public struct CPUIDResult: Equatable, Sendable {
  public var eax: UInt32 = 0, ebx: UInt32 = 0, ecx: UInt32 = 0, edx: UInt32 = 0
  public init(eax: UInt32 = 0, ebx: UInt32 = 0, ecx: UInt32 = 0, edx: UInt32 = 0) {
    self.eax = eax
    self.ebx = ebx
    self.ecx = ecx
    self.edx = edx
  }
}

extension CPU {
  /// What CPUID returns now: leaves that mirror CR4, XCR0 and the local APIC do so.
  public func cpuid(leaf: UInt32, subleaf: UInt32) -> CPUIDResult {
    let model = environment.model
    var r = model.cpuid(leaf: leaf, subleaf: subleaf, apicID: s.pointee.index, xcr0: s.pointee.xcr0 | s.pointee.xss)
    switch leaf {
    case 1:
      if s.pointee.cr4 & CR4.OSXSAVE != 0 { r.ecx |= 1 << 27 }
      // The APIC flag follows the enable bit of IA32_APIC_BASE (SDM vol. 3A §12.4.3).
      if let base = environment.bus.readAPICRegister(0x1B), base & 1 << 11 == 0 { r.edx &= ~(1 << 9) }
    case 7 where subleaf == 0:
      if s.pointee.cr4 & CR4.PKE != 0 { r.ecx |= 1 << 4 }
    default: break
    }
    return r
  }
}

extension CPUModel {
  /// The processor-independent part of a leaf.
  /// - Parameter xcr0: enabled state components, for the size that leaf 0DH reports.
  public func cpuid(leaf: UInt32, subleaf: UInt32, apicID: UInt32, xcr0: UInt64) -> CPUIDResult {
    if leaf >= 0x8000_0000, leaf <= maximumExtendedLeaf { return extendedLeaf(leaf) }
    // A leaf beyond the highest answers with the highest basic one.
    switch min(leaf, maximumLeaf) {
    case 0:
      return CPUIDResult(eax: maximumLeaf, ebx: vendorWords[0], ecx: vendorWords[2], edx: vendorWords[1])
    case 1:
      var ebx = apicID << 24
      if features.contains(.clflush) { ebx |= 8 << 8 }
      if features.contains(.htt) { ebx |= min(processorCount, 255) << 16 }
      return CPUIDResult(eax: signature, ebx: ebx, ecx: feature1C, edx: feature1D)
    case 2: return leaf2
    case 4: return cacheLeaf(subleaf)
    case 6: return CPUIDResult(eax: features.contains(.arat) ? 4 : 0)
    case 7: return subleaf == 0 ? CPUIDResult(ebx: feature7B, ecx: feature7C, edx: feature7D) : CPUIDResult()
    case 0xB, 0x1F: return topologyLeaf(subleaf, apicID)
    case 0xD: return stateLeaf(subleaf, xcr0)
    case 0x15:
      let divisor = Self.greatestDivisor(tscFrequency, crystalFrequency)
      return CPUIDResult(eax: crystalFrequency / divisor, ebx: tscFrequency / divisor, ecx: crystalFrequency)
    case 0x16:
      let megahertz = tscFrequency / 1_000_000
      return CPUIDResult(eax: megahertz, ebx: megahertz, ecx: 100)
    default: return CPUIDResult()
    }
  }

  /// Family, model and stepping as leaf 1 and EDX after reset show them.
  public var signature: UInt32 {
    stepping | (model & 0xF) << 4 | min(family, 15) << 8 | (model >> 4) << 16 | (family > 15 ? family - 15 : 0) << 20
  }

  /// Four bytes of an ASCII text, as a little-endian word; zeros behind its end.
  static func word(_ text: String, _ n: Int) -> UInt32 {
    var word: UInt32 = 0
    for (k, byte) in text.utf8.enumerated() where k / 4 == n { word |= UInt32(byte) << UInt32(k % 4 * 8) }
    return word
  }

  private static func greatestDivisor(_ a: UInt32, _ b: UInt32) -> UInt32 {
    var (a, b) = (max(a, 1), b)
    while b != 0 { (a, b) = (b, a % b) }
    return a
  }

  private var leaf2: CPUIDResult {
    if caches.isEmpty {
      // Pentium III: 4 KiB and 4 MiB TLBs, 16 KiB L1 caches, 256 KiB L2.
      return CPUIDResult(eax: 0x0302_0101, edx: 0x0C04_0882)
    }
    // FFH: leaf 4 has the caches; F0H: 64-byte prefetch.
    return CPUIDResult(eax: 0x00FE_FF01, ebx: 0xF0)
  }

  private func cacheLeaf(_ subleaf: UInt32) -> CPUIDResult {
    guard subleaf < UInt32(caches.count) else { return CPUIDResult() }
    let c = caches[Int(subleaf)]
    let line: UInt32 = 64
    let sets = max(1, c.bytes / (line * c.ways))
    let sharing = c.shared ? processorCount : 1
    return CPUIDResult(
      eax: c.kind.rawValue | c.level << 5 | 1 << 8 | (min(sharing, 4096) - 1) << 14 | (min(processorCount, 64) - 1) << 26,
      ebx: (line - 1) | (c.ways - 1) << 22, ecx: sets - 1)
  }

  /// Bits of the APIC id that number the processors of the package.
  private var packageShift: UInt32 { processorCount <= 1 ? 0 : UInt32(32 - (processorCount - 1).leadingZeroBitCount) }

  /// One thread a core, all cores in one package.
  private func topologyLeaf(_ subleaf: UInt32, _ apicID: UInt32) -> CPUIDResult {
    switch subleaf {
    case 0: return CPUIDResult(eax: 0, ebx: 1, ecx: 1 << 8, edx: apicID)
    case 1: return CPUIDResult(eax: packageShift, ebx: processorCount, ecx: 2 << 8 | 1, edx: apicID)
    default: return CPUIDResult(ecx: subleaf & 0xFF, edx: apicID)
    }
  }

  /// Offset and size of the extended state components of XSAVE's standard format (SDM vol. 1 §13.4).
  public static func stateComponent(_ n: UInt32) -> (offset: UInt32, size: UInt32)? {
    switch n {
    case 2: (576, 256)
    case 9: (2688, 8)
    default: nil
    }
  }

  private func stateLeaf(_ subleaf: UInt32, _ xcr0: UInt64) -> CPUIDResult {
    if !features.contains(.xsave) { return CPUIDResult() }
    func standardSize(_ mask: UInt64) -> UInt32 {
      var size: UInt32 = 576
      for n in 2..<63 as Range<UInt32> where mask & 1 << UInt64(n) != 0 {
        if let c = Self.stateComponent(n) { size = max(size, c.offset + c.size) }
      }
      return size
    }
    switch subleaf {
    case 0:
      return CPUIDResult(
        eax: UInt32(truncatingIfNeeded: supportedXCR0), ebx: standardSize(xcr0), ecx: standardSize(supportedXCR0),
        edx: UInt32(truncatingIfNeeded: supportedXCR0 >> 32))
    case 1:
      var compact: UInt32 = 576
      for n in 2..<63 as Range<UInt32> where xcr0 & 1 << UInt64(n) != 0 { compact += Self.stateComponent(n)?.size ?? 0 }
      return CPUIDResult(eax: featureXSAVE, ebx: featureXSAVE & 0xA != 0 ? compact : 0)
    case 2..<63:
      guard supportedXCR0 & 1 << UInt64(subleaf) != 0, let c = Self.stateComponent(subleaf) else { return CPUIDResult() }
      return CPUIDResult(eax: c.size, ebx: c.offset)
    default: return CPUIDResult()
    }
  }

  private func extendedLeaf(_ leaf: UInt32) -> CPUIDResult {
    switch leaf {
    case 0x8000_0000: return CPUIDResult(eax: maximumExtendedLeaf)
    case 0x8000_0001: return CPUIDResult(ecx: featureExtendedC, edx: featureExtendedD)
    case 0x8000_0002...0x8000_0004:
      let n = Int(leaf - 0x8000_0002) * 4
      return CPUIDResult(eax: brandWords[n], ebx: brandWords[n + 1], ecx: brandWords[n + 2], edx: brandWords[n + 3])
    case 0x8000_0006:
      guard let l2 = caches.first(where: { $0.level == 2 }) else { return CPUIDResult() }
      // Associativity 8: 16 ways.
      return CPUIDResult(ecx: 64 | 8 << 12 | (l2.bytes >> 10) << 16)
    case 0x8000_0007: return CPUIDResult(edx: features.contains(.invariantTSC) ? 1 << 8 : 0)
    case 0x8000_0008:
      let linear: UInt32 = features.contains(.la57) ? 57 : UInt32(linearAddressBits)
      return CPUIDResult(eax: UInt32(physicalAddressBits) | linear << 8)
    default: return CPUIDResult()
    }
  }
}
