import SoftFloat
import VectorOracle
import X86Decoder

@testable import Processor

/// Random values of the kinds that matter to vector instructions, reproducible by their seed.
struct VectorRandom: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

  mutating func next() -> UInt64 {
    state ^= state &<< 13
    state ^= state &>> 7
    state ^= state &<< 17
    return state &* 0x2545_F491_4F6C_DD1D
  }

  mutating func below(_ bound: UInt64) -> UInt64 { (next() &>> 11) % bound }
  mutating func oneIn(_ n: UInt64) -> Bool { below(n) == 0 }

  private static let singles: [UInt32] = [
    0, 1, 0x007F_FFFF, 0x0080_0000, 0x0080_0001, 0x3F80_0000, 0x3F80_0001, 0x3F00_0000, 0x4B00_0000, 0x4B80_0001, 0x4EFF_FFFF, 0x4F00_0000,
    0x5F00_0000, 0x7F7F_FFFF, 0x7F80_0000, 0x7F80_0001, 0x7FBF_FFFF, 0x7FC0_0000, 0x7FFF_FFFF, 0x3380_0000, 0x477F_F000, 0x3300_0001,
  ]
  private static let doubles: [UInt64] = [
    0, 1, 0x000F_FFFF_FFFF_FFFF, 0x0010_0000_0000_0000, 0x3FF0_0000_0000_0000, 0x3FF0_0000_0000_0001, 0x3FE0_0000_0000_0000,
    0x4330_0000_0000_0000, 0x41DF_FFFF_FFC0_0000, 0x41E0_0000_0000_0000, 0x43E0_0000_0000_0000, 0x7FEF_FFFF_FFFF_FFFF,
    0x7FF0_0000_0000_0000, 0x7FF0_0000_0000_0001, 0x7FF7_FFFF_FFFF_FFFF, 0x7FF8_0000_0000_0000, 0x7FFF_FFFF_FFFF_FFFF,
    0x380F_FFFF_FFFF_FFFF, 0x36A0_0000_0000_0000, 0x47EF_FFFF_F000_0000, 0x3690_0000_0000_0001,
  ]

  private mutating func single(common: Bool) -> UInt32 {
    let sign = UInt32(below(2)) &<< 31
    switch common ? 4 : below(6) {
    case 0, 1: return Self.singles[Int(below(UInt64(Self.singles.count)))] | sign
    case 2: return UInt32(truncatingIfNeeded: next())
    case 3: return UInt32(below(16)) &<< 19 &+ 0x3F00_0000 | sign
    default: return UInt32(120 &+ below(20)) &<< 23 | UInt32(truncatingIfNeeded: next()) & 0x7F_FFFF | sign
    }
  }

  private mutating func double(common: Bool) -> UInt64 {
    let sign = below(2) &<< 63
    switch common ? 4 : below(6) {
    case 0, 1: return Self.doubles[Int(below(UInt64(Self.doubles.count)))] | sign
    case 2: return next()
    case 3: return (0x3FE &+ below(16)) &<< 52 | sign
    default: return (1010 &+ below(30)) &<< 52 | next() & 0xF_FFFF_FFFF_FFFF | sign
    }
  }

  /// Four quadwords: floating-point values, small integers or noise.
  mutating func vector() -> [UInt64] {
    let kind = below(8)
    return (0..<4).map { _ in
      switch kind {
      case 0, 1: return UInt64(single(common: false)) | UInt64(single(common: false)) &<< 32
      case 2: return UInt64(single(common: true)) | UInt64(single(common: true)) &<< 32
      case 3, 4: return double(common: false)
      case 5: return double(common: true)
      case 6: return next() & 0x0303_8303_8101_0283 & next()
      default: return next()
      }
    }
  }
}

/// Executes one vector instruction on an emulated processor in 64-bit mode and on the host, from the same state.
final class VectorComparison {
  let cpu = VectorMachine.shared
  let decoder = Decoder()
  var random: VectorRandom
  var executed = 0
  /// Differences found, a line each, at most a few.
  var differences: [String] = []
  var mnemonics: Set<Mnemonic> = []

  init(seed: UInt64) { random = VectorRandom(seed: seed) }

