/// Random code: plain bytes, or bytes that look like instructions and so get further.
enum FuzzCode {
  private static let prefixes: [UInt8] = [0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x66, 0x67, 0xF0, 0xF2, 0xF3, 0xF3]

  /// - Parameter is64: whether to use REX prefixes.
  static func bytes(_ count: Int, is64: Bool, _ random: inout FuzzRandom) -> [UInt8] {
    if random.chance(25) { return (0..<count).map { _ in random.byte() } }
    var out: [UInt8] = []
    out.reserveCapacity(count + 32)
    while out.count < count { instruction(is64, &random, &out) }
    return out
  }

  private static func instruction(_ is64: Bool, _ random: inout FuzzRandom, _ out: inout [UInt8]) {
    while random.chance(18) { out.append(random.pick(prefixes)) }
    if is64, random.chance(40) { out.append(0x40 | random.byte() & 0xF) }
    switch random.below(20) {
    case 0..<9: out.append(random.byte())
    case 9..<16: out += [0x0F, random.byte()]
    case 16: out += [0x0F, 0x38, random.byte()]
    case 17: out += [0x0F, 0x3A, random.byte()]
    case 18: out += [0xC5, random.byte(), random.byte()]
    default: out += [random.pick([0xC4, 0xC4, 0x62, 0x8F]), random.pick([0xE0, 0xC0, 0x00]) | random.pick([1, 2, 3]), random.byte(), random.byte()]
    }
    // ModRM: registers, or memory at a register.
    switch random.below(10) {
    case 0..<5: out.append(0xC0 | random.byte())
    case 5..<8: out.append(random.byte() & 0x7F)
    default: out.append(random.byte())
    }
    switch random.below(6) {
    case 0: out += [random.byte(), random.byte() & 3]
    case 1: out += [random.byte(), random.byte(), random.byte() & 3, 0, 0]
    case 2: out.append(random.byte())
    default: break
    }
  }
}
