/// The interrupt message bus: local APICs, I/O APICs and message-signalled interrupts.
///
/// Reference: SDM vol. 3A §11.6 (IPIs), §11.11 (MSI). Memory: FEE00000h, 4 KiB for the registers of whichever
/// processor accesses them; device writes there are MSIs.
///
/// Messages are delivered at once, in the order in which they are sent, to processors in the order of their attachment: the same
/// run gives the same order. Lowest-priority delivery takes the lowest processor priority, then the lowest APIC ID.
///
/// Not modelled: interrupt remapping, arbitration, focus processor checking.

import Platform

/// An interrupt message (SDM vol. 3A §11.6.1).
public struct APICMessage: Equatable, Sendable {
  public enum Mode: UInt8, Sendable {
    case fixed = 0, lowestPriority = 1, smi = 2, nmi = 4, initialise = 5, startup = 6, external = 7
  }

  public enum Destination: Equatable, Sendable {
    case physical(UInt32)
    case logical(UInt32)
    case everyone
    case everyoneBut(UInt32)

    /// From the 8-bit field of a redirection entry, an MSI address or an xAPIC command; FFh is broadcast.
    public init(narrow value: UInt8, isLogical: Bool) {
      if value == 0xFF { self = .everyone } else { self = isLogical ? .logical(UInt32(value)) : .physical(UInt32(value)) }
    }

    /// From the 32-bit field of an x2APIC command.
    public init(wide value: UInt32, isLogical: Bool) {
      if value == .max { self = .everyone } else { self = isLogical ? .logical(value) : .physical(value) }
    }
  }

  public var vector: UInt8
  public var mode: Mode
  public var destination: Destination
  public var isLevel: Bool

  public init(vector: UInt8, mode: Mode = .fixed, destination: Destination, isLevel: Bool = false) {
    self.vector = vector
    self.mode = mode
    self.destination = destination
    self.isLevel = isLevel
  }
}

public final class APICBus: MemoryHandler {
  /// Local APICs in the order of attachment, which is the order of the processors.
  public private(set) var processors: [LocalAPIC] = []
  private var controllers: [IOAPIC] = []
  /// Index of the processor that is executing: its registers answer at FEE00000h.
  public var currentProcessor = 0

  public init() {}

  func attach(_ apic: LocalAPIC) { processors.append(apic) }
  func attach(_ controller: IOAPIC) { controllers.append(controller) }

  public func deliver(_ message: APICMessage) {
    if message.mode == .lowestPriority {
      var best: LocalAPIC?
      for apic in processors where apic.isSoftwareEnabled && apic.matches(message.destination) {
        guard let known = best else { best = apic; continue }
        if (apic.processorPriority, apic.id) < (known.processorPriority, known.id) { best = apic }
      }
      best?.accept(message)
      return
    }
    for apic in processors where apic.matches(message.destination) { apic.accept(message) }
  }

  /// A device's write of `data` to an MSI address (SDM vol. 3A §11.11). Addresses outside FEExxxxxh are ignored.
  public func deliverMSI(address: UInt64, data: UInt32) {
    guard address >> 20 == 0xFEE, let mode = APICMessage.Mode(rawValue: UInt8(data >> 8 & 7)) else { return }
    deliver(APICMessage(
      vector: UInt8(truncatingIfNeeded: data), mode: mode,
      destination: APICMessage.Destination(
        narrow: UInt8(truncatingIfNeeded: address >> 12), isLogical: address.bit(2)),
      isLevel: data.bit(15)))
  }

  func broadcastEndOfInterrupt(_ vector: UInt8) {
    for controller in controllers { controller.endOfInterrupt(vector) }
  }

  // MARK: The register window

  public func readMemory(_ offset: UInt64, size: Int) -> UInt64 {
    guard processors.indices.contains(currentProcessor) else { return allOnes(size) }
    return processors[currentProcessor].readMemory(offset, size: size)
  }

  public func writeMemory(_ offset: UInt64, _ value: UInt64, size: Int) {
    guard processors.indices.contains(currentProcessor) else { return }
    processors[currentProcessor].writeMemory(offset, value, size: size)
  }
}
