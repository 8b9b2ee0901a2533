/// IBM VGA with 256 KiB of planar memory, and the Bochs VBE extensions (DISPI) with a linear frame buffer.
///
/// References: IBM PS/2 Hardware Interface Technical Reference, "Video subsystem"; Bochs VBE DISPI interface, version B0C5h.
/// Ports: 3B0h–3DFh, 1CEh–1D0h. Memory: A0000h–BFFFFh; the frame buffer is RAM of the owner (PCI BAR or fixed address).
///
/// Pixels are made only when `render` is called. Retrace bits are computed from virtual time.
///
/// Not modelled: light pen, vertical interrupt (IRQ 9), horizontal timing finer than a line, display enable skew,
/// palette snooping; DISPI modes of 4 bits a pixel beyond 64 KiB a plane.

import Platform

public final class VGA: Device {
  public let name = "vga"

  let clock: VirtualClock
  /// Four planes of 64 KiB, interleaved: byte p of word a is plane p at address a.
  let planes: UnsafeMutablePointer<UInt32>
  static let planeSize = 65536
  /// Linear memory of the DISPI modes.
  let frameBuffer: UnsafeMutableRawPointer
  let frameBufferSize: Int

  var miscellaneous: UInt8 = 0
  var featureControl: UInt8 = 0
  var sequencerIndex: UInt8 = 0
  var sequencer = [UInt8](repeating: 0, count: 8)
  var controllerIndex: UInt8 = 0
  var controller = [UInt8](repeating: 0, count: 25)
  var graphicsIndex: UInt8 = 0
  var graphics = [UInt8](repeating: 0, count: 9)
  var attributeIndex: UInt8 = 0
  /// The next write to port 3C0h is data.
  var attributeWritesData = false
  var attribute = [UInt8](repeating: 0, count: 21)
  /// Palette RAM: red, green, blue of 256 entries.
  var palette = [UInt8](repeating: 0, count: 768)
  var paletteMask: UInt8 = 0xFF
  var paletteReadIndex: UInt8 = 0
  var paletteWriteIndex: UInt8 = 0
  var paletteComponent: UInt8 = 0
  var paletteIsReading = false
  var latch: UInt32 = 0
  var dispi: DisplayInterface

  /// - Parameters:
  ///   - frameBuffer: host memory of the linear frame buffer; the owner maps it into the guest.
  ///   - frameBufferSize: its size in bytes, a multiple of 64 KiB.
  public init(clock: VirtualClock, frameBuffer: UnsafeMutableRawPointer, frameBufferSize: Int) {
    self.clock = clock
    self.frameBuffer = frameBuffer
    self.frameBufferSize = frameBufferSize
    planes = .allocate(capacity: Self.planeSize)
    planes.initialize(repeating: 0, count: Self.planeSize)
    dispi = DisplayInterface(memorySize: frameBufferSize)
  }

  deinit { planes.deallocate() }

  // MARK: Ports 3B0h–3DFh

  public private(set) lazy var ports = PortWindow(
    read: { [unowned self] offset, _ in UInt32(read(0x3B0 + offset)) },
    write: { [unowned self] offset, value, _ in write(0x3B0 + offset, UInt8(truncatingIfNeeded: value)) })

  /// Ports 1CEh–1D0h, accesses of 2 bytes.
  public private(set) lazy var displayInterface = PortWindow(
    read: { [unowned self] offset, _ in UInt32(offset == 0 ? dispi.index : dispi.read()) },
    write: { [unowned self] offset, value, _ in
      if offset == 0 {
        dispi.index = UInt16(truncatingIfNeeded: value)
      } else {
        writeDisplayInterface(UInt16(truncatingIfNeeded: value))
      }
    })

  /// Miscellaneous output bit 0 moves the CRTC between the colour and the monochrome ports.
  private var usesColourPorts: Bool { miscellaneous.bit(0) }

  private func read(_ port: UInt16) -> UInt8 {
    switch port {
    case 0x3C0: return attributeIndex
    case 0x3C1: return attributeIndex & 31 < 21 ? attribute[Int(attributeIndex & 31)] : 0
    case 0x3C2: return 0
    case 0x3C3: return 1
    case 0x3C4: return sequencerIndex
    case 0x3C5: return sequencer[Int(sequencerIndex & 7)]
    case 0x3C6: return paletteMask
    case 0x3C7: return paletteIsReading ? 3 : 0
    case 0x3C8: return paletteWriteIndex
    case 0x3C9: return readPalette()
    case 0x3CA: return featureControl
    case 0x3CC: return miscellaneous
    case 0x3CE: return graphicsIndex
    case 0x3CF: return graphicsIndex < 9 ? graphics[Int(graphicsIndex)] : 0
    case 0x3D4, 0x3D5, 0x3DA: return usesColourPorts ? readController(port & 0xF) : 0xFF
    case 0x3B4, 0x3B5, 0x3BA: return usesColourPorts ? 0xFF : readController(port & 0xF)
    default: return 0xFF
    }
  }

