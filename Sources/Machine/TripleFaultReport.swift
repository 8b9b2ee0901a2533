import Interpreter
import Processor
import X86Decoder

/// What can be said about a processor that shut down: where it was, in which mode, and which tables failed it.
enum TripleFaultReport {
  static func text(_ processor: VirtualCPU) -> String {
    let cpu = processor.cpu
    let s = cpu.s.pointee
    func hex(_ value: UInt64, _ digits: Int) -> String {
      let text = String(value, radix: 16)
      return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
    let wide = s.codeSize == .bits64
    let width = wide ? 16 : 8
    let names = ["AX", "CX", "DX", "BX", "SP", "BP", "SI", "DI"].map { (wide ? "R" : "E") + $0 }
      + (8..<16).map { "R\($0)" }
    var lines = [
      "Triple fault on CPU \(s.index) after \(s.retired) instructions: an exception could not be delivered, the double fault neither."
    ]
    let mode = wide ? "64-bit mode" : s.longMode ? "compatibility mode" : s.v86 ? "virtual-8086 mode"
      : s.protectedMode ? "protected mode" : "real mode"
    lines.append("  at \(hex(UInt64(s.cs.selector), 4)):\(hex(s.rip, width)), \(mode), CPL \(s.cpl), paging \(s.cr0 >> 31 & 1 == 1 ? "on" : "off")")
    for row in stride(from: 0, to: wide ? 16 : 8, by: 4) {
      lines.append("  " + (row..<row + 4).map { n in
        let name = names[n] + String(repeating: " ", count: 3 - names[n].count)
        return "\(name) \(hex(cpu.gpr(UInt8(n)) & (wide ? ~0 : 0xFFFF_FFFF), width))"
      }.joined(separator: "  "))
    }
    lines.append("  CR0 \(hex(s.cr0, 8))  CR2 \(hex(s.cr2, width))  CR3 \(hex(s.cr3, width))  CR4 \(hex(s.cr4, 8))  EFER \(hex(s.efer, 4))")
    lines.append("  IDT \(hex(s.idtr.base, width)) limit \(hex(UInt64(s.idtr.limit), 4))  GDT \(hex(s.gdtr.base, width)) limit \(hex(UInt64(s.gdtr.limit), 4))  TR \(hex(UInt64(s.tr.selector), 4))")
    lines.append("  " + [("ES", s.es), ("CS", s.cs), ("SS", s.ss), ("DS", s.ds), ("FS", s.fs), ("GS", s.gs)].map {
      "\($0.0) \(hex(UInt64($0.1.selector), 4))"
    }.joined(separator: "  "))
    if let code = instruction(cpu) { lines.append("  Instruction: \(code)") }
    lines.append("  The events that led to it, the last one could not be delivered:")
    for record in s.environment.takeUnretainedValue().faultLog.lastChain(of: s.index) {
      lines.append("    " + String(repeating: " ", count: Int(min(record.depth, 8))) + record.description)
    }
    lines.append("  " + cause(s))
    return lines.joined(separator: "\n")
  }

  /// Bytes and text of the instruction at CS:RIP, where it can be read.
  private static func instruction(_ cpu: CPU) -> String? {
    let s = cpu.s.pointee
    let memory = s.environment.takeUnretainedValue().memory
    var bytes: [UInt8] = []
    for n in 0..<15 as Range<UInt64> {
      let linear = s.cs.base &+ s.rip &+ n
      guard let physical = cpu.translateForDebugger(s.longMode ? linear : linear & 0xFFFF_FFFF),
        let host = memory.host(physical) else { break }
      bytes.append(host.load(as: UInt8.self))
    }
    guard !bytes.isEmpty else { return "cannot be read: its page is not mapped to memory" }
    let decoded = bytes.withUnsafeBytes { Decoder.decode($0.baseAddress!, available: $0.count, codeSize: s.codeSize) }
    let length = max(1, min(Int(decoded.length), bytes.count))
    let dump = bytes[..<length].map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
    return "\(dump)  \(Disassembler.text(of: decoded, at: s.rip))"
  }

  /// The commonest reasons, as far as the registers show them.
  private static func cause(_ s: CPUState) -> String {
    let gate = s.longMode ? 16 : s.protectedMode || s.v86 ? 8 : 4
    let entries = (Int(s.idtr.limit) + 1) / gate
    if entries <= 14 {
      let missing = entries == 0 ? "any exception" : "exceptions from \(entries) on"
      return "The IDT has no entry for \(missing) (its limit is \(s.idtr.limit)): the guest had not set up its exception handlers."
    }
    if s.cr0 >> 31 & 1 == 1, s.cr2 != 0 {
      return "The last page fault was at linear address 0x\(String(s.cr2, radix: 16)): if the handler, its stack or the IDT is not mapped, no exception can be delivered."
    }
    return "Look at the IDT, at the stack of the handlers (TSS), and at the code segment that the gates name."
  }
}
