@testable import Conformance

/// Writes MOO files, as a test generator would.
struct MOOBuilder {
  private(set) var bytes: [UInt8] = []

  static func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    (0..<MemoryLayout<T>.size).map { UInt8(truncatingIfNeeded: value >> T($0 * 8)) }
  }

  static func chunk(_ id: String, _ payload: [UInt8]) -> [UInt8] { Array(id.utf8) + little(UInt32(payload.count)) + payload }

  static func counted(_ id: String, _ payload: [UInt8]) -> [UInt8] { chunk(id, little(UInt32(payload.count)) + payload) }

  static func memory(_ list: [UInt32: UInt8]) -> [UInt8] {
    chunk("RAM ", little(UInt32(list.count)) + list.sorted { $0.key < $1.key }.flatMap { little($0.key) + [$0.value] })
  }

  static func registers16(_ id: String, _ values: [MOORegister: UInt32]) -> [UInt8] {
    var bitmap: UInt16 = 0
    var words: [UInt8] = []
    for (bit, register) in MOORegister.order16.enumerated() {
      guard let value = values[register] else { continue }
      bitmap |= 1 << UInt16(bit)
      words += little(UInt16(truncatingIfNeeded: value))
    }
    return chunk(id, little(bitmap) + words)
  }

  static func registers32(_ id: String, _ values: [MOORegister: UInt32]) -> [UInt8] {
    var bitmap: UInt32 = 0
    var words: [UInt8] = []
    for register in MOORegister.allCases {
      guard let value = values[register] else { continue }
      bitmap |= 1 << UInt32(register.rawValue)
      words += little(value)
    }
    return chunk(id, little(bitmap) + words)
  }

  /// One test. Registers that are not given are 0 before; CS:IP is 1000:0100, SS:SP 2000:8000, and the instruction lies there.
  struct Test {
    var name = "test"
    var bytes: [UInt8]
    var before: [MOORegister: UInt32] = [:]
    var memory: [UInt32: UInt8] = [:]
    var after: [MOORegister: UInt32] = [:]
    var memoryAfter: [UInt32: UInt8] = [:]
    var exception: UInt8?
    var masksAfter: [MOORegister: UInt32]?

    static let defaults: [MOORegister: UInt32] = [.cs: 0x1000, .eip: 0x100, .ss: 0x2000, .esp: 0x8000, .ds: 0x3000, .es: 0x4000, .eflags: 2]

    func encoded(wide: Bool) -> [UInt8] {
      var initial: [MOORegister: UInt32] = [:]
      for register in wide ? MOORegister.allCases : MOORegister.order16 { initial[register] = before[register] ?? Self.defaults[register] ?? 0 }
      var ram = memory
      let start = initial[.cs]! * 16 + initial[.eip]!
      for (n, byte) in bytes.enumerated() { ram[start + UInt32(n)] = byte }
      func registers(_ values: [MOORegister: UInt32]) -> [UInt8] {
        wide ? registers32("RG32", values) : registers16("REGS", values)
      }
      var final = registers(after)
      if let masksAfter { final += wide ? registers32("RM32", masksAfter) : registers16("RMSK", masksAfter) }
      var payload = little(UInt32(0)) + counted("NAME", Array(name.utf8)) + counted("BYTS", bytes)
      payload += chunk("INIT", registers(initial) + MOOBuilder.memory(ram) + chunk("EA32", [1, 2, 3]))
      payload += chunk("FINA", final + MOOBuilder.memory(memoryAfter)) + chunk("CYCL", [9, 9])
      if let exception { payload += chunk("EXCP", [exception] + little(UInt32(0))) }
      return chunk("TEST", payload + chunk("HASH", (0..<20).map { UInt8($0) }))
    }
  }

  init(_ id: String, mode: UInt8 = 0, masks: [MOORegister: UInt32]? = nil, count: UInt32? = nil, tests: [Test]) {
    let wide = id.contains("386")
    bytes = Self.chunk("MOO ", [1, 0, 0, 0] + Self.little(count ?? UInt32(tests.count)) + Array(id.utf8))
    bytes += Self.chunk("META", [1, 0, 6] + Self.little(UInt32(1)) + Array("add     ".utf8) + Self.little(UInt32(tests.count))
      + Self.little(UInt64(7)) + [mode, 0, 0, 0])
    if let masks { bytes += wide ? Self.registers32("RM32", masks) : Self.registers16("RMSK", masks) }
    for test in tests { bytes += test.encoded(wide: wide) }
  }
}
