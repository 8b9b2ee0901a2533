import Platform

/// Guest memory as a boot loader uses it: every area is claimed before it is written, so that two images that want the
/// same place, or a place where no RAM is, end in a sentence instead of a mystery.
final class BootMemory {
  let memory: PhysicalMemory
  let layout: PhysicalLayout
  private var claims: [(base: UInt64, end: UInt64, name: String)] = []

  init(_ memory: PhysicalMemory, layout: PhysicalLayout) {
    self.memory = memory
    self.layout = layout
  }

  private func hasRAM(_ base: UInt64, _ size: UInt64) -> Bool {
    let (end, overflow) = base.addingReportingOverflow(size)
    if overflow { return false }
    if end <= PhysicalLayout.vgaWindow.lowerBound { return true }
    // The ACPI tables at the top are not the program's.
    if base >= 0xC_0000, end <= layout.acpiBase { return true }
    return base >= PhysicalLayout.highBase && end <= PhysicalLayout.highBase + layout.highMemory
  }

  /// Some machine has RAM there, if only `--memory` is large enough.
  private static func canHaveRAM(_ base: UInt64, _ size: UInt64) -> Bool {
    let (end, overflow) = base.addingReportingOverflow(size)
    if overflow { return false }
    let largest = PhysicalLayout(memory: MachineConfiguration.maximumMemory)
    return end <= PhysicalLayout.vgaWindow.lowerBound
      || base >= PhysicalLayout.vgaWindow.upperBound && end <= largest.lowMemory
      || base >= PhysicalLayout.highBase && end <= PhysicalLayout.highBase + largest.highMemory
  }

  /// Takes [base, base+size) for `name`.
  func claim(_ base: UInt64, _ size: UInt64, for name: String) throws(MachineError) {
    if size == 0 { return }
    guard Self.canHaveRAM(base, size) else {
      throw .badImage(
        "\(name) needs \(size) bytes of memory at \(hexadecimal(base)), where a PC has no memory of any size: it must lie elsewhere")
    }
    guard hasRAM(base, size) else {
      let total = describeSize(layout.lowMemory + layout.highMemory)
      throw .badImage(
        "\(name) needs \(size) bytes of memory at \(hexadecimal(base)), where this machine with \(total) has none: give it more with --memory")
    }
    for c in claims where base < c.end && c.base < base + size {
      throw .badImage("\(name) wants memory at \(hexadecimal(base)), which \(c.name) occupies already")
    }
    claims.append((base, base + size, name))
  }

  /// The highest free place for `size` bytes that ends at or below `limit` and starts at or above `floor`.
  func allocate(
    _ size: UInt64, alignment: UInt64 = pageSize, above floor: UInt64 = 0x10_0000, below limit: UInt64, for name: String
  ) throws(MachineError) -> UInt64 {
    var top = min(limit, layout.acpiBase)
    while top >= size, (top - size) / alignment * alignment >= floor {
      let base = (top - size) / alignment * alignment
      guard let blocker = claims.filter({ base < $0.end && $0.base < base + size }).min(by: { $0.base < $1.base }) else {
        try claim(base, size, for: name)
        return base
      }
      top = blocker.base
    }
    throw .badImage("\(name) (\(size) bytes) does not fit into this machine's memory: give it more with --memory")
  }

  func put(_ bytes: ArraySlice<UInt8>, at address: UInt64) {
    bytes.withUnsafeBytes { _ = memory.load($0, at: address) }
  }

  func put(_ bytes: [UInt8], at address: UInt64) { put(bytes[...], at: address) }
  func put(_ buffer: ByteBuffer, at address: UInt64) { put(buffer.bytes[...], at: address) }

  func zero(_ address: UInt64, _ size: UInt64) {
    var at = address
    let end = address &+ size
    while at < end {
      let part = min(end - at, pageSize - at % pageSize)
      if let host = memory.host(at) { host.initializeMemory(as: UInt8.self, repeating: 0, count: Int(part)) }
      at += part
    }
  }
}

func hexadecimal(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
