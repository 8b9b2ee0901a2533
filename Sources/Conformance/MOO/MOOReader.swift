import Machine

/// Reads MOO files: chains of chunks of a 4-byte id, a 32-bit length, and a payload, little endian. Chunks it does not know are skipped.
///
/// Not modelled: `CYCL` (bus cycles), `QUEU` (prefetch queue) and `EA32` (the effective address, which follows from the rest) are skipped.
public struct MOOReader {
  private let bytes: UnsafeRawBufferPointer
  private let name: String
  private var position: Int
  /// End of the chunk being read.
  private var end: Int
  /// Id of the chunk being read; 0 for the file.
  private var chunk: UInt32 = 0

  /// - Parameters:
  ///   - bytes: the file, unpacked.
  ///   - name: what messages call it; without folder and extensions it is also the opcode.
  ///   - keep: which tests, by ordinal, are kept.
  /// - Throws: a sentence that names the file and the place.
  public static func read(_ bytes: [UInt8], name: String, keep: (Int) -> Bool = { _ in true }) throws(MachineError) -> MOOFile {
    var result: Result<MOOFile, MachineError>?
    bytes.withUnsafeBytes { buffer in
      result = Result { () throws(MachineError) -> MOOFile in
        var reader = MOOReader(bytes: buffer, name: name, position: 0, end: buffer.count)
        return try reader.file(keep)
      }
    }
    return try result.unsafelyUnwrapped.get()
  }

  /// The opcode in a file's path: `80286/F7.7.MOO.gz` is `F7.7`.
  public static func opcodeName(_ path: String) -> String {
    var text = path.split(separator: "/").last.map(String.init) ?? path
    for suffix in [".gz", ".GZ", ".MOO", ".moo"] where text.hasSuffix(suffix) { text.removeLast(suffix.count) }
    return text
  }

  private init(bytes: UnsafeRawBufferPointer, name: String, position: Int, end: Int) {
    self.bytes = bytes
    self.name = name
    self.position = position
    self.end = end
  }

  // MARK: Numbers

  private func cut() -> MachineError {
    .badImage("\(name) is cut short or damaged: \(chunk == 0 ? "it" : "chunk " + Self.text(chunk)) needs more than it has, at byte \(position)")
  }

