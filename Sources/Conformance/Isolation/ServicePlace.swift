import XenABI

/// Where a guest of a campaign has what it shares with services: pages by pseudo-physical number, and grants by reference.
enum ServicePlace {
  // Windows to pages that are not part of its image.
  static let store = 90, console = 91, grants = 92
  static let blockRing = 96, blockRingPages = 2, transmitRing = 98, receiveRing = 99, indirect = 100
  static let data = 101..<112
  /// All of them but the windows.
  static let pages = 96..<112

  static let blockRingReference: GrantReference = 16, transmitReference: GrantReference = 18, receiveReference: GrantReference = 19
  static let indirectReference: GrantReference = 20
  /// Of the pages of data, for writing and for reading only.
  static let dataReference: GrantReference = 21, readOnlyReference: GrantReference = 32
  /// Of anything.
  static let wild: Range<GrantReference> = 43..<56
  /// Each is used once, for what must be refused.
  static let refused: Range<GrantReference> = 64..<250

  static let disk = 51712
}

/// Offsets in the pages of rings (xen/include/public/io).
enum RingField {
  // Rings of requests and responses.
  static let requestProducer = 0, requestEvent = 4, responseProducer = 8, responseEvent = 12, slots = 64
  // Xenstore's.
  static let storeRequestConsumer = 2048, storeRequestProducer = 2052, storeReplyConsumer = 2056, storeReplyProducer = 2060
  static let storeConnection = 2068, storeError = 2072
  // The console's.
  static let consoleInputConsumer = 3072, consoleInputProducer = 3076, consoleOutputConsumer = 3080, consoleOutputProducer = 3084
}
