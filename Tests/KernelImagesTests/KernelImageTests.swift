import Testing

@testable import KernelImages

@Suite struct CompressionTests {
  /// Bytes that pack well in part, and are longer than one chunk.
  private static let sample = sample(1_000_000)

  private static func sample(_ count: Int) -> [UInt8] {
    var state: UInt32 = 1
    return (0..<count).map { i in
      if i < 300_000 {
        state = state &* 1_664_525 &+ 1_013_904_223
        return UInt8(truncatingIfNeeded: state >> 24)
      }
      return UInt8(truncatingIfNeeded: i / 1000)
    }
  }

  @Test(arguments: Compression.allCases)
  func whatWasPackedComesBack(format: Compression) throws {
    let packed = Packing.pack(Self.sample, format)
    #expect(packed.count < Self.sample.count)
    #expect(Compression(of: packed) == format)
    #expect(try format.decompress(packed[...], name: "f") == Self.sample)
  }

  @Test func lz4FramesHaveManyBlocks() throws {
    let long = Self.sample(9_000_000)
    #expect(try Compression.lz4.decompress(Packing.pack(long, .lz4)[...], name: "f") == long)
  }

  @Test(arguments: Compression.allCases)
  func whatFollowsIsLeftAlone(format: Compression) throws {
    let packed = Packing.pack(Array("hello hello hello".utf8), format) + [17, 0, 0, 0]
    #expect(try format.decompress(packed[...], name: "f") == Array("hello hello hello".utf8))
  }

  @Test(arguments: Compression.allCases)
  func damageIsASentence(format: Compression) {
    let packed = Packing.pack((0..<5000).map { UInt8(truncatingIfNeeded: $0 * $0 / 7) }, format)
    for length in stride(from: 8, to: packed.count - 12, by: 97) {
      let text = sentence { () throws(ImageError) in _ = try format.decompress(packed[..<length], name: "cut") }
      // A legacy LZ4 frame cannot tell that whole blocks are missing, but there is only one here.
      #expect(text?.hasPrefix("cut is a \(format.rawValue) file that is damaged") == true, "\(length)")
    }
  }

  /// Nothing that comes in makes it crash.
  @Test(arguments: Compression.allCases)
  func randomChangesNeverTrap(format: Compression) {
    let packed = Packing.pack((0..<5000).map { UInt8(truncatingIfNeeded: $0 * $0 / 7) }, format)
    var seed: UInt64 = 5
    for _ in 0..<300 {
      var changed = packed
      for _ in 0..<3 {
        seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        changed[Int(seed >> 33) % changed.count] = UInt8(truncatingIfNeeded: seed >> 20)
      }
      if let result = format.unpack(changed[...], limit: 1 << 20) { #expect(result.count <= 1 << 20) }
    }
    #expect(format.unpack(packed[...], limit: 1 << 20)?.count == 5000)
  }

  @Test(arguments: Compression.allCases)
  func theLimitHolds(format: Compression) {
    let packed = Packing.pack([UInt8](repeating: 0, count: 1_000_000), format)
    #expect(format.unpack(packed[...], limit: 999_999) == nil)
    #expect(format.unpack(packed[...], limit: 1_000_000)?.count == 1_000_000)
  }

  @Test func otherBytesAreNotTakenForPacked() {
    #expect(Compression(of: []) == nil)
    #expect(Compression(of: [0x7F, 0x45, 0x4C, 0x46]) == nil)
    #expect(Compression(of: [0x1F, 0x8B]) == nil)
  }
}

@Suite struct KernelImageTests {
  private let elf = KernelFile(notes: [(6, Array("linux\0".utf8))]).bytes

  @Test func elfFilesStayAsTheyAre() throws {
    #expect(try KernelImage.elf(in: elf, name: "k") == elf)
    #expect(try KernelImage.elf(in: makeBzImage(payload: elf), name: "k") == elf)
  }

  @Test(arguments: Compression.allCases)
  func payloadsAreUnpacked(format: Compression) throws {
    let packed = Packing.pack(elf, format)
    #expect(try KernelImage.elf(in: packed, name: "k") == elf)
    let size = littleEndian(UInt32(elf.count))
    #expect(try KernelImage.elf(in: makeBzImage(payload: packed), name: "k") == elf)
    #expect(try KernelImage.elf(in: makeBzImage(payload: packed, extra: size), name: "k") == elf)
  }

  @Test func badKernelsAreOneSentence() {
    func refusal(_ file: [UInt8]) -> String? {
      sentence { () throws(ImageError) in _ = try KernelImage.elf(in: file, name: "vmlinuz") }
    }
    #expect(refusal([])?.hasPrefix("vmlinuz is no kernel that a domain can start") == true)
    #expect(refusal(Array("#!/bin/sh".utf8))?.hasPrefix("vmlinuz is no kernel") == true)
    #expect(refusal(Packing.pack([1, 2, 3], .gzip))?.hasPrefix("vmlinuz is no kernel") == true)
    #expect(refusal(makeBzImage(payload: Packing.pack([1, 2, 3], .xz)))?.hasPrefix("vmlinuz is no kernel") == true)
    #expect(refusal(makeBzImage(payload: [1, 2, 3]))?.contains("packed in a format other than gzip, bzip2, XZ") == true)
    #expect(refusal(makeBzImage(payload: []))?.contains("no ELF file inside") == true)
    #expect(refusal(makeBzImage(payload: elf, version: 0x207))?.contains("boot protocol 2.7") == true)
    let whole = makeBzImage(payload: Packing.pack(elf, .zstd))
    #expect(refusal(Array(whole.prefix(1060)))?.contains("cut short") == true)
    var broken = whole
    broken.replaceSubrange(1062..<1080, with: [UInt8](repeating: 0xFF, count: 18))
    #expect(refusal(broken)?.hasPrefix("the kernel inside vmlinuz is a zstd file that is damaged") == true)
  }
}
