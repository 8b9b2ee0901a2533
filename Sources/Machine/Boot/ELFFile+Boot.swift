import KernelImages

extension MachineError {
  init(_ error: ImageError) { self.init(.badImage, error.description) }
}

extension ELFFile {
  /// Reads an ELF file.
  /// - Parameter name: what messages call it.
  static func read(_ image: [UInt8], name: String) throws(MachineError) -> ELFFile {
    do { return try ELFFile(image, name: name) } catch { throw MachineError(error) }
  }

  /// Puts all loadable segments where they want to be in physical memory, and zeroes their tails.
  func load(into memory: BootMemory, name: String) throws(MachineError) {
    let parts = loadableSegments
    guard !parts.isEmpty else { throw .badImage("\(name) has no loadable segments") }
    for s in parts {
      try memory.claim(s.physicalAddress, s.memorySize, for: name)
      memory.put(image.part(s.offset, s.fileSize)!, at: s.physicalAddress)
      memory.zero(s.physicalAddress + s.fileSize, s.memorySize - s.fileSize)
    }
  }
}

/// Files that may be packed: kernels come so (`xen.gz`), and sets of tests.
public enum PackedFile {
  /// The content of a gzip file; anything else as it is. GRUB unpacks what it loads, and so must whoever takes its place.
  /// - Parameter name: what messages call the file.
  public static func unpacked(_ bytes: [UInt8], name: String) throws(MachineError) -> [UInt8] {
    guard Gzip.isCompressed(bytes) else { return bytes }
    do { return try Gzip.decompress(bytes, name: name) } catch { throw MachineError(error) }
  }
}