  private func readController(_ low: UInt16) -> UInt8 {
    switch low {
    case 4: return controllerIndex
    case 5: return controllerIndex < 25 ? controller[Int(controllerIndex)] : 0xFF
    default:
      attributeWritesData = false
      return retraceStatus
    }
  }

  private func write(_ port: UInt16, _ value: UInt8) {
    switch port {
    case 0x3C0: writeAttribute(value)
    case 0x3C2: miscellaneous = value
    case 0x3C4: sequencerIndex = value & 7
    case 0x3C5: writeSequencer(value)
    case 0x3C6: paletteMask = value
    case 0x3C7:
      paletteReadIndex = value
      paletteComponent = 0
      paletteIsReading = true
    case 0x3C8:
      paletteWriteIndex = value
      paletteComponent = 0
      paletteIsReading = false
    case 0x3C9: writePalette(value)
    case 0x3CE: graphicsIndex = value & 15
    case 0x3CF: writeGraphics(value)
    case 0x3D4, 0x3D5, 0x3DA: if usesColourPorts { writeController(port & 0xF, value) }
    case 0x3B4, 0x3B5, 0x3BA: if !usesColourPorts { writeController(port & 0xF, value) }
    default: break
    }
  }

  private func writeController(_ low: UInt16, _ value: UInt8) {
    switch low {
    case 4: controllerIndex = value & 31
    case 5:
      let n = Int(controllerIndex)
      guard n < 25 else { return }
      if n < 8, controller[0x11].bit(7) {
        // CR00–CR07 are protected, but for the line-compare bit.
        if n == 7 { controller[7] = controller[7] & ~0x10 | value & 0x10 }
        return
      }
      controller[n] = value
    default: featureControl = value & 0x0B
    }
  }

  private static let sequencerMasks: [UInt8] = [0x03, 0x3D, 0x0F, 0x3F, 0x0E, 0, 0, 0xFF]

  private func writeSequencer(_ value: UInt8) {
    let n = Int(sequencerIndex)
    sequencer[n] = value & Self.sequencerMasks[n]
  }

  private static let graphicsMasks: [UInt8] = [0x0F, 0x0F, 0x0F, 0x1F, 0x03, 0x7B, 0x0F, 0x0F, 0xFF]

  private func writeGraphics(_ value: UInt8) {
    let n = Int(graphicsIndex)
    if n < 9 { graphics[n] = value & Self.graphicsMasks[n] }
  }

  private func writeAttribute(_ value: UInt8) {
    attributeWritesData.toggle()
    if attributeWritesData {
      attributeIndex = value & 0x3F
      return
    }
    let n = Int(attributeIndex & 31)
    // The palette belongs to the display while bit 5 of the index is set.
    if n < 16, attributeIndex.bit(5) { return }
    if n < 21 { attribute[n] = n < 16 || n == 18 ? value & 0x3F : value }
  }

  private func readPalette() -> UInt8 {
    let value = palette[Int(paletteReadIndex) * 3 + Int(paletteComponent)]
    paletteComponent += 1
    if paletteComponent == 3 {
      paletteComponent = 0
      paletteReadIndex &+= 1
    }
    return value
  }

  private func writePalette(_ value: UInt8) {
    palette[Int(paletteWriteIndex) * 3 + Int(paletteComponent)] = dispi.has8BitPalette ? value : value & 0x3F
    paletteComponent += 1
    if paletteComponent == 3 {
      paletteComponent = 0
      paletteWriteIndex &+= 1
    }
  }

  // MARK: Timing

  /// Input status register 1: bit 0 no display, bit 3 vertical retrace.
  private var retraceStatus: UInt8 {
    let timing = timing
    let inFrame = clock.now % timing.frame
    let line = inFrame / timing.line
    let inRetrace = line >= timing.retraceStart && line < timing.retraceStart + timing.retraceLines
    let inBlank = line >= timing.displayLines || inFrame % timing.line >= timing.displayTime
    return (inBlank ? 1 : 0) | (inRetrace ? 9 : 0)
  }

  struct Timing {
    /// Durations in ns.
    var line: UInt64, displayTime: UInt64, frame: UInt64
    var displayLines: UInt64, retraceStart: UInt64, retraceLines: UInt64
  }

