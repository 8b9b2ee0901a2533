/// ACPI fixed hardware as in the power management function of the PIIX4: event and control registers, power management
/// timer, general-purpose events, and the APM ports by which a guest switches to ACPI mode.
///
/// Reference: ACPI 6.5 §4.8; Intel 82371AB (PIIX4) §7.2. Ports: power management block of 64 (event +0, control +4, timer +8,
/// GPE0 +0Ch), GPE0 also as a block of its own, APM B2h–B3h. SCI by default on IRQ 9.
///
/// Not modelled: sleep states other than soft-off (they wake at once), throttling and C-states by P_CNT/P_LVL2, the PIIX4's
/// global, device and SMI status registers (they read 0), SMIs other than by a write to port B2h.

import Platform

public final class ACPIPowerManagement: Device {
  public let name = "acpi-pm"
  public static let timerFrequency: UInt64 = 3_579_545

  /// System control interrupt: level, active high.
  public var sci: InterruptLine
  /// The guest entered soft-off.
  public var onPowerOff: (() -> Void)?
  /// A write to port B2h that is neither of the ACPI commands; a machine with SMM signals its processors.
  public var onSMICommand: ((UInt8) -> Void)?

  private enum Event {
    static let timer: UInt16 = 1 << 0, global: UInt16 = 1 << 5, powerButton: UInt16 = 1 << 8
    static let sleepButton: UInt16 = 1 << 9, clock: UInt16 = 1 << 10, wake: UInt16 = 1 << 15
    static let enables: UInt16 = timer | global | powerButton | sleepButton | clock
    static let all: UInt16 = enables | wake | 1 << 4
  }
  private enum Control {
    static let sciEnable: UInt16 = 1 << 0, sleepEnable: UInt16 = 1 << 13
    static let writable: UInt16 = 0x1C03
  }

  /// Values of the FADT's ACPI_ENABLE and ACPI_DISABLE.
  public static let enableCommand: UInt8 = 0xF1
  public static let disableCommand: UInt8 = 0xF0

  private let clock: VirtualClock
  private let rate = ClockRate(ACPIPowerManagement.timerFrequency)
  private let timerBits: UInt64
  private let powerOffType: UInt8
  private var status: UInt16 = 0
  private var enable: UInt16 = 0
  private var control: UInt16 = 0
  private var eventStatus: UInt16 = 0
  private var eventEnable: UInt16 = 0
  private var apmControl: UInt8 = 0
  private var apmStatus: UInt8 = 0
  /// Changes of the timer's top bit that are accounted for.
  private var togglesSeen: UInt64 = 0
  private var sciLevel = false
  private var timer: VirtualClock.Timer!

  /// - Parameters:
  ///   - timerBits: 24 or 32; the FADT's TMR_VAL_EXT says the same.
  ///   - powerOffType: SLP_TYP of the DSDT's \_S5; the PIIX4 has 0.
  public init(clock: VirtualClock, sci: InterruptLine = .unconnected, timerBits: Int = 24, powerOffType: UInt8 = 0) {
    self.clock = clock
    self.sci = sci
    self.timerBits = timerBits == 32 ? 32 : 24
    self.powerOffType = powerOffType & 7
    timer = clock.makeTimer { [unowned self] _ in update() }
  }

  // MARK: Events

  /// Presses the power button: a guest in ACPI mode gets an SCI. Returns false when nobody would notice.
  @discardableResult
  public func pressPowerButton() -> Bool {
    status |= Event.powerButton
    update()
    return control & Control.sciEnable != 0 && enable & Event.powerButton != 0
  }

  /// Raises a general-purpose event (0…15), such as a hot-plug notification.
  public func raiseEvent(_ n: Int) {
    guard (0..<16).contains(n) else { return }
    eventStatus |= 1 << UInt16(n)
    update()
  }

  /// SCI_EN: the guest is in ACPI mode. Firmware-less boots may set it.
  public var isACPIEnabled: Bool {
    get { control & Control.sciEnable != 0 }
    set {
      control = control & ~Control.sciEnable | (newValue ? Control.sciEnable : 0)
      update()
    }
  }

  private var timerCount: UInt64 { rate.ticks(at: clock.now) & ((1 << timerBits) - 1) }

  private func update() {
    let toggles = rate.ticks(at: clock.now) >> (timerBits - 1)
    if toggles != togglesSeen {
      togglesSeen = toggles
      status |= Event.timer
    }
    let pending = status & enable & Event.enables != 0 || eventStatus & eventEnable != 0
    let level = pending && control & Control.sciEnable != 0
    if level != sciLevel {
      sciLevel = level
      sci.set(level)
    }
    if enable & Event.timer != 0, status & Event.timer == 0 {
      clock.arm(timer, at: rate.time(ofTick: (toggles &+ 1) << (timerBits - 1)))
    } else {
      clock.cancel(timer)
    }
  }

