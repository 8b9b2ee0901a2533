/// The part of a firmware's work that a kernel takes for granted when it is started directly.
enum ChipsetSetup {
  /// Interrupt lines of PIRQA–PIRQD.
  static let pirqLines: [UInt8] = [10, 10, 11, 11]
}