  private mutating func number<T: FixedWidthInteger>(_ type: T.Type) throws(MachineError) -> T {
    guard end - position >= MemoryLayout<T>.size else { throw cut() }
    defer { position += MemoryLayout<T>.size }
    return T(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: T.self))
  }

  private mutating func text(_ count: Int) throws(MachineError) -> String {
    guard count >= 0, end - position >= count else { throw cut() }
    defer { position += count }
    return String(decoding: bytes[position..<position + count], as: UTF8.self)
  }

  /// A length and as many bytes.
  private mutating func counted() throws(MachineError) -> Range<Int> {
    let count = Int(try number(UInt32.self))
    guard end - position >= count else { throw cut() }
    defer { position += count }
    return position..<position + count
  }

  /// A reader for the payload of the next chunk, and its id as a big-endian number; nil at the end.
  private mutating func next() throws(MachineError) -> (id: UInt32, payload: MOOReader)? {
    if position == end { return nil }
    guard end - position >= 8 else { throw cut() }
    let id = UInt32(bigEndian: try number(UInt32.self))
    let length = Int(try number(UInt32.self))
    guard end - position >= length else {
      throw .badImage("\(name) is cut short or damaged: chunk \(Self.text(id)) at byte \(position - 8) says it has \(length) bytes, \(end - position) are left")
    }
    var payload = MOOReader(bytes: bytes, name: name, position: position, end: position + length)
    payload.chunk = id
    position += length
    return (id, payload)
  }

  private static func id(_ text: StaticString) -> UInt32 {
    let p = text.utf8Start
    return UInt32(p[0]) << 24 | UInt32(p[1]) << 16 | UInt32(p[2]) << 8 | UInt32(p[3])
  }

  private static func text(_ id: UInt32) -> String {
    let bytes = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: id >> UInt32($0)) }
    return "'" + String(decoding: bytes.map { $0 >= 0x20 && $0 < 0x7F ? $0 : 0x3F }, as: UTF8.self) + "'"
  }

  // MARK: Chunks

  private mutating func file(_ keep: (Int) -> Bool) throws(MachineError) -> MOOFile {
    guard let (first, chunk) = try next(), first == Self.id("MOO ") else {
      throw .badImage("\(name) is not a MOO file: it does not begin with a 'MOO ' chunk")
    }
    var header = chunk
    let major = try header.number(UInt8.self)
    guard major == 1 else {
      throw .badImage("\(name) has version \(major) of the MOO format; version 1 can be read")
    }
    _ = try header.number(UInt8.self)
    _ = try header.number(UInt16.self)
    let count = Int(try header.number(UInt32.self))
    let processorID = try header.text(4)
    guard let processor = MOOProcessor(id: processorID) else {
      throw .badImage("\(name) was captured from a processor called '\(processorID)'; known are 8086, 8088, 80286 and 80386")
    }
    var file = MOOFile(name: Self.opcodeName(name), processor: processor)
    file.tests.reserveCapacity(min(count, 1 << 16))
    var ordinal = 0
    while let (id, chunk) = try next() {
      var payload = chunk
      switch id {
      case Self.id("META"): try payload.meta(&file)
      case Self.id("RMSK"): file.masks = try payload.registers16()
      case Self.id("RM32"): file.masks = try payload.registers32()
      case Self.id("TEST"):
        if keep(ordinal) { file.tests.append(try payload.test(ordinal)) }
        ordinal += 1
      default: break
      }
    }
    guard ordinal == count else {
      throw .badImage("\(name) is cut short or damaged: it announces \(count) tests and has \(ordinal)")
    }
    return file
  }

  private mutating func meta(_ file: inout MOOFile) throws(MachineError) {
    _ = try number(UInt16.self)
    _ = try number(UInt8.self)
    _ = try number(UInt32.self)
    file.mnemonic = try text(8).trimmingSpaces
    _ = try number(UInt32.self)
    _ = try number(UInt64.self)
    file.mode = try number(UInt8.self)
  }

  private mutating func test(_ ordinal: Int) throws(MachineError) -> MOOTest {
    _ = try number(UInt32.self)
    var test = MOOTest(ordinal: ordinal, name: "", bytes: [])
    var hasStates = 0
    while let (id, chunk) = try next() {
      var payload = chunk
      switch id {
      case Self.id("NAME"): test.name = String(decoding: bytes[try payload.counted()], as: UTF8.self)
      case Self.id("BYTS"): test.bytes = Array(bytes[try payload.counted()])
      case Self.id("INIT"):
        test.initial = try payload.state()
        hasStates |= 1
      case Self.id("FINA"):
        test.final = try payload.state()
        hasStates |= 2
      case Self.id("EXCP"): test.exception = try payload.number(UInt8.self)
      case Self.id("HASH"): test.hash = Array(bytes[payload.position..<payload.end])
      default: break
      }
    }
    guard hasStates == 3 else { throw .badImage("\(name) is damaged: test \(ordinal) has no state before or none behind the instruction") }
    guard !test.bytes.isEmpty else { throw .badImage("\(name) is damaged: test \(ordinal) has no instruction") }
    return test
  }

  private mutating func state() throws(MachineError) -> MOOState {
    var state = MOOState()
    while let (id, chunk) = try next() {
      var payload = chunk
      switch id {
      case Self.id("REGS"): state.registers = try payload.registers16()
      case Self.id("RG32"): state.registers = try payload.registers32()
      case Self.id("RMSK"): state.masks = try payload.registers16()
      case Self.id("RM32"): state.masks = try payload.registers32()
      case Self.id("RAM "): state.memory = try payload.memory()
      default: break
      }
    }
    return state
  }

  private mutating func registers16() throws(MachineError) -> MOORegisters {
    let bitmap = try number(UInt16.self)
    var registers = MOORegisters()
    for (bit, register) in MOORegister.order16.enumerated() where bitmap >> UInt16(bit) & 1 != 0 {
      registers[register] = UInt32(try number(UInt16.self))
    }
    return registers
  }

  private mutating func registers32() throws(MachineError) -> MOORegisters {
    let bitmap = try number(UInt32.self)
    var registers = MOORegisters()
    for register in MOORegister.allCases where bitmap >> UInt32(register.rawValue) & 1 != 0 {
      registers[register] = try number(UInt32.self)
    }
    return registers
  }

  private mutating func memory() throws(MachineError) -> [MOOByte] {
    let count = Int(try number(UInt32.self))
    guard (end - position) / 5 >= count else { throw cut() }
    var list: [MOOByte] = []
    list.reserveCapacity(count)
    for _ in 0..<count { list.append(MOOByte(address: try number(UInt32.self), value: try number(UInt8.self))) }
    return list
  }
}

extension String {
  /// Without spaces and zero bytes at the end.
  fileprivate var trimmingSpaces: String {
    var text = self
    while text.last == " " || text.last == "\0" { text.removeLast() }
    return text
  }
}
