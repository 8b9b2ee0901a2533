/// The pages by which a guest of a campaign comes from 32-bit protected mode to its driver in 64-bit mode, with page tables of its own: an IDT
/// for each processor whose every gate leads to the next command, code, and tables that map its memory at 0 and at its base.
enum PVHStart {
  /// Offset, in the page of code, of what the other processors begin with, and bytes for each.
  static let second = 1024, secondBytes = 64
  private static let descriptors = 512, pointers = 768

  /// From the page of the first IDT to the end of the tables.
  static func pages(drivers: [GuestDriver], base: UInt64, memoryPages: Int) -> [UInt8] {
    typealias Page = ScriptedGuest.Page
    var bytes = [UInt8](repeating: 0, count: (Page.tables[3] + 1) << 12)
    func put(_ list: [UInt8], _ at: Int) { bytes.replaceSubrange(at..<at + list.count, with: list) }
    func low(_ value: UInt64) -> [UInt8] { Array(ScriptedGuest.bytes(value).prefix(4)) }
    for (n, driver) in drivers.enumerated() {
      let code = driver.code
      let gate = code & 0xFFFF | 8 << 16 | 0xEE00 << 32 | (code >> 16 & 0xFFFF) << 48
      for vector in 0..<256 { put(ScriptedGuest.bytes(gate) + ScriptedGuest.bytes(code >> 32), (Page.traps + n) << 12 + vector * 16) }
    }
    let start = Page.start << 12
    // 64-bit code, data and 32-bit code of ring 0.
    let table: [UInt64] = [0, 0x00AF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF, 0x00CF_9B00_0000_FFFF]
    for (n, d) in table.enumerated() { put(ScriptedGuest.bytes(d), start + descriptors + n * 8) }
    put([31, 0] + low(UInt64(start + descriptors)) + [0, 0, 0, 0], start + pointers)
    for n in drivers.indices { put([0xFF, 0x0F] + ScriptedGuest.bytes(base + UInt64(Page.traps + n) << 12), start + pointers + 16 + n * 16) }
    func enter(_ processor: Int) -> [UInt8] {
      // mov eax, 10h; mov ds, es, ss; lidt; mov rax, driver; jmp rax
      [0xB8, 0x10, 0, 0, 0, 0x8E, 0xD8, 0x8E, 0xC0, 0x8E, 0xD0, 0x0F, 0x01, 0x1C, 0x25] + low(UInt64(start + pointers + 16 + processor * 16))
        + [0x48, 0xC7, 0xC0] + low(drivers[processor].code) + [0xFF, 0xE0]
    }
    var code: [UInt8] = [0x0F, 0x01, 0x15] + low(UInt64(start + pointers))  // lgdt
    code += [0x0F, 0x20, 0xE0, 0x0D, 0x20, 0x06, 0, 0, 0x0F, 0x22, 0xE0]  // CR4: PAE, OSFXSR, OSXMMEXCPT
    code += [0xB8] + low(UInt64(Page.tables[0]) << 12) + [0x0F, 0x22, 0xD8]  // CR3
    code += [0xB9, 0x80, 0, 0, 0xC0, 0x0F, 0x32, 0x0D, 0x01, 0x09, 0, 0, 0x0F, 0x30]  // EFER: SCE, LME, NXE
    code += [0x0F, 0x20, 0xC0, 0x0D, 0, 0, 0x01, 0x80, 0x0F, 0x22, 0xC0]  // CR0: PG, WP
    code += [0xEA] + low(UInt64(start + code.count + 7)) + [8, 0]  // jmp 8:next
    put(code + enter(0), start)
    for n in drivers.indices { put([0x0F, 0x01, 0x14, 0x25] + low(UInt64(start + pointers)) + enter(n), start + second + n * secondBytes) }
    func entry(_ table: Int, _ index: Int, _ page: Int) { put(ScriptedGuest.bytes(UInt64(page) << 12 | 0x67), table << 12 + index * 8) }
    let t = Page.tables
    for index in [0, Int(base >> 39 & 511)] { entry(t[0], index, t[1]) }
    for index in [0, Int(base >> 30 & 511)] { entry(t[1], index, t[2]) }
    entry(t[2], 0, t[3])
    for n in 0..<min(memoryPages, 512) { entry(t[3], n, n) }
    return Array(bytes[(Page.traps << 12)...])
  }
}
