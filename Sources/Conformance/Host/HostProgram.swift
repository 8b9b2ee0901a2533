import X86Decoder

/// The instructions of a case, decoded, beside its code.
struct HostProgram {
  static let most = 20

  /// Room for `most` instructions.
  let instructions: UnsafeMutablePointer<Instruction>
  /// Offsets in the code.
  private let offsets: UnsafeMutablePointer<UInt8>
  var count = 0
  var number: UInt64 = 0
  /// By single steps instead of decoded blocks.
  var bySteps = false
  /// Has an instruction that may go elsewhere than to the next.
  var branches = false

  init() {
    instructions = .allocate(capacity: Self.most)
    instructions.initialize(repeating: Instruction(), count: Self.most)
    offsets = .allocate(capacity: Self.most)
    offsets.initialize(repeating: 0, count: Self.most)
  }

  func deallocate() {
    instructions.deallocate()
    offsets.deallocate()
  }

  func offset(_ n: Int) -> Int { Int(offsets[n]) }

  mutating func append(offset: Int) {
    offsets[count] = UInt8(offset)
    count += 1
  }

  /// Reads the instructions again from the code, one behind the other. False if there are more than `most`.
  @discardableResult
  mutating func decode(_ c: CasePointer, _ decoder: Decoder) -> Bool {
    count = 0
    branches = false
    var at = 0
    while at < c.length, count < Self.most {
      decoder.decode(c.code + at, available: c.length - at, codeSize: c.pointee.is32 != 0 ? .bits32 : .bits64, into: instructions + count)
      let length = Int(instructions[count].length)
      if OpcodeMap.shared.attributes(instructions[count].row).contains(.endsBlock) { branches = true }
      append(offset: at)
      if instructions[count - 1].row == 0 { break }
      at += max(1, length)
    }
    return at >= c.length || instructions[count - 1].row == 0
  }
}
