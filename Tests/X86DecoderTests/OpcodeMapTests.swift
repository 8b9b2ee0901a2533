import Testing
import X86
import X86Decoder

@Suite struct OpcodeMapTests {
  let map = OpcodeMap.shared

  @Test func everyMnemonicHasARow() {
    var seen: Set<Mnemonic> = [.truncated, .tooLong]
    for row in 0..<map.rowCount { seen.insert(map.mnemonic(UInt16(row))) }
    let missing = Mnemonic.allCases.filter { !seen.contains($0) }
    #expect(missing.isEmpty)
    #expect(map.mnemonic(0) == .invalid)
  }

  /// A row that nothing decodes to is hidden by a later one.
  @Test func everyRowIsReached() {
    var reached: Set<UInt16> = [0]
    let decoder = Decoder()
    var bytes = [UInt8](repeating: 0, count: 48)
    // Every /digit in memory, with a SIB byte for the gathers, and every register form.
    let modRMs = (0..<8).map { UInt8($0 << 3 | 4) } + (0xC0...0xFF).map { UInt8($0) }
    func visit(_ at: Int) {
      for modRM in modRMs {
        bytes[at] = modRM
        bytes[at + 1] = 0x20
        for codeSize in bytes[0] == 0xC4 ? [.bits64] : CodeSize.allCases {
          reached.insert(bytes.withUnsafeBytes { decoder.decode($0.baseAddress!, available: 48, codeSize: codeSize) }.row)
        }
      }
    }
    let prefixes: [[UInt8]] = [[], [0x66], [0xF3], [0xF2], [0x48], [0x66, 0x48], [0x67]]
    for prefix in prefixes {
      for escape: [UInt8] in [[], [0x0F], [0x0F, 0x38], [0x0F, 0x3A]] {
        bytes.replaceSubrange(0..<prefix.count + escape.count, with: prefix + escape)
        for opcode in 0...255 {
          bytes[prefix.count + escape.count] = UInt8(opcode)
          visit(prefix.count + escape.count + 1)
        }
      }
    }
    for map: UInt8 in 1...3 {
      for last: UInt8 in 0..<16 {
        // W, vvvv, L, pp with vvvv 1111.
        bytes.replaceSubrange(0..<3, with: [0xC4, 0xE0 | map, (last & 8) << 4 | 0x78 | last & 7])
        for opcode in 0...255 {
          bytes[3] = UInt8(opcode)
          visit(4)
        }
      }
    }
    let hidden = (0..<map.rowCount).filter { !reached.contains(UInt16($0)) }.map { "\(map.mnemonic(UInt16($0))) row \($0)" }
    #expect(hidden.isEmpty)
  }

  @Test func flags() {
    let cf: UInt32 = 1, pf: UInt32 = 4, af: UInt32 = 0x10, zf: UInt32 = 0x40, sf: UInt32 = 0x80, of: UInt32 = 0x800
    let all = cf | pf | af | zf | sf | of
    let add = decode([0x01, 0xD8]).row
    #expect(map.flagsModified(add) == all && map.flagsTested(add) == 0 && map.flagsUndefined(add) == 0)
    let and = decode([0x21, 0xD8]).row
    #expect(map.flagsModified(and) == all && map.flagsUndefined(and) == af)
    let inc = decode([0xFF, 0xC0]).row
    #expect(map.flagsModified(inc) == all & ~cf)
    let adc = decode([0x11, 0xD8]).row
    #expect(map.flagsTested(adc) == cf)
    #expect(map.flagsTested(decode([0x7F, 0]).row) == zf | sf | of)
    // A shift by a count that may be zero kills nothing.
    let shl = decode([0xD3, 0xE0]).row
    #expect(map.flagsModified(shl) == 0 && map.flagsMaybeModified(shl) == all)
    #expect(map.flagsModified(decode([0xD1, 0xE0]).row) == all)
    #expect(OpcodeMap.flagsTested(adc) == cf)
  }

