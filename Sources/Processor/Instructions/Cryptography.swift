import X86Decoder

/// AES-NI, PCLMULQDQ and the SHA extensions (SDM vol. 1 §12.13, vol. 2; FIPS 197, FIPS 180-4).
extension CPU {
  // MARK: AES

  func AESENC(_ i: borrowing Instruction) throws(Fault) {
    try perHalf(i) { state, key in AES.mixed(AES.substitutedRows(state)) ^ key }
  }
  func AESENCLAST(_ i: borrowing Instruction) throws(Fault) {
    try perHalf(i) { state, key in AES.substitutedRows(state) ^ key }
  }
  func AESDEC(_ i: borrowing Instruction) throws(Fault) {
    try perHalf(i) { state, key in AES.inverseMixed(AES.inverseSubstitutedRows(state)) ^ key }
  }
  func AESDECLAST(_ i: borrowing Instruction) throws(Fault) {
    try perHalf(i) { state, key in AES.inverseSubstitutedRows(state) ^ key }
  }
  func AESIMC(_ i: borrowing Instruction) throws(Fault) {
    let a = try soleSource(i)
    setXMM(i, i.op0.register, AES.inverseMixed(a))
  }

  /// SubWord, and RotWord with the round constant, of the second and fourth double words.
  func AESKEYGENASSIST(_ i: borrowing Instruction) throws(Fault) {
    let a = try soleSource(i)
    let constant = UInt32(truncatingIfNeeded: i.immediate & 0xFF)
    var result = Vector256()
    for n in 0..<2 {
      let word = AES.substituted(a.lane(2 &* n &+ 1, as: UInt32.self))
      result.setLane(2 &* n, word)
      result.setLane(2 &* n &+ 1, (word &>> 8 | word &<< 24) ^ constant)
    }
    setXMM(i, i.op0.register, result)
  }

  // MARK: Carry-less multiplication

  /// Immediate bits 0 and 4 choose the halves of the first and the second source.
  func PCLMULQDQ(_ i: borrowing Instruction) throws(Fault) {
    let control = i.immediate
    try perHalf(i) { a, b in
      Vector256(value: carrylessProduct(control & 1 != 0 ? a.q1 : a.q0, control & 16 != 0 ? b.q1 : b.q0))
    }
  }

  /// Integer multiplication without carries that matter: factors with ones only in every fifth bit add up to 13 ones in a column of
  /// the product, which five bits hold, and the lowest of the five is the carry-less sum.
  private func carrylessProduct(_ x: UInt64, _ y: UInt64) -> UInt128 {
    let mask: UInt64 = 0x1084_2108_4210_8421
    let wideMask: UInt128 = 0x2108_4210_8421_0842_1084_2108_4210_8421
    var product: UInt128 = 0
    for column in 0..<5 {
      var sum: UInt128 = 0
      for j in 0..<5 {
        let k = (column &+ 5 &- j) % 5
        let factors = (x & mask &<< UInt64(j)).multipliedFullWidth(by: y & mask &<< UInt64(k))
        sum ^= UInt128(factors.high) &<< 64 | UInt128(factors.low)
      }
      product |= sum & wideMask &<< UInt128(column)
    }
    return product
  }

  // MARK: SHA-1. Double words are numbered from the top in FIPS 180-4's order: lane 3 comes first.

  func SHA1MSG1(_ i: borrowing Instruction) throws(Fault) {
    let (a, b) = try sources(i)
    setXMM(i, i.op0.register, Vector256(a.q0 ^ b.q1, a.q1 ^ a.q0))
  }

  func SHA1MSG2(_ i: borrowing Instruction) throws(Fault) {
    let (a, b) = try sources(i)
    var result = Vector256()
    let first = rotated(a.lane(3, as: UInt32.self) ^ b.lane(2), left: 1)
    result.setLane(3, first)
    result.setLane(2, rotated(a.lane(2, as: UInt32.self) ^ b.lane(1), left: 1))
    result.setLane(1, rotated(a.lane(1, as: UInt32.self) ^ b.lane(0), left: 1))
    result.setLane(0, rotated(a.lane(0, as: UInt32.self) ^ first, left: 1))
    setXMM(i, i.op0.register, result)
  }

  func SHA1NEXTE(_ i: borrowing Instruction) throws(Fault) {
    let (a, b) = try sources(i)
    var result = b
    result.setLane(3, b.lane(3, as: UInt32.self) &+ rotated(a.lane(3), left: 30))
    setXMM(i, i.op0.register, result)
  }