  var timing: Timing {
    let dotClock: UInt64 = miscellaneous >> 2 & 3 == 1 ? 28_322_000 : 25_175_000
    let slow: UInt64 = sequencer[1].bit(3) ? 2 : 1
    let dots: UInt64 = sequencer[1].bit(0) ? 8 : 9
    let characters = UInt64(controller[0]) + 5
    let line = max(1000, characters * dots * slow * 1_000_000_000 / dotClock)
    let display = min(line - 1, (UInt64(controller[1]) + 1) * dots * slow * 1_000_000_000 / dotClock)
    let overflow = controller[7]
    let total = UInt64(controller[6]) + (overflow.bit(0) ? 256 : 0) + (overflow.bit(5) ? 512 : 0) + 2
    let start = UInt64(controller[0x10]) + (overflow.bit(2) ? 256 : 0) + (overflow.bit(7) ? 512 : 0)
    let length = (UInt64(controller[0x11] & 15) &- start) & 15
    return Timing(
      line: line, displayTime: display, frame: line * total, displayLines: UInt64(displayedLines),
      retraceStart: min(start, total - 1), retraceLines: max(1, length))
  }

  /// Scan lines of the picture.
  var displayedLines: Int {
    Int(controller[0x12]) + (controller[7].bit(1) ? 256 : 0) + (controller[7].bit(6) ? 512 : 0) + 1
  }

  /// Number of frames shown since power-on; blinking follows it.
  var frameCount: UInt64 { clock.now / timing.frame }

  // MARK: Device

  public func reset() {
    miscellaneous = 0
    featureControl = 0
    (sequencerIndex, controllerIndex, graphicsIndex, attributeIndex) = (0, 0, 0, 0)
    for n in sequencer.indices { sequencer[n] = 0 }
    for n in controller.indices { controller[n] = 0 }
    for n in graphics.indices { graphics[n] = 0 }
    for n in attribute.indices { attribute[n] = 0 }
    attributeWritesData = false
    paletteMask = 0xFF
    (paletteReadIndex, paletteWriteIndex, paletteComponent, paletteIsReading) = (0, 0, 0, false)
    latch = 0
    dispi = DisplayInterface(memorySize: frameBufferSize)
  }

  public func save(to writer: inout StateWriter) {
    for byte in [miscellaneous, featureControl, sequencerIndex, controllerIndex, graphicsIndex, attributeIndex,
                 paletteMask, paletteReadIndex, paletteWriteIndex, paletteComponent] { writer.put(byte) }
    for bytes in [sequencer, controller, graphics, attribute, palette] { writer.put(bytes) }
    writer.put(attributeWritesData)
    writer.put(paletteIsReading)
    writer.put(latch)
    dispi.save(to: &writer)
    for n in 0..<Self.planeSize { writer.put(planes[n]) }
    writer.put(UInt64(frameBufferSize))
    // Most of the memory is never written: leave out the zeroes at its end.
    let words = UnsafeRawBufferPointer(start: frameBuffer, count: frameBufferSize).assumingMemoryBound(to: UInt64.self)
    let used = (words.lastIndex { $0 != 0 } ?? -1) + 1
    writer.put(UInt64(used * 8))
    writer.put(raw: UnsafeRawBufferPointer(start: frameBuffer, count: used * 8))
  }

  public func restore(from reader: inout StateReader) throws(StateError) {
    miscellaneous = try reader.get(UInt8.self)
    featureControl = try reader.get(UInt8.self)
    sequencerIndex = try reader.get(UInt8.self) & 7
    controllerIndex = try reader.get(UInt8.self) & 31
    graphicsIndex = try reader.get(UInt8.self) & 15
    attributeIndex = try reader.get(UInt8.self) & 0x3F
    paletteMask = try reader.get(UInt8.self)
    paletteReadIndex = try reader.get(UInt8.self)
    paletteWriteIndex = try reader.get(UInt8.self)
    paletteComponent = try reader.get(UInt8.self) % 3
    try restore(&sequencer, from: &reader)
    try restore(&controller, from: &reader)
    try restore(&graphics, from: &reader)
    try restore(&attribute, from: &reader)
    try restore(&palette, from: &reader)
    attributeWritesData = try reader.getBool()
    paletteIsReading = try reader.getBool()
    latch = try reader.get(UInt32.self)
    try dispi.restore(from: &reader)
    for n in 0..<Self.planeSize { planes[n] = try reader.get(UInt32.self) }
    guard try reader.get(UInt64.self) == UInt64(frameBufferSize) else {
      throw StateError("the saved machine has another amount of video memory")
    }
    let used = try reader.get(UInt64.self)
    guard used <= UInt64(frameBufferSize) else { throw StateError("the saved state of the VGA is damaged") }
    try reader.get(raw: UnsafeMutableRawBufferPointer(start: frameBuffer, count: Int(used)))
    frameBuffer.advanced(by: Int(used)).initializeMemory(as: UInt8.self, repeating: 0, count: frameBufferSize - Int(used))
  }

  private func restore(_ bytes: inout [UInt8], from reader: inout StateReader) throws(StateError) {
    let saved = try reader.getBytes()
    guard saved.count == bytes.count else { throw StateError("the saved state of the VGA is damaged") }
    bytes = saved
  }
}
