/// The symbols of a kernel that wants them in its memory (ELF note BSD_SYMTAB): as a small ELF file behind the kernel's image.
///
/// Sources: xen/include/public/elfnote.h, XEN_ELFNOTE_BSD_SYMTAB; System V ABI, chapter 4.
extension ELFFile {
  /// A length of 32 bits, an ELF header, three section headers (none, symbols, strings), and what these name. Empty where the file has
  /// no symbols.
  public var symbolImage: [UInt8] {
    guard let table = sections else { return [] }
    let wide = is64Bit
    let headerBytes = wide ? 64 : 52, sectionBytes = wide ? 64 : 40
    guard Int(table.entrySize) >= sectionBytes else { return [] }
    func header(_ n: UInt32) -> [UInt8] {
      let at = Int(n) * Int(table.entrySize)
      return at + sectionBytes <= table.bytes.count ? Array(table.bytes[at..<at + sectionBytes]) : []
    }
    func contents(_ h: [UInt8]) -> ArraySlice<UInt8>? {
      wide ? image.part(h.u64(24) ?? .max, h.u64(32) ?? .max) : image.part(UInt64(h.u32(16) ?? .max), UInt64(h.u32(20) ?? .max))
    }
    // SHT_SYMTAB, and the strings its sh_link names.
    for n in 0..<table.count {
      var symbols = header(n)
      guard symbols.u32(4) == 2, let link = symbols.u32(wide ? 40 : 24), link < table.count else { continue }
      var strings = header(link)
      guard let symbolBytes = contents(symbols), let stringBytes = contents(strings), image.count >= headerBytes else { continue }
      var first = Array(image[..<headerBytes])
      func put(_ value: UInt64, _ width: Int, _ at: Int, in bytes: inout [UInt8]) {
        for k in 0..<width { bytes[at + k] = UInt8(truncatingIfNeeded: value >> UInt64(8 * k)) }
      }
      let word = wide ? 8 : 4
      // No program headers; the section headers follow; the strings are not the sections' names.
      put(0, word, wide ? 32 : 28, in: &first)
      put(UInt64(headerBytes), word, wide ? 40 : 32, in: &first)
      put(0, 2, wide ? 56 : 44, in: &first)
      put(3, 2, wide ? 60 : 48, in: &first)
      put(0, 2, wide ? 62 : 50, in: &first)
      let start = UInt64(headerBytes + 3 * sectionBytes)
      let padded = Array(symbolBytes) + [UInt8](repeating: 0, count: -symbolBytes.count & (word - 1))
      put(start, word, wide ? 24 : 16, in: &symbols)
      put(2, 4, wide ? 40 : 24, in: &symbols)
      put(start + UInt64(padded.count), word, wide ? 24 : 16, in: &strings)
      let file = first + [UInt8](repeating: 0, count: sectionBytes) + symbols + strings + padded + stringBytes
      var length = [UInt8](repeating: 0, count: 4)
      put(UInt64(file.count), 4, 0, in: &length)
      return length + file
    }
    return []
  }
}