  /// Four rounds with the function and constant chosen by the immediate.
  func SHA1RNDS4(_ i: borrowing Instruction) throws(Fault) {
    let (state, words) = try sources(i)
    let kind = i.immediate & 3
    var a = state.lane(3, as: UInt32.self), b = state.lane(2, as: UInt32.self)
    var c = state.lane(1, as: UInt32.self), d = state.lane(0, as: UInt32.self)
    var e: UInt32 = 0
    let constant: UInt32 = kind == 0 ? 0x5A82_7999 : kind == 1 ? 0x6ED9_EBA1 : kind == 2 ? 0x8F1B_BCDC : 0xCA62_C1D6
    for n in 0..<4 {
      let f = kind == 0 ? (b & c) ^ (~b & d) : kind == 2 ? (b & c) ^ (b & d) ^ (c & d) : b ^ c ^ d
      // The first word already holds W + E.
      let next = f &+ rotated(a, left: 5) &+ words.lane(3 &- n, as: UInt32.self) &+ e &+ constant
      e = d
      d = c
      c = rotated(b, left: 30)
      b = a
      a = next
    }
    var result = Vector256()
    result.setLane(3, a)
    result.setLane(2, b)
    result.setLane(1, c)
    result.setLane(0, d)
    setXMM(i, i.op0.register, result)
  }

  // MARK: SHA-256

  func SHA256MSG1(_ i: borrowing Instruction) throws(Fault) {
    let (a, b) = try sources(i)
    var result = Vector256()
    for n in 0..<4 {
      let w = n == 3 ? b.lane(0, as: UInt32.self) : a.lane(n &+ 1, as: UInt32.self)
      let sigma = rotated(w, left: 25) ^ rotated(w, left: 14) ^ w &>> 3
      result.setLane(n, a.lane(n, as: UInt32.self) &+ sigma)
    }
    setXMM(i, i.op0.register, result)
  }

  func SHA256MSG2(_ i: borrowing Instruction) throws(Fault) {
    let (a, b) = try sources(i)
    var result = Vector256()
    for n in 0..<4 {
      let w = n < 2 ? b.lane(n &+ 2, as: UInt32.self) : result.lane(n &- 2, as: UInt32.self)
      let sigma = rotated(w, left: 15) ^ rotated(w, left: 13) ^ w &>> 10
      result.setLane(n, a.lane(n, as: UInt32.self) &+ sigma)
    }
    setXMM(i, i.op0.register, result)
  }

  /// Two rounds; the sums W + K come from XMM0. Operand 0 holds C D G H, operand 1 A B E F.
  func SHA256RNDS2(_ i: borrowing Instruction) throws(Fault) {
    let (cdgh, abef) = try sources(i)
    var a = abef.lane(3, as: UInt32.self), b = abef.lane(2, as: UInt32.self)
    var e = abef.lane(1, as: UInt32.self), f = abef.lane(0, as: UInt32.self)
    var c = cdgh.lane(3, as: UInt32.self), d = cdgh.lane(2, as: UInt32.self)
    var g = cdgh.lane(1, as: UInt32.self), h = cdgh.lane(0, as: UInt32.self)
    for n in 0..<2 {
      let choice = (e & f) ^ (~e & g)
      let majority = (a & b) ^ (a & c) ^ (b & c)
      let sigma1 = rotated(e, left: 26) ^ rotated(e, left: 21) ^ rotated(e, left: 7)
      let sigma0 = rotated(a, left: 30) ^ rotated(a, left: 19) ^ rotated(a, left: 10)
      let t = h &+ sigma1 &+ choice &+ vector(0).pointee.lane(n, as: UInt32.self)
      h = g
      g = f
      f = e
      e = d &+ t
      d = c
      c = b
      b = a
      a = t &+ sigma0 &+ majority
    }
    var result = Vector256()
    result.setLane(3, a)
    result.setLane(2, b)
    result.setLane(1, e)
    result.setLane(0, f)
    setXMM(i, i.op0.register, result)
  }
}

@inline(__always) private func rotated(_ x: UInt32, left n: UInt32) -> UInt32 { x &<< n | x &>> (32 &- n) }

