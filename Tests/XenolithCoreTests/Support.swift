import Testing
import XenolithCore

/// Where the tests put code, data and stack.
let codeBase: UInt64 = 0x1000, dataBase: UInt64 = 0x4000, stackTop: UInt64 = 0x8000

/// A core with 64 KiB of memory from 0, with code at `codeBase` and RIP there.
func makeCore(
  _ code: [UInt8], mode: Mode = .long, model: CPUModel = .x86_64v3, exits: ExitConditions = .all
) throws -> Core {
  let core = try Core(model: model, mode: mode, exits: exits)
  try core.mapMemory(at: 0, size: 0x10000)
  try core.write(code, at: codeBase)
  core[.rip] = codeBase
  core[.rsp] = stackTop
  return core
}

/// Gives a core of 64-bit mode a GDT, an IDT whose entries all lead to `handler`, and a TSS for changes of privilege.
func addTables(_ core: Core, handler: UInt64) throws {
  let gdt: UInt64 = 0xA000, idt: UInt64 = 0xB000
  try core.write(0x00AF_9B00_0000_FFFF as UInt64, at: gdt + 8)
  try core.write(0x00CF_9300_0000_FFFF as UInt64, at: gdt + 16)
  for vector in 0..<256 as Range<UInt64> {
    try core.write(handler & 0xFFFF | 8 << 16 | 0x8E << 40 | (handler >> 16) << 48, at: idt + vector * 16)
    try core.write(0 as UInt64, at: idt + vector * 16 + 8)
  }
  core.gdtr = DescriptorTable(base: gdt, limit: 0xFF)
  core.idtr = DescriptorTable(base: idt, limit: 0xFFF)
}

/// Everything hooks are called for, in order, one line each.
final class Recorder {
  private(set) var lines: [String] = []

  func clear() { lines = [] }

  func note(_ line: String) { lines.append(line) }

  func attach(_ core: Core, system: Bool = false) {
    core.onInstruction { [unowned self] _, event in note("before \(offset(event.address)) \(name(event))") }
    core.afterInstruction { [unowned self] _, event in note("after \(offset(event.address)) \(name(event))") }
    core.onBranch { [unowned self] _, event in note("branch \(event.kind) \(offset(event.from))→\(offset(event.to))") }
    core.onException { [unowned self] _, event in
      note("exception \(event.name) \(offset(event.instruction))")
      return .proceed
    }
    core.onMemory(system ? [.read, .write, .systemRead, .systemWrite] : [.read, .write]) { [unowned self] _, access in
      note("\(access.kind) \(String(access.linear, radix: 16)) \(access.size) \(String(access.value, radix: 16))")
    }
  }

  private func name(_ event: InstructionEvent) -> String { "\(event.mnemonic)" }

  /// Code addresses relative to `codeBase`, where they are on its page.
  private func offset(_ address: UInt64) -> String {
    address & ~0xFFF == codeBase ? "+\(address - codeBase)" : String(address, radix: 16)
  }
}