  /// A state whose RSI and RDI point into the shared memory.
  func randomState() -> VectorState {
    var state = VectorState()
    withUnsafeMutableBytes(of: &state.gpr) { bytes in
      for n in 0..<16 { bytes.storeBytes(of: random.oneIn(3) ? random.below(40) : random.next(), toByteOffset: n * 8, as: UInt64.self) }
      let misalignment = random.oneIn(4) ? random.below(32) : 0
      let pointer = VECTOR_MEMORY &+ 4096 &+ misalignment &- (random.oneIn(8) ? 24 : 0)
      bytes.storeBytes(of: pointer, toByteOffset: 6 * 8, as: UInt64.self)
      bytes.storeBytes(of: pointer, toByteOffset: 7 * 8, as: UInt64.self)
    }
    withUnsafeMutableBytes(of: &state.ymm) { bytes in
      for n in 0..<16 {
        for (k, q) in random.vector().enumerated() { bytes.storeBytes(of: q, toByteOffset: n * 32 + k * 8, as: UInt64.self) }
      }
    }
    withUnsafeMutableBytes(of: &state.fx) { bytes in
      let top = random.below(8)
      bytes.storeBytes(of: 0x37F | top &<< 27 | random.below(256) &<< 32, as: UInt64.self)
      for n in 0..<8 {
        bytes.storeBytes(of: random.vector()[0], toByteOffset: 32 + n * 16, as: UInt64.self)
        bytes.storeBytes(of: random.below(0x10000), toByteOffset: 40 + n * 16, as: UInt64.self)
      }
    }
    state.mxcsr = UInt32(random.below(4)) &<< 13 | (random.oneIn(4) ? 0x40 : 0) | (random.oneIn(4) ? 0x8000 : 0)
    state.mxcsr |= random.oneIn(4) ? UInt32(random.below(64)) &<< 7 : 0x1F80
    state.mxcsr |= random.oneIn(2) ? UInt32(random.below(64)) : 0
    if random.oneIn(3) { state.mxcsr = 0x1F80 | (random.oneIn(2) ? 0x20 : 0) }
    state.rflags = 0x202 | random.next() & 0x8D5
    return state
  }

  /// Fills the memory around the pointers; returns it.
  func randomMemory() -> [UInt64] {
    (0..<64).flatMap { _ in random.vector() }
  }

  static let window = 4096 - 1024
  /// Word of the window where an aligned area starts, at the address `areaAddress`.
  static let area = 1024 / 8
  static let areaAddress = VECTOR_MEMORY + 4096
  /// Set for comparisons of FXSAVE and its kin.
  var isStateSave = false

  private func writeMemory(_ words: [UInt64]) {
    for (n, word) in words.enumerated() { vector_oracle_memory().storeBytes(of: word, toByteOffset: Self.window + n * 8) }
  }

  private func readMemory() -> [UInt64] {
    (0..<256).map { UnsafeRawPointer(vector_oracle_memory()!).load(fromByteOffset: Self.window + $0 * 8, as: UInt64.self) }
  }

  /// Compares one instruction. Nothing happens if it is not a vector instruction.
  func compare(
    _ bytes: [UInt8], memory prepareMemory: (inout [UInt64]) -> Void = { _ in }, prepare: (Instruction, inout VectorState) -> Void = { _, _ in }
  ) {
    let instruction = bytes.withUnsafeBytes { decoder.decode($0.baseAddress!, available: bytes.count, codeSize: .bits64) }
    if instruction.mnemonic == .invalid || instruction.mnemonic == .truncated { return }
    var start = randomState()
    prepare(instruction, &start)
    var memory = randomMemory()
    prepareMemory(&memory)
    writeMemory(memory)
    guard let (emulated, fault) = emulate(instruction, start) else { return }
    let emulatedMemory = readMemory()
    writeMemory(memory)
    var host = start
    vector_oracle_execute(bytes, Int32(instruction.length), &host)
    var hostMemory = readMemory()
    if isStateSave {
      // MXCSR_MASK: AMD processors have a bit 17 (misaligned SSE) that the emulated ones lack.
      let word = Self.area + 3
      if hostMemory[word] != memory[word] { hostMemory[word] &= 0x0000_FFFF_FFFF_FFFF }
    }
    executed += 1
    mnemonics.insert(instruction.mnemonic)
    var problems = describe(emulated, host, start)
    if emulatedMemory != hostMemory, !Self.isApproximation(instruction.mnemonic) { 
      let different = emulatedMemory.indices.filter { emulatedMemory[$0] != hostMemory[$0] }
      let texts = different.prefix(4).map { "\(($0 - Self.area) * 8): " + hex([emulatedMemory[$0]]) + ", host " + hex([hostMemory[$0]]) }
      problems.append("memory " + texts.joined(separator: "; "))
    }
    if Self.isApproximation(instruction.mnemonic), agreesRoughly(emulated, host) { problems.removeAll { $0.hasPrefix("ymm") } }
    let expected = Self.signal(fault)
    if expected != host.signal { problems = ["fault \(fault.map { "\($0.vector)" } ?? "none"), host signal \(host.signal)"] }
    if problems.isEmpty { return }
    if differences.count < 400 {
      let text = bytes[0..<Int(instruction.length)].map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
      differences.append(
        "\(instruction.mnemonic) [\(text)] mxcsr \(String(start.mxcsr, radix: 16)): " + problems.joined(separator: "; ")
          + " from " + operands(instruction, start, memory))
    }
  }

