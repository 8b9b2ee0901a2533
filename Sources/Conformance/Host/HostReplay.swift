import HostOracle
import Machine

/// A case as one line of text: words `name=value`, only what is not at its default. It needs no seed, and can be written by hand.
public struct HostReplay: Sendable, Equatable {
  public let text: String

  public init(_ text: String) { self.text = text }

  // MARK: Writing

  init(_ c: CasePointer, bySteps: Bool) {
    let s = c.start
    let is32 = c.pointee.is32 != 0
    var words = [is32 ? "32" : "64", "code=" + Self.hex((0..<c.length).map { c.code[$0] })]
    func number(_ name: String, _ value: UInt64, default usual: UInt64) {
      if value != usual { words.append(name + "=" + String(value, radix: 16)) }
    }
    if bySteps { words.append("steps") }
    number("at", UInt64(c.pointee.codeOffset), default: 0x800)
    number("bank", UInt64(c.pointee.bank), default: 0)
    for n in 0..<16 { number(HostNames.general[n].lowercased(), s.gpr(n), default: 0) }
    number("rflags", s.pointee.rflags, default: 0x202)
    number("fs", UInt64(s.pointee.fs), default: 0)
    number("gs", UInt64(s.pointee.gs), default: 0)
    number("fsbase", s.pointee.fsBase, default: 0)
    number("gsbase", s.pointee.gsBase, default: 0)
    number("mxcsr", UInt64(s.mxcsr), default: 0x1F80)
    number("fcw", UInt64(s.controlWord), default: 0x37F)
    number("fsw", UInt64(s.statusWord), default: 0)
    number("ftw", UInt64(s.tags), default: 0)
    for n in 0..<8 where s.significand(n) != 0 || s.signExponent(n) != 0 {
      words.append("st\(n)=" + String(s.signExponent(n), radix: 16) + ":" + String(s.significand(n), radix: 16))
    }
    for n in 0..<16 where (0..<4).contains(where: { s.ymm(n, $0) != 0 }) {
      words.append("ymm\(n)=" + (0..<4).reversed().map { String(s.ymm(n, $0), radix: 16) }.joined(separator: "_"))
    }
    for n in 0..<Int(c.pointee.patchCount) {
      words.append("mem=" + String(HostLayout.data + UInt64(c.patch(n).pointee.offset), radix: 16) + ":" + Self.hex(c.patchContent(n)))
    }
    text = words.joined(separator: " ")
  }

  private static func hex(_ bytes: [UInt8]) -> String { bytes.map { Hex.text(UInt64($0), 2) }.joined() }

  // MARK: Reading

  /// Puts the case into `c`; returns whether it is to run by single steps.
  func read(into c: CasePointer) throws(MachineError) -> Bool {
    let words = text.split(separator: " ")
    c.clear(is32: words.contains("32"))
    var bySteps = false
    for word in words {
      if word == "32" || word == "64" { continue }
      if word == "steps" {
        bySteps = true
        continue
      }
      let parts = word.split(separator: "=", maxSplits: 1)
      guard parts.count == 2, try set(c, String(parts[0]), String(parts[1])) else { throw .usage("--replay has no “\(word)”") }
    }
    guard c.pointee.codeLength > 0 else { throw .usage("--replay has no code: it takes what a failure prints, such as '64 code=480FA5D8 rcx=41'") }
    c.start.pointee.rip = HostLayout.code + UInt64(c.pointee.codeOffset)
    return bySteps
  }

  private func set(_ c: CasePointer, _ name: String, _ value: String) throws(MachineError) -> Bool {
    let s = c.start
    if name == "code" {
      guard let bytes = Self.bytes(value), bytes.count <= Int(HOST_CODE_BYTES) else { return false }
      for (n, byte) in bytes.enumerated() { c.code[n] = byte }
      c.pointee.codeLength = UInt8(bytes.count)
      return true
    }
    if name == "mem" {
      let parts = value.split(separator: ":")
      guard parts.count == 2, let address = UInt64(parts[0], radix: 16), let bytes = Self.bytes(String(parts[1])) else { return false }
      let count = c.pointee.patchCount
      bytes.withUnsafeBytes { c.addPatch(address, $0) }
      return c.pointee.patchCount == count + 1
    }
    if name.hasPrefix("st"), let n = Int(name.dropFirst(2)), 0..<8 ~= n {
      let parts = value.split(separator: ":")
      guard parts.count == 2, let exponent = UInt16(parts[0], radix: 16), let significand = UInt64(parts[1], radix: 16) else { return false }
      s.setST(n, significand, exponent)
      return true
    }
    if name.hasPrefix("ymm"), let n = Int(name.dropFirst(3)), 0..<16 ~= n {
      let parts = value.split(separator: "_")
      guard 1...4 ~= parts.count else { return false }
      for (lane, part) in parts.reversed().enumerated() {
        guard let word = UInt64(part, radix: 16) else { return false }
        s.setYMM(n, lane, word)
      }
      return true
    }
    guard let number = UInt64(value, radix: 16) else { return false }
    if let n = HostNames.general.firstIndex(of: name.uppercased()) {
      s.setGPR(n, number)
      return true
    }
    switch name {
    case "at":
      guard number < HostLayout.codeSize else { return false }
      c.pointee.codeOffset = UInt16(number)
    case "bank": c.pointee.bank = UInt8(number % UInt64(HostLayout.banks))
    // What a program can set: not IOPL, IF, VM or TF.
    case "rflags": s.pointee.rflags = number & 0x24_4CD5 | 0x202
    // Null, or the data segment of programs.
    case "fs":
      guard number == 0 || number == UInt64(HostLayout.stack) else { return false }
      s.pointee.fs = UInt16(number)
    case "gs":
      guard number == 0 || number == UInt64(HostLayout.stack) else { return false }
      s.pointee.gs = UInt16(number)
    case "fsbase": s.pointee.fsBase = number
    case "gsbase": s.pointee.gsBase = number
    case "mxcsr": s.mxcsr = UInt32(truncatingIfNeeded: number) & 0xFFFF
    case "fcw": s.controlWord = UInt16(truncatingIfNeeded: number) & 0x1F7F | 0x40
    case "fsw": s.statusWord = UInt16(truncatingIfNeeded: number)
    case "ftw": s.tags = UInt8(truncatingIfNeeded: number)
    default: return false
    }
    return true
  }

  private static func bytes(_ text: String) -> [UInt8]? {
    let digits = Array(text.utf8)
    guard digits.count % 2 == 0 else { return nil }
    var out: [UInt8] = []
    for n in stride(from: 0, to: digits.count, by: 2) {
      guard let byte = UInt8(String(decoding: digits[n..<n + 2], as: UTF8.self), radix: 16) else { return nil }
      out.append(byte)
    }
    return out
  }
}
