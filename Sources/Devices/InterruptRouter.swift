/// Sends each interrupt line of the board to both interrupt controllers.
///
/// Reference: Intel MultiProcessor Specification 1.4 §3.6.2 (symmetric I/O mode). Inputs: 0–15 ISA, 16–23 I/O APIC only.
/// ISA line 0 arrives at I/O APIC input 2, as the MADT of a PC says; line n at input n otherwise.
///
/// Not modelled: the IMCR (both controllers always see the lines).

import Platform

public final class InterruptRouter: InterruptSink {
  private let pic: PIC8259
  private let ioapic: IOAPIC?

  public init(pic: PIC8259, ioapic: IOAPIC?) {
    self.pic = pic
    self.ioapic = ioapic
  }

  /// A wire to one line of the board.
  public func line(_ input: Int) -> InterruptLine { InterruptLine(self, input: input) }

  public func setInput(_ input: Int, level: Bool) {
    if input < 16 { pic.setInput(input, level: level) }
    ioapic?.setInput(input == 0 ? 2 : input, level: level)
  }
}
