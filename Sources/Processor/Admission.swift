import X86
import X86Decoder

/// Which instructions this CPU model has. The decoder knows all; the opcode map names the feature that brought each.
extension CPU {
  /// Turns an instruction that the model lacks into what its bytes mean there: mostly #UD (`.invalid`), but some encodings
  /// were chosen to be harmless on processors that ignore their prefix.
  public func admit(_ i: inout Instruction) {
    let row = i.row
    if row == 0 || environment.model.features.contains(OpcodeMap.feature(ofRow: row)) { return }
    if OpcodeMap.attributes(row).contains(.fallback) {
      switch i.mnemonic {
      case .LZCNT: i.mnemonic = .BSR
      case .TZCNT: i.mnemonic = .BSF
      default: i.mnemonic = .NOP
      }
    } else {
      i.mnemonic = .invalid
    }
  }
}
