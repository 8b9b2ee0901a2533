/// Ctrl-A commands in the bytes a user types, as with QEMU's -nographic.
struct EscapeKeys {
  enum Command: Equatable {
    case end, help, status, powerButton
  }

  private var isEscaped = false

  static let help = """
    \r
    Ctrl-A h   this help\r
    Ctrl-A x   end the emulator\r
    Ctrl-A c   show where the machine is\r
    Ctrl-A p   press the power button\r
    Ctrl-A Ctrl-A   send Ctrl-A to the guest\r

    """

  /// Splits typed bytes into what goes to the guest and what is meant for the emulator.
  mutating func filter(_ bytes: some Sequence<UInt8>) -> (guest: [UInt8], commands: [Command]) {
    var guest: [UInt8] = []
    var commands: [Command] = []
    for byte in bytes {
      if !isEscaped {
        if byte == 1 { isEscaped = true } else { guest.append(byte) }
        continue
      }
      isEscaped = false
      switch byte {
      case 1, UInt8(ascii: "a"): guest.append(1)
      case UInt8(ascii: "x"): commands.append(.end)
      case UInt8(ascii: "c"): commands.append(.status)
      case UInt8(ascii: "p"): commands.append(.powerButton)
      default: commands.append(.help)
      }
    }
    return (guest, commands)
  }
}
