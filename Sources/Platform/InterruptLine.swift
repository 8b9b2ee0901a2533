/// Whatever has numbered interrupt inputs: a PIC, an I/O APIC, a router that feeds both.
public protocol InterruptSink: AnyObject {
  /// Sets the level of an input; edges are the sink's to find.
  func setInput(_ input: Int, level: Bool)
}

/// A wire from a device to one input of a sink.
public struct InterruptLine {
  private let sink: (any InterruptSink)?
  private let input: Int

  public init(_ sink: any InterruptSink, input: Int) {
    self.sink = sink
    self.input = input
  }

  private init() {
    sink = nil
    input = 0
  }

  /// A wire that ends nowhere.
  public static var unconnected: InterruptLine { InterruptLine() }

  public func set(_ level: Bool) { sink?.setInput(input, level: level) }
}

/// What a local APIC (or a PIC without one) does to its processor.
public protocol ProcessorSignals: AnyObject {
  /// Level of the maskable interrupt request (INTR); the vector is asked for by acknowledge.
  func setInterruptRequest(_ level: Bool)
  func signalNMI()
  func signalSMI()
  func signalINIT()
  func signalStartup(vector: UInt8)
}