  /// Whether all single-precision lanes differ by no more than twice the error of 1.5 · 2^-12 that approximations may have, apart from
  /// results that one side flushes to zero.
  private func agreesRoughly(_ a: VectorState, _ b: VectorState) -> Bool {
    for (x, y) in zip(words(a.ymm), words(b.ymm)) where x != y {
      for shift in [0, 32] as [UInt64] {
        let (p, q) = (UInt32(truncatingIfNeeded: x &>> shift), UInt32(truncatingIfNeeded: y &>> shift))
        if p &>> 31 != q &>> 31 { return false }
        if p & 0x7FFF_FFFF < 0x0080_0000, q & 0x7FFF_FFFF < 0x0080_0000 { continue }
        if p > q ? p - q > 0x3000 : q - p > 0x3000 { return false }
      }
    }
    return true
  }

  /// RCPPS and its kin give approximations of which the manuals bound only the error.
  static func isApproximation(_ mnemonic: Mnemonic) -> Bool {
    switch mnemonic {
    case .RCPPS, .RCPSS, .RSQRTPS, .RSQRTSS, .VRCPPS, .VRCPSS, .VRSQRTPS, .VRSQRTSS: true
    default: false
    }
  }

  private static func signal(_ fault: Fault?) -> Int32 {
    switch fault?.vector {
    case nil: 0
    case Vector.XM.rawValue, Vector.MF.rawValue: 8
    case Vector.UD.rawValue: 4
    default: 11
    }
  }

  private func emulate(_ instruction: Instruction, _ start: VectorState) -> (VectorState, Fault?)? {
    VectorMachine.load(cpu, start)
    cpu.s.pointee.rip = 0x1000
    cpu.s.pointee.nextRIP = 0x1000 + UInt64(instruction.length)
    var fault: Fault?
    do throws(Fault) {
      if try !cpu.executeVector(instruction) { return nil }
    } catch {
      fault = error
    }
    return (VectorMachine.store(cpu, start), fault)
  }

  private func words<T>(_ value: T) -> [UInt64] {
    withUnsafeBytes(of: value) { bytes in (0..<MemoryLayout<T>.size / 8).map { bytes.load(fromByteOffset: $0 * 8, as: UInt64.self) } }
  }

  private func hex(_ w: ArraySlice<UInt64>) -> String { w.reversed().map { String($0, radix: 16) }.joined(separator: ".") }

  private func describe(_ a: VectorState, _ b: VectorState, _ start: VectorState) -> [String] {
    var result: [String] = []
    let (ga, gb) = (words(a.gpr), words(b.gpr))
    for n in 0..<16 where n != 4 && ga[n] != gb[n] {
      result.append("gpr\(n) \(String(ga[n], radix: 16)), host \(String(gb[n], radix: 16))")
    }
    if a.rflags & 0x8D5 != b.rflags & 0x8D5 { result.append("rflags \(String(a.rflags, radix: 16)), host \(String(b.rflags, radix: 16))") }
    if a.mxcsr != b.mxcsr { result.append("mxcsr \(String(a.mxcsr, radix: 16)), host \(String(b.mxcsr, radix: 16))") }
    let (ya, yb) = (words(a.ymm), words(b.ymm))
    for n in 0..<16 where ya[n * 4..<n * 4 + 4] != yb[n * 4..<n * 4 + 4] {
      result.append("ymm\(n) \(hex(ya[n * 4..<n * 4 + 4])), host \(hex(yb[n * 4..<n * 4 + 4]))")
    }
    let (xa, xb) = (words(a.fx), words(b.fx))
    if xa[0] & 0xFF_FFFF_FFFF != xb[0] & 0xFF_FFFF_FFFF { result.append("x87 \(String(xa[0], radix: 16)), host \(String(xb[0], radix: 16))") }
    for n in 0..<8 where xa[4 + 2 * n] != xb[4 + 2 * n] || xa[5 + 2 * n] & 0xFFFF != xb[5 + 2 * n] & 0xFFFF {
      result.append("st\(n) \(hex(xa[4 + 2 * n...5 + 2 * n])), host \(hex(xb[4 + 2 * n...5 + 2 * n]))")
    }
    return result
  }

  private func operands(_ i: Instruction, _ s: VectorState, _ memory: [UInt64]) -> String {
    let y = words(s.ymm)
    let all: [Operand] = [i.op0, i.op1, i.op2, i.op3]
    let texts: [String] = all.map { (o: Operand) -> String in
      let first = Int(o.register & 15) * 4
      switch o.kind {
      case .vector: return "ymm\(o.register)=" + hex(y[first..<first + 4])
      case .memory: return "m\(Int(o.size) * 8)"
      case .immediate: return "imm " + String(i.immediate & 0xFF, radix: 16)
      case .none: return ""
      default: return "\(o.kind)\(o.register)"
      }
    }
    return texts.joined(separator: ", ")
  }
}

extension UnsafeMutablePointer<UInt8> {
  fileprivate func storeBytes(of value: UInt64, toByteOffset offset: Int) {
    UnsafeMutableRawPointer(self).storeBytes(of: value, toByteOffset: offset, as: UInt64.self)
  }
}

extension UnsafeMutablePointer<UInt8>? {
  fileprivate func storeBytes(of value: UInt64, toByteOffset offset: Int) { self!.storeBytes(of: value, toByteOffset: offset) }
}
