/// A register by its name in the SDM: `.rax`, `.eax`, `.ax`, `.ah`, `.rip`, `.rflags`, `.cr3`, `.dr7` ….
///
/// Names of parts read and write as instructions do: writing `.eax` clears the upper half of RAX, writing `.ax`, `.al` or `.ah` leaves
/// the rest alone. Segment, vector and x87 registers have subscripts of their own in ``Core``.
public struct Register: Hashable, Sendable {
  enum File: UInt8 { case general, instructionPointer, flags, control, debug }

  let file: File
  /// In encoding order; 16–19 are AH, CH, DH, BH.
  let number: UInt8
  /// Width in bytes.
  public let size: Int

  private init(_ file: File, _ number: UInt8, _ size: Int) {
    self.file = file
    self.number = number
    self.size = size
  }

  private static func general(_ number: UInt8, _ size: Int) -> Register { Register(.general, number, size) }

  public static let rax = general(0, 8), rcx = general(1, 8), rdx = general(2, 8), rbx = general(3, 8)
  public static let rsp = general(4, 8), rbp = general(5, 8), rsi = general(6, 8), rdi = general(7, 8)
  public static let r8 = general(8, 8), r9 = general(9, 8), r10 = general(10, 8), r11 = general(11, 8)
  public static let r12 = general(12, 8), r13 = general(13, 8), r14 = general(14, 8), r15 = general(15, 8)

  public static let eax = general(0, 4), ecx = general(1, 4), edx = general(2, 4), ebx = general(3, 4)
  public static let esp = general(4, 4), ebp = general(5, 4), esi = general(6, 4), edi = general(7, 4)
  public static let r8d = general(8, 4), r9d = general(9, 4), r10d = general(10, 4), r11d = general(11, 4)
  public static let r12d = general(12, 4), r13d = general(13, 4), r14d = general(14, 4), r15d = general(15, 4)

  public static let ax = general(0, 2), cx = general(1, 2), dx = general(2, 2), bx = general(3, 2)
  public static let sp = general(4, 2), bp = general(5, 2), si = general(6, 2), di = general(7, 2)
  public static let r8w = general(8, 2), r9w = general(9, 2), r10w = general(10, 2), r11w = general(11, 2)
  public static let r12w = general(12, 2), r13w = general(13, 2), r14w = general(14, 2), r15w = general(15, 2)

  public static let al = general(0, 1), cl = general(1, 1), dl = general(2, 1), bl = general(3, 1)
  public static let spl = general(4, 1), bpl = general(5, 1), sil = general(6, 1), dil = general(7, 1)
  public static let r8b = general(8, 1), r9b = general(9, 1), r10b = general(10, 1), r11b = general(11, 1)
  public static let r12b = general(12, 1), r13b = general(13, 1), r14b = general(14, 1), r15b = general(15, 1)
  public static let ah = general(16, 1), ch = general(17, 1), dh = general(18, 1), bh = general(19, 1)

  public static let rip = Register(.instructionPointer, 0, 8), eip = Register(.instructionPointer, 0, 4)
  public static let ip = Register(.instructionPointer, 0, 2)
  public static let rflags = Register(.flags, 0, 8), eflags = Register(.flags, 0, 4), flags = Register(.flags, 0, 2)

  public static let cr0 = Register(.control, 0, 8), cr2 = Register(.control, 2, 8), cr3 = Register(.control, 3, 8)
  public static let cr4 = Register(.control, 4, 8), cr8 = Register(.control, 8, 8)
  public static let dr0 = Register(.debug, 0, 8), dr1 = Register(.debug, 1, 8), dr2 = Register(.debug, 2, 8)
  public static let dr3 = Register(.debug, 3, 8), dr6 = Register(.debug, 6, 8), dr7 = Register(.debug, 7, 8)

  /// RAX … R15 in encoding order.
  public static let general64: [Register] = (0..<16).map { general($0, 8) }

  private static let all: [Register] = {
    var list = [8, 4, 2, 1].flatMap { size in (0..<16).map { general($0, size) } } + (16..<20).map { general($0, 1) }
    list += [rip, eip, ip, rflags, eflags, flags, cr0, cr2, cr3, cr4, cr8, dr0, dr1, dr2, dr3, dr6, dr7]
    return list
  }()

  private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.description, $0) })

  /// The register of this name in lower or upper case; nil if there is none.
  public init?(_ name: String) {
    guard let found = Self.byName[name.lowercased()] else { return nil }
    self = found
  }

  /// Cuts a value to the register's width.
  func cut(_ value: UInt64) -> UInt64 { size == 8 ? value : value & (1 << UInt64(size * 8) - 1) }
}

extension Register: CustomStringConvertible {
  private static let words = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"]

  /// The name in lower case.
  public var description: String {
    switch file {
    case .control: return "cr\(number)"
    case .debug: return "dr\(number)"
    case .instructionPointer: return size == 8 ? "rip" : size == 4 ? "eip" : "ip"
    case .flags: return size == 8 ? "rflags" : size == 4 ? "eflags" : "flags"
    case .general: break
    }
    if number >= 16 { return ["ah", "ch", "dh", "bh"][Int(number) - 16] }
    if number >= 8 { return "r\(number)" + (size == 8 ? "" : size == 4 ? "d" : size == 2 ? "w" : "b") }
    let word = Self.words[Int(number)]
    switch size {
    case 8: return "r" + word
    case 4: return "e" + word
    case 2: return word
    default: return number < 4 ? "\(word.first!)l" : word + "l"
    }
  }
}

/// The general registers, RIP and RFLAGS as one value, to be kept, compared and put back.
public struct Registers: Equatable, Sendable {
  private var general = SIMD16<UInt64>()
  public var rip: UInt64 = 0
  public var rflags: UInt64 = 2

  public init() {}

  /// All 64 bits of general register 0–15, in encoding order.
  subscript(number n: Int) -> UInt64 {
    get { general[n] }
    set { general[n] = newValue }
  }

  /// A general register or a part of one, RIP or RFLAGS; others read as 0 and ignore what is written.
  public subscript(_ register: Register) -> UInt64 {
    get {
      switch register.file {
      case .general:
        return register.number >= 16 ? general[Int(register.number) - 16] >> 8 & 0xFF : register.cut(general[Int(register.number)])
      case .instructionPointer: return register.cut(rip)
      case .flags: return register.cut(rflags)
      case .control, .debug: return 0
      }
    }
    set {
      switch register.file {
      case .general:
        let n = Int(register.number)
        if n >= 16 {
          general[n - 16] = general[n - 16] & ~0xFF00 | (newValue & 0xFF) << 8
        } else if register.size >= 4 {
          general[n] = register.cut(newValue)
        } else {
          let mask: UInt64 = 1 << UInt64(register.size * 8) - 1
          general[n] = general[n] & ~mask | newValue & mask
        }
      case .instructionPointer: rip = register.cut(newValue)
      case .flags: rflags = register.size == 8 ? newValue : rflags & ~register.cut(~0) | register.cut(newValue)
      case .control, .debug: break
      }
    }
  }

  /// The registers whose values differ from those of `earlier`, in encoding order, RFLAGS last; RIP is left out.
  public func changes(since earlier: Registers) -> [Register] {
    Register.general64.filter { self[$0] != earlier[$0] } + (rflags == earlier.rflags ? [] : [.rflags])
  }
}
