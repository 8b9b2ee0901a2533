import X86
import X86Decoder

/// Which instructions this CPU model has. The decoder knows all; the opcode map names the feature that brought each.
extension CPU {
  /// Turns an instruction that the model lacks into what its bytes mean there: mostly #UD (`.invalid`), but some encodings
  /// were chosen to be harmless on processors that ignore their prefix.
  public func admit(_ i: inout Instruction) {
    let features = environment.model.features
    if i.row == 0 || features.contains(OpcodeMap.feature(ofRow: i.row)) { return }
    // A guest calls its owner by the instructions of either vendor.
    if i.mnemonic == .VMCALL || i.mnemonic == .VMMCALL, environment.owner != nil { return }
    withUnsafeMutablePointer(to: &i) { Decoder().restrict($0, to: features) }
  }
}