  @Test func attributes() {
    #expect(map.endsBlock(decode([0xEB, 0]).row))
    #expect(map.endsBlock(decode([0x0F, 0x22, 0xC0]).row))
    #expect(!map.endsBlock(decode([0x01, 0xD8]).row))
    #expect(map.touchesMemory(decode([0x01, 0xD8]).row))
    #expect(map.touchesMemory(decode([0x50]).row))
    #expect(map.touchesMemory(decode([0xA4]).row))
    #expect(!map.touchesMemory(decode([0x8D, 0x03]).row))
    #expect(!map.touchesMemory(decode([0x0F, 0xA2]).row))
    #expect(map.attributes(decode([0x0F, 0x30]).row).contains(.privileged))
    #expect(map.attributes(decode([0xF3, 0x0F, 0xBD, 0xC0]).row).contains(.fallback))
  }

  @Test func features() {
    #expect(map.feature(decode([0x01, 0xD8]).row) == .i8086)
    #expect(OpcodeMap.feature(ofRow: decode([0xC5, 0xE9, 0xFE, 0xCB]).row) == .avx)
    #expect(map.feature(decode([0xC5, 0xED, 0xFE, 0xCB]).row) == .avx2)
    #expect(map.feature(decode([0x66, 0x0F, 0x38, 0xDC, 0xC1]).row) == .aes)
    #expect(map.feature(decode([0x0F, 0x44, 0xC1]).row) == .cmov)
    #expect(map.feature(decode([0xC4, 0xE2, 0x79, 0x18, 0xC1]).row) == .avx2)
    #expect(map.feature(decode([0xC4, 0xE2, 0x79, 0x18, 0x01]).row) == .avx)
  }

  @Test func modelsRestrict() {
    let decoder = Decoder()
    func mnemonic(_ bytes: [UInt8], _ features: FeatureSet) -> Mnemonic {
      var instruction = decode(bytes)
      decoder.restrict(&instruction, to: features)
      #expect(map.mnemonic(instruction.row) == instruction.mnemonic)
      return instruction.mnemonic
    }
    let lzcnt: [UInt8] = [0xF3, 0x0F, 0xBD, 0xC0]
    #expect(mnemonic(lzcnt, [.i8086, .i386, .lzcnt]) == .LZCNT)
    #expect(mnemonic(lzcnt, [.i8086, .i386]) == .BSR)
    #expect(mnemonic([0xF3, 0x0F, 0xBC, 0xC0], [.i8086, .i386]) == .BSF)
    #expect(mnemonic([0xF3, 0x0F, 0xB8, 0xC0], [.i8086, .i386]) == .invalid)
    #expect(mnemonic([0x0F, 0x18, 0x08], [.i8086, .p6]) == .NOP)
    #expect(mnemonic([0x0F, 0x18, 0x08], [.i8086]) == .invalid)
    #expect(mnemonic([0x0F, 0x0D, 0x08], [.i8086, .longMode]) == .NOP)
    #expect(mnemonic([0x01, 0xC0], []) == .invalid)
  }

  @Test func rowsOutOfRangeAreInvalid() {
    #expect(map.mnemonic(.max) == .invalid)
    #expect(map.flagsModified(.max) == 0)
  }

  @Test func featureSets() {
    var set: FeatureSet = [.sse, .avx2, .wbnoinvd]
    #expect(set.contains(.sse) && set.contains(.avx2) && set.contains(.wbnoinvd) && !set.contains(.avx))
    set.remove(.avx2)
    #expect(set.features == [.sse, .wbnoinvd])
    #expect(FeatureSet(Feature.allCases).isSuperset(of: set))
    #expect(!set.isSuperset(of: [.mmx]))
    #expect(FeatureSet([.fpu, .tsc, .sse2]).cpuid(leaf: 1, .edx) == 1 | 1 << 4 | 1 << 26)
    // No two features share a bit of CPUID.
    let places = Feature.allCases.compactMap(\.cpuid).map { "\($0)" }
    #expect(Set(places).count == places.count)
  }
}