/// The transformations of FIPS 197 §5. The state is 16 bytes, column by column.
private enum AES {
  static let forward: InlineArray<256, UInt8> = [
    0x63, 0x7C, 0x77, 0x7B, 0xF2, 0x6B, 0x6F, 0xC5, 0x30, 0x01, 0x67, 0x2B, 0xFE, 0xD7, 0xAB, 0x76,
    0xCA, 0x82, 0xC9, 0x7D, 0xFA, 0x59, 0x47, 0xF0, 0xAD, 0xD4, 0xA2, 0xAF, 0x9C, 0xA4, 0x72, 0xC0,
    0xB7, 0xFD, 0x93, 0x26, 0x36, 0x3F, 0xF7, 0xCC, 0x34, 0xA5, 0xE5, 0xF1, 0x71, 0xD8, 0x31, 0x15,
    0x04, 0xC7, 0x23, 0xC3, 0x18, 0x96, 0x05, 0x9A, 0x07, 0x12, 0x80, 0xE2, 0xEB, 0x27, 0xB2, 0x75,
    0x09, 0x83, 0x2C, 0x1A, 0x1B, 0x6E, 0x5A, 0xA0, 0x52, 0x3B, 0xD6, 0xB3, 0x29, 0xE3, 0x2F, 0x84,
    0x53, 0xD1, 0x00, 0xED, 0x20, 0xFC, 0xB1, 0x5B, 0x6A, 0xCB, 0xBE, 0x39, 0x4A, 0x4C, 0x58, 0xCF,
    0xD0, 0xEF, 0xAA, 0xFB, 0x43, 0x4D, 0x33, 0x85, 0x45, 0xF9, 0x02, 0x7F, 0x50, 0x3C, 0x9F, 0xA8,
    0x51, 0xA3, 0x40, 0x8F, 0x92, 0x9D, 0x38, 0xF5, 0xBC, 0xB6, 0xDA, 0x21, 0x10, 0xFF, 0xF3, 0xD2,
    0xCD, 0x0C, 0x13, 0xEC, 0x5F, 0x97, 0x44, 0x17, 0xC4, 0xA7, 0x7E, 0x3D, 0x64, 0x5D, 0x19, 0x73,
    0x60, 0x81, 0x4F, 0xDC, 0x22, 0x2A, 0x90, 0x88, 0x46, 0xEE, 0xB8, 0x14, 0xDE, 0x5E, 0x0B, 0xDB,
    0xE0, 0x32, 0x3A, 0x0A, 0x49, 0x06, 0x24, 0x5C, 0xC2, 0xD3, 0xAC, 0x62, 0x91, 0x95, 0xE4, 0x79,
    0xE7, 0xC8, 0x37, 0x6D, 0x8D, 0xD5, 0x4E, 0xA9, 0x6C, 0x56, 0xF4, 0xEA, 0x65, 0x7A, 0xAE, 0x08,
    0xBA, 0x78, 0x25, 0x2E, 0x1C, 0xA6, 0xB4, 0xC6, 0xE8, 0xDD, 0x74, 0x1F, 0x4B, 0xBD, 0x8B, 0x8A,
    0x70, 0x3E, 0xB5, 0x66, 0x48, 0x03, 0xF6, 0x0E, 0x61, 0x35, 0x57, 0xB9, 0x86, 0xC1, 0x1D, 0x9E,
    0xE1, 0xF8, 0x98, 0x11, 0x69, 0xD9, 0x8E, 0x94, 0x9B, 0x1E, 0x87, 0xE9, 0xCE, 0x55, 0x28, 0xDF,
    0x8C, 0xA1, 0x89, 0x0D, 0xBF, 0xE6, 0x42, 0x68, 0x41, 0x99, 0x2D, 0x0F, 0xB0, 0x54, 0xBB, 0x16,
  ]
  static let inverse: InlineArray<256, UInt8> = [
    0x52, 0x09, 0x6A, 0xD5, 0x30, 0x36, 0xA5, 0x38, 0xBF, 0x40, 0xA3, 0x9E, 0x81, 0xF3, 0xD7, 0xFB,
    0x7C, 0xE3, 0x39, 0x82, 0x9B, 0x2F, 0xFF, 0x87, 0x34, 0x8E, 0x43, 0x44, 0xC4, 0xDE, 0xE9, 0xCB,
    0x54, 0x7B, 0x94, 0x32, 0xA6, 0xC2, 0x23, 0x3D, 0xEE, 0x4C, 0x95, 0x0B, 0x42, 0xFA, 0xC3, 0x4E,
    0x08, 0x2E, 0xA1, 0x66, 0x28, 0xD9, 0x24, 0xB2, 0x76, 0x5B, 0xA2, 0x49, 0x6D, 0x8B, 0xD1, 0x25,
    0x72, 0xF8, 0xF6, 0x64, 0x86, 0x68, 0x98, 0x16, 0xD4, 0xA4, 0x5C, 0xCC, 0x5D, 0x65, 0xB6, 0x92,
    0x6C, 0x70, 0x48, 0x50, 0xFD, 0xED, 0xB9, 0xDA, 0x5E, 0x15, 0x46, 0x57, 0xA7, 0x8D, 0x9D, 0x84,
    0x90, 0xD8, 0xAB, 0x00, 0x8C, 0xBC, 0xD3, 0x0A, 0xF7, 0xE4, 0x58, 0x05, 0xB8, 0xB3, 0x45, 0x06,
    0xD0, 0x2C, 0x1E, 0x8F, 0xCA, 0x3F, 0x0F, 0x02, 0xC1, 0xAF, 0xBD, 0x03, 0x01, 0x13, 0x8A, 0x6B,
    0x3A, 0x91, 0x11, 0x41, 0x4F, 0x67, 0xDC, 0xEA, 0x97, 0xF2, 0xCF, 0xCE, 0xF0, 0xB4, 0xE6, 0x73,
    0x96, 0xAC, 0x74, 0x22, 0xE7, 0xAD, 0x35, 0x85, 0xE2, 0xF9, 0x37, 0xE8, 0x1C, 0x75, 0xDF, 0x6E,
    0x47, 0xF1, 0x1A, 0x71, 0x1D, 0x29, 0xC5, 0x89, 0x6F, 0xB7, 0x62, 0x0E, 0xAA, 0x18, 0xBE, 0x1B,
    0xFC, 0x56, 0x3E, 0x4B, 0xC6, 0xD2, 0x79, 0x20, 0x9A, 0xDB, 0xC0, 0xFE, 0x78, 0xCD, 0x5A, 0xF4,
    0x1F, 0xDD, 0xA8, 0x33, 0x88, 0x07, 0xC7, 0x31, 0xB1, 0x12, 0x10, 0x59, 0x27, 0x80, 0xEC, 0x5F,
    0x60, 0x51, 0x7F, 0xA9, 0x19, 0xB5, 0x4A, 0x0D, 0x2D, 0xE5, 0x7A, 0x9F, 0x93, 0xC9, 0x9C, 0xEF,
    0xA0, 0xE0, 0x3B, 0x4D, 0xAE, 0x2A, 0xF5, 0xB0, 0xC8, 0xEB, 0xBB, 0x3C, 0x83, 0x53, 0x99, 0x61,
    0x17, 0x2B, 0x04, 0x7E, 0xBA, 0x77, 0xD6, 0x26, 0xE1, 0x69, 0x14, 0x63, 0x55, 0x21, 0x0C, 0x7D,
  ]

