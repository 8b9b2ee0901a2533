/// The parts of an ELF file that a boot loader needs: program headers, notes, entry, and the section table
/// that multiboot hands on.
///
/// Source: System V ABI, chapters 4 and 5; ELF-64 Object File Format 1.5.
public struct ELFFile: Sendable {
  public struct Segment: Sendable {
    public var type: UInt32
    public var offset: UInt64
    public var fileSize: UInt64
    public var memorySize: UInt64
    public var virtualAddress: UInt64
    public var physicalAddress: UInt64
    public var alignment: UInt64
    /// Bit 0 executable, 1 writable, 2 readable.
    public var flags: UInt32
  }

  public struct Note: Equatable, Sendable {
    public var name: String
    public var type: UInt32
    public var description: [UInt8]
  }

  /// The section header table as it stands in the file (multiboot passes it to the kernel).
  public struct SectionTable: Sendable {
    public var count: UInt32
    public var entrySize: UInt32
    public var nameIndex: UInt32
    public var bytes: [UInt8]
  }

  public static let loadable: UInt32 = 1
  public static let noteSegment: UInt32 = 4

  public let is64Bit: Bool
  /// EM_386 is 3, EM_X86_64 is 62.
  public let machine: UInt16
  public let entry: UInt64
  public let segments: [Segment]
  public let sections: SectionTable?
  public let image: [UInt8]

  public static func isELF(_ image: [UInt8]) -> Bool { image.starts(with: [0x7F, 0x45, 0x4C, 0x46]) }

  /// - Parameter name: what messages call the file.
  public init(_ image: [UInt8], name: String) throws(ImageError) {
    func broken(_ what: String) -> ImageError {
      ImageError("\(name) is a damaged ELF file: \(what)")
    }
    guard Self.isELF(image) else { throw ImageError("\(name) is not an ELF file") }
    guard let kind = image.u8(4), let order = image.u8(5), kind == 1 || kind == 2 else {
      throw broken("its class is neither 32 nor 64 bits")
    }
    guard order == 1 else { throw ImageError("\(name) is a big-endian ELF file, not one for x86") }
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
      throw ImageError("\(name) is an ELF file for machine type \(machine), not for x86 (3) or x86-64 (62)")
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

  public var loadableSegments: [Segment] { segments.filter { $0.type == Self.loadable && $0.memorySize > 0 } }

  /// All notes of all note segments, those that are well formed.
  public var notes: [Note] {
    segments.filter { $0.type == Self.noteSegment }.flatMap { segment in
      image.part(segment.offset, segment.fileSize).map { Self.notes(in: Array($0), alignment: segment.alignment) } ?? []
    }
  }

  /// The notes in a segment or section, as far as they are well formed.
  static func notes(in bytes: [UInt8], alignment: UInt64) -> [Note] {
    var found: [Note] = []
    // gABI: 4-byte units, but segments of 8-byte alignment pad to 8.
    let unit: UInt64 = alignment == 8 ? 8 : 4
    var at: UInt64 = 0
    while let nameSize = bytes.integer(UInt32.self, at: at),
      let size = bytes.integer(UInt32.self, at: at + 4),
      let type = bytes.integer(UInt32.self, at: at + 8) {
      let nameStart = at + 12
      let start = (nameStart + UInt64(nameSize) + unit - 1) / unit * unit
      guard let name = bytes.part(nameStart, UInt64(nameSize)), let body = bytes.part(start, UInt64(size)) else { break }
      found.append(Note(
        name: String(decoding: name.prefix { $0 != 0 }, as: UTF8.self), type: type, description: Array(body)))
      at = (start + UInt64(size) + unit - 1) / unit * unit
    }
    return found
  }

  /// Physical address of the entry point: kernels that run at high virtual addresses give a virtual one.
  public var physicalEntry: UInt64 {
    for s in loadableSegments where entry >= s.virtualAddress && entry - s.virtualAddress < s.memorySize {
      return s.physicalAddress &+ (entry - s.virtualAddress)
    }
    return entry
  }
}
