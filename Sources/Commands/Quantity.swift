import ArgumentParser
import Machine

/// Numbers as options take them.
enum Quantity {
  /// An unsigned number: decimal, or with 0x, 0o, 0b; underscores are allowed.
  static func number(_ text: some StringProtocol) -> UInt64? {
    let plain = String(text.filter { $0 != "_" }).lowercased()
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where plain.hasPrefix(prefix) {
      return UInt64(plain.dropFirst(2), radix: radix)
    }
    return UInt64(plain)
  }

  /// A number with an optional suffix that multiplies it: K, M, G, T by powers of `base`.
  static func scaled(_ text: some StringProtocol, base: UInt64) -> UInt64? {
    guard let last = text.last else { return nil }
    guard let power = ["k", "m", "g", "t"].firstIndex(of: last.lowercased()), !text.lowercased().hasPrefix("0x") else {
      return number(text)
    }
    guard var value = number(text.dropLast()) else { return nil }
    for _ in 0...power {
      let (product, overflow) = value.multipliedReportingOverflow(by: base)
      if overflow { return nil }
      value = product
    }
    return value
  }

  /// Memory: K, M, G, T in powers of 1024; a bare number counts MiB, as with QEMU's -m.
  static func memory(_ text: String) -> UInt64? {
    if text.allSatisfy(\.isNumber), let number = number(text) {
      let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << 20)
      return overflow ? nil : bytes
    }
    return scaled(text, base: 1024)
  }

  /// A length of time in nanoseconds: "10s", "1.5s", "500ms", "20us"; a bare number is seconds.
  static func time(_ text: some StringProtocol) -> UInt64? {
    for (suffix, scale) in [("ms", 1e6), ("us", 1e3), ("ns", 1), ("s", 1e9), ("", 1e9)] where text.hasSuffix(suffix) {
      guard let value = Double(text.dropLast(suffix.count)), value >= 0, value * scale < 1e19 else { return nil }
      return UInt64(value * scale)
    }
    return nil
  }
}

/// A number in any of the notations, possibly with a decimal suffix: 1000000, 0x1f4, 2G.
struct CountArgument: ExpressibleByArgument {
  let value: UInt64
  init?(argument: String) {
    guard let value = Quantity.scaled(argument, base: 1000) else { return nil }
    self.value = value
  }
  var defaultValueDescription: String { String(value) }
}

struct AddressArgument: ExpressibleByArgument {
  let value: UInt64
  init?(argument: String) {
    guard let value = Quantity.number(argument) else { return nil }
    self.value = value
  }
  var defaultValueDescription: String { "0x" + String(value, radix: 16) }
}

struct MemoryArgument: ExpressibleByArgument {
  let bytes: UInt64
  init(bytes: UInt64) { self.bytes = bytes }
  var defaultValueDescription: String { "\(bytes >> 30)G" }
  init?(argument: String) {
    guard let bytes = Quantity.memory(argument) else { return nil }
    self.bytes = bytes
  }
}

struct PortArgument: ExpressibleByArgument {
  let port: UInt16
  init?(argument: String) {
    guard let value = Quantity.number(argument), let port = UInt16(exactly: value) else { return nil }
    self.port = port
  }
}

/// REG=VALUE with any name of a general register, ax to r15; the whole register is set.
struct RegisterArgument {
  /// As instructions encode it.
  let number: UInt8
  let value: UInt64

  init(_ text: String) throws(MachineError) {
    let parts = text.split(separator: "=", maxSplits: 1)
    guard parts.count == 2, let number = Self.number(parts[0].lowercased()), let value = Quantity.number(parts[1]) else {
      throw .usage("--set takes REG=VALUE with a general register such as eax or r12, not '\(text)'")
    }
    self.number = number
    self.value = value
  }

  static func number(_ name: String) -> UInt8? {
    let names = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"]
    if let n = names.firstIndex(where: { name == $0 || name == "e" + $0 || name == "r" + $0 }) { return UInt8(n) }
    guard name.hasPrefix("r"), let n = UInt8(name.dropFirst()), (8...15).contains(n) else { return nil }
    return n
  }
}
