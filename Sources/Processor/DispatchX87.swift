import X86Decoder
extension CPU {
  func executeX87(_ i: borrowing Instruction) throws(Fault) { throw .undefined }
}