  @inline(__always) static func substituted(_ word: UInt32) -> UInt32 {
    var result: UInt32 = 0
    for n in 0..<4 { result |= UInt32(forward[Int(word &>> UInt32(8 &* n) & 0xFF)]) &<< UInt32(8 &* n) }
    return result
  }

  /// SubBytes and ShiftRows: row r comes from r columns further.
  @inline(__always) static func substitutedRows(_ state: Vector256) -> Vector256 {
    Vector256.combining(state, state) { state, _, result in
      for n in 0..<16 { result.setLane(n, forward[Int(state.lane((n &+ 4 &* (n & 3)) & 15, as: UInt8.self))]) }
    }
  }

  @inline(__always) static func inverseSubstitutedRows(_ state: Vector256) -> Vector256 {
    Vector256.combining(state, state) { state, _, result in
      for n in 0..<16 { result.setLane(n, inverse[Int(state.lane((n &- 4 &* (n & 3)) & 15, as: UInt8.self))]) }
    }
  }

  /// Multiplies four bytes by x in GF(2^8).
  @inline(__always) private static func doubled(_ w: UInt32) -> UInt32 {
    (w & 0x7F7F_7F7F) &<< 1 ^ ((w &>> 7) & 0x0101_0101) &* 0x1B
  }

  @inline(__always) private static func mixed(_ w: UInt32) -> UInt32 {
    let two = doubled(w)
    return two ^ rotated(two ^ w, left: 24) ^ rotated(w, left: 16) ^ rotated(w, left: 8)
  }

  @inline(__always) static func mixed(_ state: Vector256) -> Vector256 { state.map { (w: UInt32) in mixed(w) } }

  /// The inverse is MixColumns after multiplying by a polynomial of fewer terms.
  @inline(__always) static func inverseMixed(_ state: Vector256) -> Vector256 {
    state.map { (w: UInt32) in
      let four = doubled(doubled(w))
      return mixed(w ^ four ^ rotated(four, left: 16))
    }
  }
}
