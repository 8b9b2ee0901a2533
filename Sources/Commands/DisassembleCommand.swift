import ArgumentParser
import Machine
import X86Decoder

/// `xenolith disassemble`: machine code as text.
struct DisassembleCommand: ParsableCommand {
  enum Syntax: String, ExpressibleByArgument, CaseIterable { case intel, att }

  static let configuration = CommandConfiguration(
    commandName: "disassemble",
    abstract: "Prints machine code of a file as assembly text.",
    discussion: """
      Examples:
        xenolith disassemble --bits 16 --address 0x7c00 bootsector.bin
        xenolith disassemble --syntax att --offset 0x1000 --count 20 code.bin
      """)

  @Argument(help: "The file; an ELF file's executable segments, or any bytes.")
  var file: String
  @Option(help: "Code size: 16, 32 or 64 (default: what the ELF file says, else 64).")
  var bits: Int?
  @Option(help: "intel or att.")
  var syntax: Syntax = .intel
  @Option(help: "Address of the first byte.")
  var address: AddressArgument?
  @Option(help: "Where in the file to begin.")
  var offset: AddressArgument?
  @Option(help: "How many instructions to print.")
  var count: Int?

  func validate() throws {
    if let bits, ![16, 32, 64].contains(bits) { throw ValidationError("--bits is 16, 32 or 64, not \(bits)") }
    if let count, count < 0 { throw ValidationError("--count cannot be negative") }
  }

  func run() throws {
    let bytes = try HostFile.contents(file)
    if let offset, offset.value > 0, offset.value >= UInt64(bytes.count) {
      throw MachineError.usage("--offset lies behind the end of \(file), which has \(bytes.count) bytes")
    }
    let raw = bits != nil || address != nil || offset != nil
    let parts = raw ? nil : CodeRegion.inELF(bytes)
    var left = count ?? .max
    for region in parts ?? [plainRegion(bytes)] where left > 0 { left -= try print(region, most: left) }
  }

  private func plainRegion(_ bytes: [UInt8]) -> CodeRegion {
    let start = Int(clamping: offset?.value ?? 0)
    let size: CodeSize = bits == 16 ? .bits16 : bits == 32 ? .bits32 : .bits64
    return CodeRegion(
      address: address?.value ?? UInt64(start), bytes: Array(bytes.dropFirst(start)), codeSize: size)
  }

  /// Prints instructions of a region; returns how many.
  private func print(_ region: CodeRegion, most: Int) throws(MachineError) -> Int {
    var at = 0, done = 0
    var text = ""
    while at < region.bytes.count, done < most {
      let instruction = region.bytes.withUnsafeBytes {
        Decoder.decode($0.baseAddress! + at, available: $0.count - at, codeSize: region.codeSize)
      }
      let isCode = instruction.mnemonic != .invalid && instruction.mnemonic != .truncated && instruction.mnemonic != .tooLong
      let length = isCode ? max(1, Int(instruction.length)) : 1
      let place = region.address &+ UInt64(at)
      let encoded = region.bytes[at..<at + length]
      let words = isCode
        ? Disassembler.text(of: instruction, at: place, syntax: syntax == .att ? .att : .intel)
        : (syntax == .att ? ".byte " : "db ") + "0x" + hex(UInt64(encoded.first!), 2)
      let dump = encoded.map { hex(UInt64($0), 2) }.joined(separator: " ")
      text += "\(hex(place, region.codeSize == .bits64 ? 16 : 8))  \(dump)\(String(repeating: " ", count: max(1, 32 - dump.count)))\(words)\n"
      if text.utf8.count > 1 << 16 {
        try HostFile.standardOutput(text.utf8)
        text = ""
      }
      at += length
      done += 1
    }
    try HostFile.standardOutput(text.utf8)
    return done
  }

  private func hex(_ value: UInt64, _ digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
  }
}
