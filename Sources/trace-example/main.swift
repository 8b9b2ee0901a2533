// Traces a few bytes of machine code: every instruction with the registers it changed and the memory it touched.
import XenolithCore

/// Sums five words of a table, and writes the sum behind it.
let program: [UInt8] = [
  0xBE, 0x00, 0x20, 0x00, 0x00,  // mov esi, 2000h
  0x31, 0xC0,  // xor eax, eax
  0xB9, 0x05, 0x00, 0x00, 0x00,  // mov ecx, 5
  0x03, 0x06,  // add eax, [rsi]
  0x83, 0xC6, 0x04,  // add esi, 4
  0xE2, 0xF9,  // loop, back to the addition
  0x89, 0x06,  // mov [rsi], eax
  0x0F, 0x0B,  // ud2
]

func hexadecimal(_ value: UInt64) -> String { String(value, radix: 16) }

func padded(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(1, width - text.count)) }

let core = try Core(mode: .long)
try core.mapMemory(at: 0x1000, size: 0x2000)
try core.write(program, at: 0x1000)
for (n, word) in [10, 20, 30, 40, 50].enumerated() { try core.write(UInt32(word), at: 0x2000 + UInt64(n) * 4) }
core[.rip] = 0x1000

var before = Registers()
var accesses: [String] = []

core.onInstruction { core, _ in
  before = core.registers
  accesses = []
}
core.onMemory { _, access in
  accesses.append("[\(hexadecimal(access.linear))] \(access.isWrite ? "←" : "→") \(hexadecimal(access.value))")
}
core.afterInstruction { core, event in
  let now = core.registers
  let changes = now.changes(since: before).map { "\($0)=\(hexadecimal(now[$0]))" }
  print(padded(hexadecimal(event.address), 6) + padded(event.text, 26) + (changes + accesses).joined(separator: "  "))
}
core.onException { _, event in
  print(event)
  return .proceed
}

let exit = core.run(count: 1000)
print("\(exit) after \(core.retired) instructions; the sum is \(try core.read(at: 0x2014, as: UInt32.self))")
