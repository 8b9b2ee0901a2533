/// Why a request to a ``Core`` was refused: one sentence that names the thing and the reason.
public enum CoreError: Error, Equatable, Sendable {
  /// A size of 0, or an address or size that is no multiple of 4096.
  case unaligned(address: UInt64, size: UInt64)
  /// The range reaches beyond the physical address space given to `Core.init`.
  case outsideAddressSpace(address: UInt64, size: UInt64, limit: UInt64)
  /// Something is mapped there already.
  case overlap(address: UInt64, size: UInt64, with: ClosedRange<UInt64>)
  /// Nothing, or no memory, at this physical address.
  case notMapped(address: UInt64)
  /// No page at this linear address.
  case noTranslation(linear: UInt64)
  /// The mode needs what the CPU model lacks.
  case modeNotSupported(mode: String, model: String)
  /// The model has no such model-specific register, or refuses the value with #GP.
  case modelSpecificRegister(UInt32)
  /// A selector that does not fit the segment register; the exception that loading it raises.
  case segment(selector: UInt16, vector: UInt8)
  /// `mapPages` works on the tables that the core made for 64-bit mode, and on nothing else.
  case noPageTables
  /// The memory kept for page tables is used up.
  case pageTablesFull
  /// A linear address that is not canonical.
  case notCanonical(linear: UInt64)
  /// A range of linear addresses that passes their end.
  case linearRange(linear: UInt64, size: UInt64)
  /// Ports that a handler has already.
  case portsTaken(ClosedRange<UInt16>)
  /// The snapshot is of a core with other memory, or of another version.
  case snapshot(String)
}

extension CoreError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .unaligned(let address, let size):
      "\(hex(size)) bytes at \(hex(address)) are not whole pages: address and size must be multiples of 4096, and the size not 0"
    case .outsideAddressSpace(let address, let size, let limit):
      "\(hex(size)) bytes at \(hex(address)) do not fit into the address space of \(hex(limit)) bytes: say addressSpace: when the core is made"
    case .overlap(let address, let size, let range):
      "\(hex(size)) bytes at \(hex(address)) overlap what is mapped at \(hex(range.lowerBound))–\(hex(range.upperBound)): unmap that first"
    case .notMapped(let address): "there is no memory at physical address \(hex(address))"
    case .noTranslation(let linear): "linear address \(hex(linear)) leads to no page"
    case .modeNotSupported(let mode, let model): "the CPU model \(model) has no \(mode)"
    case .modelSpecificRegister(let index): "MSR \(hex(UInt64(index))) does not exist or does not take this value"
    case .segment(let selector, let vector):
      "selector \(hex(UInt64(selector))) cannot be loaded: it raises \(ExceptionEvent.name(vector))"
    case .noPageTables: "the core has no page tables of its own: it makes them for 64-bit mode"
    case .pageTablesFull: "the memory for page tables is used up: map larger pieces, or build tables in the guest's memory"
    case .notCanonical(let linear): "linear address \(hex(linear)) is not canonical"
    case .linearRange(let linear, let size): "\(hex(size)) bytes at linear address \(hex(linear)) pass the last address"
    case .portsTaken(let range): "ports \(hex(UInt64(range.lowerBound)))–\(hex(UInt64(range.upperBound))) have a handler already"
    case .snapshot(let reason): "the snapshot does not fit this core: \(reason)"
    }
  }
}

/// `0x` and hexadecimal digits.
func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
