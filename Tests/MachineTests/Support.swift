import Platform
@testable import Machine

/// Guest memory of a machine that is not there, for tests of loaders.
func bootMemory(_ size: UInt64 = 64 << 20) -> BootMemory {
  let layout = PhysicalLayout(memory: size)
  let memory = PhysicalMemory(limit: PhysicalLayout.highBase + layout.highMemory)
  memory.addMemory(at: PhysicalAddress(0), size: layout.lowMemory)
  if layout.highMemory > 0 { memory.addMemory(at: PhysicalAddress(PhysicalLayout.highBase), size: layout.highMemory) }
  return BootMemory(memory, layout: layout)
}

extension BootMemory {
  func u32(_ address: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: memory.read(address, size: 4)) }
  func u64(_ address: UInt64) -> UInt64 { memory.read(address, size: 8) }
  func text(_ address: UInt64) -> String {
    var bytes: [UInt8] = []
    var at = address
    while bytes.count < 4096 {
      let byte = UInt8(truncatingIfNeeded: memory.read(at, size: 1))
      if byte == 0 { break }
      bytes.append(byte)
      at += 1
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// The sentence of the error that `body` throws, or nil.
func sentence(_ body: () throws(MachineError) -> Void) -> String? {
  do {
    try body()
    return nil
  } catch {
    return error.description
  }
}

/// An ELF file with one loadable segment and, if asked, a note segment.
func makeELF(
  is64Bit: Bool, entry: UInt64, virtual: UInt64, physical: UInt64, code: [UInt8], memorySize: UInt64? = nil,
  note: (name: String, type: UInt32, body: [UInt8])? = nil
) -> [UInt8] {
  let headerSize = is64Bit ? 64 : 52, programSize = is64Bit ? 56 : 32
  var noteBytes = ByteBuffer()
  if let note {
    noteBytes.put(UInt32(note.name.utf8.count + 1))
    noteBytes.put(UInt32(note.body.count))
    noteBytes.put(note.type)
    noteBytes.putCString(note.name)
    noteBytes.align(4)
    noteBytes.put(note.body)
    noteBytes.align(4)
  }
  let count = note == nil ? 1 : 2
  let codeAt = headerSize + programSize * count
  let noteAt = codeAt + code.count
  var b = ByteBuffer()
  b.put([0x7F, 0x45, 0x4C, 0x46, is64Bit ? 2 : 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0])
  b.put(UInt16(2))
  b.put(UInt16(is64Bit ? 62 : 3))
  b.put(UInt32(1))
  func word(_ v: UInt64) { if is64Bit { b.put(v) } else { b.put(UInt32(v)) } }
  word(entry)
  word(UInt64(headerSize))
  word(0)
  b.put(UInt32(0))
  b.put(UInt16(headerSize))
  b.put(UInt16(programSize))
  b.put(UInt16(count))
  b.put(UInt16(0))
  b.put(UInt16(0))
  b.put(UInt16(0))
  func program(_ type: UInt32, _ offset: Int, _ v: UInt64, _ p: UInt64, _ file: Int, _ memory: UInt64) {
    b.put(type)
    if is64Bit { b.put(UInt32(5)) }
    word(UInt64(offset))
    word(v)
    word(p)
    word(UInt64(file))
    word(memory)
    if !is64Bit { b.put(UInt32(5)) }
    word(4)
  }
  program(1, codeAt, virtual, physical, code.count, memorySize ?? UInt64(code.count))
  if note != nil { program(4, noteAt, 0, 0, noteBytes.count, UInt64(noteBytes.count)) }
  b.put(code)
  b.put(noteBytes.bytes)
  return b.bytes
}