  // MARK: Ports

  /// The power management block: 64 ports, accesses of up to 4 bytes.
  public private(set) lazy var registers = PortWindow(
    read: { [unowned self] offset, size in
      if offset & ~3 == 8 {
        let count = UInt32(truncatingIfNeeded: timerCount)
        return count >> UInt32((offset & 3) * 8) & UInt32(truncatingIfNeeded: allOnes(size))
      }
      update()
      var value: UInt32 = 0
      for i in 0..<UInt16(size) { value |= UInt32(readByte(offset &+ i)) << UInt32(i * 8) }
      return value
    },
    write: { [unowned self] offset, value, size in
      for i in 0..<UInt16(size) { writeByte(offset &+ i, UInt8(truncatingIfNeeded: value >> UInt32(i * 8))) }
      // The sleep request takes effect with the whole register written.
      if offset <= 5, offset &+ UInt16(size) > 5 { sleepIfRequested() }
      update()
    })

  /// The GPE0 block on its own: status (2 bytes), enable (2 bytes).
  public private(set) lazy var generalPurposeEvents = PortWindow(
    read: { [unowned self] offset, _ in UInt32(readByte(0x0C + (offset & 3))) },
    write: { [unowned self] offset, value, _ in
      writeByte(0x0C + (offset & 3), UInt8(truncatingIfNeeded: value))
      update()
    })

  /// Ports B2h–B3h.
  public private(set) lazy var apm = PortWindow(
    read: { [unowned self] offset, _ in UInt32(offset & 1 == 0 ? apmControl : apmStatus) },
    write: { [unowned self] offset, value, _ in
      let byte = UInt8(truncatingIfNeeded: value)
      if offset & 1 == 1 {
        apmStatus = byte
        return
      }
      apmControl = byte
      switch byte {
      case Self.enableCommand: isACPIEnabled = true
      case Self.disableCommand: isACPIEnabled = false
      default: onSMICommand?(byte)
      }
    })

  private func readByte(_ offset: UInt16) -> UInt8 {
    func half(_ word: UInt16) -> UInt8 { UInt8(truncatingIfNeeded: offset & 1 == 0 ? word : word >> 8) }
    switch offset & ~1 {
    case 0x00: return half(status)
    case 0x02: return half(enable)
    case 0x04: return half(control)
    case 0x08, 0x0A:
      return UInt8(truncatingIfNeeded: timerCount >> UInt64((offset & 3) * 8))
    case 0x0C: return half(eventStatus)
    case 0x0E: return half(eventEnable)
    default: return 0
    }
  }

  private func writeByte(_ offset: UInt16, _ byte: UInt8) {
    let shift = (offset & 1) * 8
    let value = UInt16(byte) << shift
    let lane = UInt16(0xFF) << shift
    switch offset & ~1 {
    case 0x00: status &= ~(value & Event.all)
    case 0x02: enable = enable & ~lane | value & Event.enables
    case 0x04: control = control & ~lane | value & (Control.writable | Control.sleepEnable)
    case 0x0C: eventStatus &= ~value
    case 0x0E: eventEnable = eventEnable & ~lane | value
    default: break
    }
  }

  private func sleepIfRequested() {
    guard control & Control.sleepEnable != 0 else { return }
    control &= ~Control.sleepEnable
    if UInt8(control >> 10 & 7) == powerOffType {
      onPowerOff?()
    } else {
      status |= Event.wake
    }
  }

  // MARK: Device

  public func reset() {
    status = 0
    enable = 0
    control = 0
    eventStatus = 0
    eventEnable = 0
    apmControl = 0
    apmStatus = 0
    togglesSeen = rate.ticks(at: clock.now) >> (timerBits - 1)
    update()
  }

  public func save(to writer: inout StateWriter) {
    for word in [status, enable, control, eventStatus, eventEnable] { writer.put(word) }
    writer.put(apmControl)
    writer.put(apmStatus)
    writer.put(togglesSeen)
    writer.put(sciLevel)
  }

  public func restore(from reader: inout StateReader) throws(StateError) {
    status = try reader.get(UInt16.self)
    enable = try reader.get(UInt16.self)
    control = try reader.get(UInt16.self)
    eventStatus = try reader.get(UInt16.self)
    eventEnable = try reader.get(UInt16.self)
    apmControl = try reader.get(UInt8.self)
    apmStatus = try reader.get(UInt8.self)
    togglesSeen = try reader.get(UInt64.self)
    sciLevel = try reader.getBool()
  }
}
