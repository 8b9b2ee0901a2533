import KernelImages

/// Programs without a boot protocol: bytes at an address, or the first sector of a disk.
enum FlatBinary {
  static let bootSectorAddress: UInt64 = 0x7C00

  static func load(
    _ blobs: [BootDescription.Blob], entry: UInt64?, into memory: BootMemory
  ) throws(MachineError) -> ProcessorEntry {
    guard let first = blobs.first else { throw .usage("there is nothing to load: give --load FILE@ADDRESS") }
    for blob in blobs {
      try memory.claim(blob.address, UInt64(blob.file.bytes.count), for: blob.file.name)
      memory.put(blob.file.bytes, at: blob.address)
    }
    let start = entry ?? first.address
    if start < 0x10_0000 {
      // CS so that the offset is small: code assembled for "org 0" and for its linear address below 64 KiB both work.
      let cs = start < 0x1_0000 ? 0 : UInt16(start >> 4)
      return ProcessorEntry(
        mode: .real(cs: cs, ds: cs, ss: 0), instructionPointer: start - UInt64(cs) << 4,
        registers: [ProcessorEntry.Register.rsp: bootSectorAddress])
    }
    try memory.writeBootGDT()
    return ProcessorEntry(
      mode: .protected32(gdt: BootPlace.gdt, code: ProcessorEntry.code32, data: ProcessorEntry.data32),
      instructionPointer: start, registers: [ProcessorEntry.Register.rsp: bootSectorAddress])
  }

  /// As a BIOS starts one: 0000:7C00 with the drive number in DL (no BIOS services are there to call).
  static func loadBootSector(
    _ file: BootDescription.File, into memory: BootMemory
  ) throws(MachineError) -> ProcessorEntry {
    guard file.bytes.count >= 512, file.bytes.u16(0x1FE) == 0xAA55 else {
      throw .badImage("\(file.name) is no boot sector: it does not have 55 AA at the end of its first 512 bytes")
    }
    try memory.claim(bootSectorAddress, 512, for: file.name)
    memory.put(file.bytes[..<512], at: bootSectorAddress)
    return ProcessorEntry(
      mode: .real(cs: 0, ds: 0, ss: 0), instructionPointer: bootSectorAddress,
      registers: [ProcessorEntry.Register.rsp: bootSectorAddress, ProcessorEntry.Register.rdx: 0x80])
  }
}
