/// What a MOO file says: single-instruction tests captured from a processor (SingleStepTests project).

/// Registers of a test, numbered as in `RG32` chunks; 16-bit sets use the low halves.
public enum MOORegister: Int, CaseIterable, Sendable {
  case cr0, cr3, eax, ebx, ecx, edx, esi, edi, ebp, esp, cs, ds, es, fs, gs, ss, eip, eflags, dr6, dr7

  /// The order of `REGS` chunks.
  static let order16: [MOORegister] = [.eax, .ebx, .ecx, .edx, .cs, .ss, .ds, .es, .esp, .ebp, .esi, .edi, .eip, .eflags]

  /// Name in messages; 16-bit sets drop the E.
  public func name(wide: Bool) -> String {
    let text = "\(self)"
    return !wide && text.count > 2 && text.hasPrefix("e") ? String(text.dropFirst()) : text
  }
}

/// Values of some registers. What is not present is 0.
public struct MOORegisters: Sendable, Equatable {
  public private(set) var present: UInt32 = 0
  private var values = [UInt32](repeating: 0, count: MOORegister.allCases.count)

  public init() {}

  public subscript(_ register: MOORegister) -> UInt32 {
    get { values[register.rawValue] }
    set {
      values[register.rawValue] = newValue
      present |= 1 << UInt32(register.rawValue)
    }
  }

  public func has(_ register: MOORegister) -> Bool { present >> UInt32(register.rawValue) & 1 != 0 }
}

/// One byte of memory.
public struct MOOByte: Sendable, Equatable {
  public var address: UInt32
  public var value: UInt8
}

public struct MOOState: Sendable, Equatable {
  public var registers = MOORegisters()
  /// Bits of registers that the processor defines, where the file says so.
  public var masks: MOORegisters?
  public var memory: [MOOByte] = []
}

public struct MOOTest: Sendable {
  /// Place in the file, from 0.
  public var ordinal: Int
  /// What the file calls it: the text of the instruction.
  public var name: String
  /// The instruction, and the HLT behind it where the set has one.
  public var bytes: [UInt8]
  public var initial = MOOState()
  /// Registers and memory that changed (or, in older sets, all that were touched).
  public var final = MOOState()
  /// Vector of the exception that the instruction raised.
  public var exception: UInt8?
  /// Identifies the test among all sets; empty in the oldest.
  public var hash: [UInt8] = []

  /// Value of a register after the instruction.
  public func expected(_ register: MOORegister) -> UInt32 {
    final.registers.has(register) ? final.registers[register] : initial.registers[register]
  }
}

/// The processor that a set was captured from, as far as rules differ.
public enum MOOProcessor: String, Sendable {
  case i8086 = "8086"
  case i80286 = "80286"
  case i80386 = "80386"

  /// From the four characters in the file's header.
  init?(id: String) {
    let id = id.filter { $0 != " " && $0 != "\0" }
    if id == "8086" || id == "8088" {
      self = .i8086
    } else if id.contains("286") {
      self = .i80286
    } else if id.contains("386") {
      self = .i80386
    } else {
      return nil
    }
  }

  /// Tests end with a HLT: behind the instruction, at the branch's target, or in the handler.
  var endsWithHalt: Bool { self != .i8086 }
}

public struct MOOFile: Sendable {
  /// File name without folder and extensions: the opcode, mostly.
  public var name: String
  public var processor: MOOProcessor
  /// From `META`; 0 is real mode.
  public var mode: UInt8 = 0
  public var mnemonic = ""
  /// Defined bits of registers for all tests.
  public var masks: MOORegisters?
  public var tests: [MOOTest] = []

  /// Registers are 32 bits wide.
  public var isWide: Bool { processor == .i80386 }
}
