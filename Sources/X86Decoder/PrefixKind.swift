/// What a byte means before the opcode (SDM vol. 2A §2.1.1, §2.2.1).
enum PrefixKind: UInt8 {
  case none
  case operandSize, addressSize, repne, rep, lock
  case es, cs, ss, ds, fs, gs
  /// Only in 64-bit code.
  case rex

  static func table() -> UnsafePointer<UInt8> {
    let table = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)
    table.initialize(repeating: PrefixKind.none.rawValue, count: 256)
    let bytes: [(Int, PrefixKind)] = [
      (0x66, .operandSize), (0x67, .addressSize), (0xF2, .repne), (0xF3, .rep), (0xF0, .lock),
      (0x26, .es), (0x2E, .cs), (0x36, .ss), (0x3E, .ds), (0x64, .fs), (0x65, .gs),
    ]
    for (byte, kind) in bytes { table[byte] = kind.rawValue }
    for byte in 0x40...0x4F { table[byte] = PrefixKind.rex.rawValue }
    return UnsafePointer(table)
  }
}
