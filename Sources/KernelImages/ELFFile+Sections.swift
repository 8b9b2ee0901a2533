/// Sections, for what kernels keep in them rather than in segments.
extension ELFFile {
  struct Section {
    var name: String
    var type: UInt32
    var alignment: UInt64
    var bytes: ArraySlice<UInt8>
  }

  static let noteSection: UInt32 = 7
  /// A section that takes no place in the file.
  private static let emptySection: UInt32 = 8

  /// The sections whose bytes lie in the file.
  var sectionList: [Section] {
    guard let table = sections, table.entrySize >= (is64Bit ? 64 : 40) else { return [] }
    func field(_ i: UInt32, _ narrow: Int, _ wide: Int) -> UInt64 {
      let at = Int(i) * Int(table.entrySize)
      return is64Bit ? table.bytes.u64(at + wide) ?? 0 : UInt64(table.bytes.u32(at + narrow) ?? 0)
    }
    func bytes(_ i: UInt32) -> ArraySlice<UInt8>? { image.part(field(i, 16, 24), field(i, 20, 32)) }
    let names = table.nameIndex < table.count ? bytes(table.nameIndex) ?? [] : []
    return (0..<table.count).compactMap { i -> Section? in
      let at = Int(i) * Int(table.entrySize)
      guard let type = table.bytes.u32(at + 4), type != Self.emptySection, let body = bytes(i) else { return nil }
      let name = names.dropFirst(Int(table.bytes.u32(at) ?? 0)).prefix { $0 != 0 }
      return Section(
        name: String(decoding: name, as: UTF8.self), type: type, alignment: field(i, 32, 48), bytes: body)
    }
  }
}
