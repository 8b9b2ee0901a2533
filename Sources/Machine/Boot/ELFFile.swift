import X86Decoder

/// The parts of an ELF file that a boot loader needs: program headers, notes, entry, and the section table
/// that multiboot hands on.
///
/// Source: System V ABI, chapters 4 and 5; ELF-64 Object File Format 1.5.
struct ELFFile {
  struct Segment {
    var type: UInt32
    var offset: UInt64
    var fileSize: UInt64
    var memorySize: UInt64
    var virtualAddress: UInt64
    var physicalAddress: UInt64
    var alignment: UInt64
    /// Bit 0 executable, 1 writable, 2 readable.
    var flags: UInt32
  }

  struct Note {
    var name: String
    var type: UInt32
    var description: [UInt8]
  }

  /// The section header table as it stands in the file (multiboot passes it to the kernel).
  struct SectionTable {
    var count: UInt32
    var entrySize: UInt32
    var nameIndex: UInt32
    var bytes: [UInt8]
  }

  static let loadable: UInt32 = 1
  static let noteSegment: UInt32 = 4

  let is64Bit: Bool
  /// EM_386 is 3, EM_X86_64 is 62.
  let machine: UInt16
  let entry: UInt64
  let segments: [Segment]
  let sections: SectionTable?
  let image: [UInt8]

  static func isELF(_ image: [UInt8]) -> Bool { image.starts(with: [0x7F, 0x45, 0x4C, 0x46]) }

  /// - Parameter name: what messages call the file.
  init(_ image: [UInt8], name: String) throws(MachineError) {
    func broken(_ what: String) -> MachineError {
      .badImage("\(name) is a damaged ELF file: \(what)")
    }
    guard Self.isELF(image) else { throw .badImage("\(name) is not an ELF file") }
    guard let kind = image.u8(4), let order = image.u8(5), kind == 1 || kind == 2 else {
      throw broken("its class is neither 32 nor 64 bits")
    }
    guard order == 1 else { throw .badImage("\(name) is a big-endian ELF file, not one for x86") }
    is64Bit = kind == 2
    self.image = image
    let wide = is64Bit
    func word(_ offset: Int) -> UInt64? { wide ? image.u64(offset) : image.u32(offset).map(UInt64.init) }
    guard let machine = image.u16(18), let entry = word(24), let table = word(wide ? 32 : 28),
      let sectionOffset = word(wide ? 40 : 32),
      let entrySize = image.u16(wide ? 54 : 42), let count = image.u16(wide ? 56 : 44),
      let sectionSize = image.u16(wide ? 58 : 46), let sectionCount = image.u16(wide ? 60 : 48),
      let nameIndex = image.u16(wide ? 62 : 50)
    else { throw broken("it ends inside its header") }
    guard machine == 3 || machine == 62 else {
      throw .badImage("\(name) is an ELF file for machine type \(machine), not for x86 (3) or x86-64 (62)")
    }
    self.machine = machine
    self.entry = entry
    guard count == 0 || entrySize >= (wide ? 56 : 32) else { throw broken("its program headers are too small") }

    var segments: [Segment] = []
    for i in 0..<UInt64(count) {
      let (start, overflow) = table.addingReportingOverflow(i * UInt64(entrySize))
      guard !overflow, let header = image.part(start, wide ? 56 : 32).map(Array.init) else {
        throw broken("its program headers lie outside the file")
      }
      func field(_ narrow: Int, _ wideOffset: Int) -> UInt64 {
        wide ? header.u64(wideOffset)! : UInt64(header.u32(narrow)!)
      }
      let segment = Segment(
        type: header.u32(0)!, offset: field(4, 8), fileSize: field(16, 32), memorySize: field(20, 40),
        virtualAddress: field(8, 16), physicalAddress: field(12, 24), alignment: field(28, 48),
        flags: header.u32(wide ? 4 : 24)!)
      if segment.type == Self.loadable {
        guard image.part(segment.offset, segment.fileSize) != nil else {
          throw broken("segment \(i) lies outside the file")
        }
        guard segment.memorySize >= segment.fileSize,
          !segment.physicalAddress.addingReportingOverflow(segment.memorySize).overflow
        else { throw broken("segment \(i) has impossible sizes") }
      }
      segments.append(segment)
    }
    self.segments = segments

    if sectionCount > 0, let bytes = image.part(sectionOffset, UInt64(sectionCount) * UInt64(sectionSize)) {
      sections = SectionTable(
        count: UInt32(sectionCount), entrySize: UInt32(sectionSize), nameIndex: UInt32(nameIndex), bytes: Array(bytes))
    } else {
      sections = nil
    }
  }

  var loadableSegments: [Segment] { segments.filter { $0.type == Self.loadable && $0.memorySize > 0 } }

  /// All notes of all note segments, those that are well formed.
  var notes: [Note] {
    var found: [Note] = []
    for segment in segments where segment.type == Self.noteSegment {
      guard let part = image.part(segment.offset, segment.fileSize) else { continue }
      let bytes = Array(part)
      // gABI: 4-byte units, but segments of 8-byte alignment pad to 8.
      let unit: UInt64 = segment.alignment == 8 ? 8 : 4
      var at: UInt64 = 0
      while let nameSize = bytes.integer(UInt32.self, at: at),
        let size = bytes.integer(UInt32.self, at: at + 4),
        let type = bytes.integer(UInt32.self, at: at + 8) {
        let nameStart = at + 12
        let start = (nameStart + UInt64(nameSize) + unit - 1) / unit * unit
        guard let name = bytes.part(nameStart, UInt64(nameSize)), let body = bytes.part(start, UInt64(size)) else {
          break
        }
        found.append(Note(
          name: String(decoding: name.prefix { $0 != 0 }, as: UTF8.self), type: type, description: Array(body)))
        at = (start + UInt64(size) + unit - 1) / unit * unit
      }
    }
    return found
  }

  /// Physical address of the entry point: kernels that run at high virtual addresses give a virtual one.
  var physicalEntry: UInt64 {
    for s in loadableSegments where entry >= s.virtualAddress && entry - s.virtualAddress < s.memorySize {
      return s.physicalAddress &+ (entry - s.virtualAddress)
    }
    return entry
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

/// Bytes of code with their address, for disassembly.
public struct CodeRegion: Sendable {
  public var address: UInt64
  public var bytes: [UInt8]
  public var codeSize: CodeSize

  public init(address: UInt64, bytes: [UInt8], codeSize: CodeSize) {
    self.address = address
    self.bytes = bytes
    self.codeSize = codeSize
  }

  /// The executable segments of an ELF file at their virtual addresses, or nil where the bytes are no sound ELF file for x86.
  public static func inELF(_ image: [UInt8]) -> [CodeRegion]? {
    guard let elf = try? ELFFile(image, name: "") else { return nil }
    let regions = elf.loadableSegments.filter { $0.flags & 1 != 0 }.compactMap { s in
      image.part(s.offset, s.fileSize).map {
        CodeRegion(address: s.virtualAddress, bytes: Array($0), codeSize: elf.machine == 62 ? .bits64 : .bits32)
      }
    }
    return regions.isEmpty ? nil : regions
  }
}
