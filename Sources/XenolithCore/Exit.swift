import Processor

/// Why ``Core/run(count:until:)`` returned. The state is exact: RIP is that of the next instruction to execute.
public enum Exit: Equatable, Sendable {
  /// As many instructions as asked for have been retired.
  case count
  /// The next instruction is the one at the address given as `until`.
  case address
  /// HLT or MWAIT was executed and no interrupt is waiting; RIP is behind it.
  case halt
  /// An exception that was not delivered, because of ``ExitConditions/exceptions``. After a fault RIP is that of the instruction, which begins
  /// again when the core runs on; after a trap that of the next one.
  case exception(ExceptionEvent)
  /// INT n, INT3, INTO or INT1 that was not delivered, because of ``ExitConditions/softwareInterrupts``; RIP is behind it.
  case softwareInterrupt(vector: UInt8)
  /// SYSCALL or SYSENTER that changed nothing but RIP, because of ``ExitConditions/systemCalls``; RIP is behind it.
  case systemCall(SystemCall)
  /// A port without a handler, because of ``ExitConditions/unclaimedPorts``. The instruction is complete; an input has read ones.
  case port(PortAccess)
  /// A physical address with nothing behind it, because of ``ExitConditions/unmappedMemory``. A data access is complete, a read has given ones;
  /// an instruction that lies there has not been executed.
  case unmapped(PhysicalAccess)
  /// The delivery of a double fault failed: the processor is shut down until ``Core/reset()`` or ``Core/restore(_:)``. ``Core/recentEvents``
  /// tells how it came to that.
  case tripleFault
  /// A hook or handler called ``Core/stop()``, or an exception hook said ``ExceptionAction/stop``.
  case stopped
}

/// What ends a run instead of being left to the guest.
public struct ExitConditions: OptionSet, Sendable {
  public let rawValue: UInt8
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Faults, traps and aborts are not delivered.
  public static let exceptions = ExitConditions(rawValue: 1)
  /// INT n, INT3, INTO, INT1 are not delivered.
  public static let softwareInterrupts = ExitConditions(rawValue: 2)
  /// SYSCALL and SYSENTER are not carried out.
  public static let systemCalls = ExitConditions(rawValue: 4)
  /// Accesses to ports without a handler.
  public static let unclaimedPorts = ExitConditions(rawValue: 8)
  /// Accesses to physical addresses with neither memory nor a device.
  public static let unmappedMemory = ExitConditions(rawValue: 16)

  /// All of them: for a piece of code without an operating system.
  public static let all: ExitConditions = [.exceptions, .softwareInterrupts, .systemCalls, .unclaimedPorts, .unmappedMemory]
  /// None: the guest sees what it would see on a computer.
  public static let none: ExitConditions = []
}

/// The instruction of a system call.
public enum SystemCall: Sendable {
  case syscall, sysenter
}

/// An access to an I/O port.
public struct PortAccess: Equatable, Sendable {
  public var port: UInt16
  /// 1, 2 or 4 bytes.
  public var size: Int
  public var isWrite: Bool
  /// What was written; all ones for a read.
  public var value: UInt32

  public init(port: UInt16, size: Int, isWrite: Bool, value: UInt32) {
    self.port = port
    self.size = size
    self.isWrite = isWrite
    self.value = value
  }
}

/// An access to a physical address.
public struct PhysicalAccess: Equatable, Sendable {
  public var address: UInt64
  /// 1, 2, 4 or 8 bytes; an instruction is fetched byte by byte.
  public var size: Int
  public var isWrite: Bool
  /// What was written; all ones for a read.
  public var value: UInt64

  public init(address: UInt64, size: Int, isWrite: Bool, value: UInt64) {
    self.address = address
    self.size = size
    self.isWrite = isWrite
    self.value = value
  }
}

/// An interrupt or exception.
public struct ExceptionEvent: Equatable, Sendable {
  public enum Kind: Sendable {
    /// Of the processor: a fault, trap or abort.
    case exception
    /// INT n, INT3, INTO, INT1.
    case software
    /// From outside, or an NMI.
    case external
  }

  /// SDM vol. 3A table 6-1.
  public var vector: UInt8
  public var kind: Kind
  /// Nil where the exception has none.
  public var errorCode: UInt32?
  /// CR2: for #PF the linear address that could not be accessed; nil for others.
  public var faultAddress: UInt64?
  /// Linear address of the instruction at hand: the one that faults, the next one for traps and external interrupts.
  public var instruction: UInt64
  /// RIP that a handler would return to.
  public var returnRIP: UInt64
  /// 0 for an event of its own; n for the nth that arose while another was delivered.
  public var depth: Int

  public init(
    vector: UInt8, kind: Kind = .exception, errorCode: UInt32? = nil, faultAddress: UInt64? = nil, instruction: UInt64, returnRIP: UInt64,
    depth: Int = 0
  ) {
    self.vector = vector
    self.kind = kind
    self.errorCode = errorCode
    self.faultAddress = faultAddress
    self.instruction = instruction
    self.returnRIP = returnRIP
    self.depth = depth
  }

  /// `#PF`, or `interrupt 32`.
  public var name: String { kind == .exception || vector == 2 ? Self.name(vector) : "interrupt \(vector)" }

  static func name(_ vector: UInt8) -> String {
    let names = ["#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "vector 9", "#TS", "#NP", "#SS", "#GP", "#PF",
                 "vector 15", "#MF", "#AC", "#MC", "#XM", "#VE", "#CP"]
    return Int(vector) < names.count ? names[Int(vector)] : "vector \(vector)"
  }
}

extension ExceptionEvent: CustomStringConvertible {
  /// For example `#PF(error 0x2) at 0x1000, address 0xdead0000`.
  public var description: String {
    var text = name
    if let errorCode { text += "(error \(hex(UInt64(errorCode))))" }
    text += " at \(hex(instruction))"
    if let faultAddress { text += ", address \(hex(faultAddress))" }
    return text
  }
}

extension Exit: CustomStringConvertible {
  public var description: String {
    switch self {
    case .count: "the instructions asked for are done"
    case .address: "the address asked for is reached"
    case .halt: "halted"
    case .exception(let event): "exception \(event)"
    case .softwareInterrupt(let vector): "software interrupt \(hex(UInt64(vector)))"
    case .systemCall(let call): "system call by \(call == .syscall ? "SYSCALL" : "SYSENTER")"
    case .port(let access):
      access.isWrite ? "\(access.size) bytes (\(hex(UInt64(access.value)))) written to port \(hex(UInt64(access.port))), which has no handler"
        : "\(access.size) bytes read from port \(hex(UInt64(access.port))), which has no handler"
    case .unmapped(let access):
      "\(access.size) bytes \(access.isWrite ? "written to" : "read from") physical address \(hex(access.address)), where nothing is mapped"
    case .tripleFault: "triple fault"
    case .stopped: "stopped"
    }
  }
}
