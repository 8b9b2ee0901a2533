import Platform
import Testing

@testable import Devices

private final class Board {
  let clock = VirtualClock()
  let memory: UnsafeMutableRawPointer
  let vga: VGA
  static let size = 4 << 20

  init() {
    memory = .allocate(byteCount: Self.size, alignment: 4096)
    memory.initializeMemory(as: UInt8.self, repeating: 0, count: Self.size)
    vga = VGA(clock: clock, frameBuffer: memory, frameBufferSize: Self.size)
    vga.initialiseTextMode3()
  }
  deinit { memory.deallocate() }

  func out(_ port: UInt16, _ value: UInt8) { vga.ports.out(port - 0x3B0, value) }
  func `in`(_ port: UInt16) -> UInt8 { vga.ports.in(port - 0x3B0) }
  func set(_ port: UInt16, _ index: UInt8, _ value: UInt8) {
    out(port, index)
    out(port + 1, value)
  }
  func dispi(_ index: UInt16, _ value: UInt16) {
    vga.displayInterface.writePort(0, UInt32(index), size: 2)
    vga.displayInterface.writePort(1, UInt32(value), size: 2)
  }
  func dispi(_ index: UInt16) -> UInt16 {
    vga.displayInterface.writePort(0, UInt32(index), size: 2)
    return UInt16(vga.displayInterface.readPort(1, size: 2))
  }
  func poke(_ address: UInt64, _ value: UInt8) { vga.writeMemory(address - 0xA0000, UInt64(value), size: 1) }
  func peek(_ address: UInt64) -> UInt8 { UInt8(vga.readMemory(address - 0xA0000, size: 1)) }
  func frame() -> Frame {
    var frame = Frame()
    vga.render(into: &frame)
    return frame
  }

  /// Sets the registers of a graphics mode as the BIOS tables have them.
  func setMode(misc: UInt8, sequencer: [UInt8], controller: [UInt8], graphics: [UInt8]) {
    out(0x3C2, misc)
    for (n, value) in sequencer.enumerated() { set(0x3C4, UInt8(n + 1), value) }
    set(0x3D4, 0x11, 0)
    for (n, value) in controller.enumerated() { set(0x3D4, UInt8(n), value) }
    for (n, value) in graphics.enumerated() { set(0x3CE, UInt8(n), value) }
    vga.planes.update(repeating: 0, count: VGA.planeSize)
  }
  func setMode13() {
    setMode(
      misc: 0x63, sequencer: [0x01, 0x0F, 0x00, 0x0E],
      controller: [0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0x00, 0x41, 0, 0, 0, 0, 0, 0,
                   0x9C, 0x8E, 0x8F, 0x28, 0x40, 0x96, 0xB9, 0xA3, 0xFF],
      graphics: [0, 0, 0, 0, 0, 0x40, 0x05, 0x0F, 0xFF])
    setAttributes(mode: 0x41)
  }
  func setMode12() {
    setMode(
      misc: 0xE3, sequencer: [0x01, 0x0F, 0x00, 0x06],
      controller: [0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0x0B, 0x3E, 0x00, 0x40, 0, 0, 0, 0, 0, 0,
                   0xEA, 0x8C, 0xDF, 0x28, 0x00, 0xE7, 0x04, 0xE3, 0xFF],
      graphics: [0, 0, 0, 0, 0, 0, 0x05, 0x0F, 0xFF])
    setAttributes(mode: 0x01)
  }
  func setAttributes(mode: UInt8) {
    _ = self.in(0x3DA)
    out(0x3C0, 0x10)
    out(0x3C0, mode)
    out(0x3C0, 0x13)
    out(0x3C0, 0)
    out(0x3C0, 0x20)
  }
}

private let black: UInt32 = 0xFF00_0000, white: UInt32 = 0xFFFF_FFFF, grey: UInt32 = 0xFFAA_AAAA

@Suite struct VGATests {
  private let board = Board()

  // MARK: Font and text

  @Test func fontIsComplete() {
    let glyphs = CodePage437Font.glyphs
    #expect(glyphs.count == 4096)
    var shapes: [[UInt8]: Int] = [:]
    for code in 0..<256 {
      let shape = Array(glyphs[code * 16..<code * 16 + 16])
      if [0x00, 0x20, 0xFF].contains(code) {
        #expect(shape.allSatisfy { $0 == 0 })
      } else {
        #expect(shapes[shape] == nil, "\(code) looks like \(shapes[shape] ?? 0)")
        shapes[shape] = code
      }
    }
    #expect(glyphs[0xC5 * 16 + 7] == 0xFF && glyphs[0xC5 * 16] == 0x10, "a cross")
    #expect(glyphs[0xCE * 16 + 5] == 0x28 && glyphs[0xCE * 16 + 6] == 0xEF && glyphs[0xCE * 16 + 7] == 0, "a double cross")
  }

  @Test func textModeShowsGlyphsInColour() {
    board.set(0x3D4, 0x0A, 0x20)
    board.poke(0xB8000 + 2 * (80 * 3 + 5), UInt8(ascii: "A"))
    board.poke(0xB8000 + 2 * (80 * 3 + 5) + 1, 0x1E)
    let frame = board.frame()
    #expect(frame.width == 720 && frame.height == 400)
    for line in 0..<16 {
      let bits = CodePage437Font.glyphs[65 * 16 + line]
      for dot in 0..<9 {
        let expected: UInt32 = dot < 8 && bits.bit(7 - dot) ? 0xFFFF_FF55 : 0xFF00_00AA
        #expect(frame.pixels[(3 * 16 + line) * 720 + 5 * 9 + dot] == expected)
      }
    }
    #expect(frame.pixels[0] == black)
  }

  @Test func lineGraphicsFillTheNinthDot() {
    board.set(0x3D4, 0x0A, 0x20)
    for column in 0..<2 { board.poke(0xB8000 + UInt64(2 * column), 0xC4) }
    let row = board.frame().pixels[7 * 720..<7 * 720 + 18]
    #expect(row.allSatisfy { $0 == grey })
  }

  @Test func cursorAndBlinking() {
    #expect(board.frame().pixels[13 * 720] == grey)
    #expect(board.frame().pixels[12 * 720] == black)
    let frameTime = board.vga.timing.frame
    board.clock.now = 16 * frameTime
    #expect(board.frame().pixels[13 * 720] == black)
    board.poke(0xB8000, 0xDB)
    board.poke(0xB8001, 0x87)
    #expect(board.frame().pixels[0] == grey)
    board.clock.now = 32 * frameTime
    #expect(board.frame().pixels[0] == black)
    board.set(0x3D4, 0x0A, 0x20)
    _ = board.in(0x3DA)
    board.out(0x3C0, 0x30)
    board.out(0x3C0, 0x04)
    #expect(board.frame().pixels[0] == grey)
    #expect(board.frame().pixels[9] == black)
    board.poke(0xB8000, 0x20)
    #expect(board.frame().pixels[0] == 0xFF55_5555, "without blinking bit 7 is a bright background")
  }

  @Test func startAddressAndSplitScreen() {
    board.set(0x3D4, 0x0A, 0x20)
    board.poke(0xB8000 + 160, 0xDB)
    board.set(0x3D4, 0x0D, 80)
    #expect(board.frame().pixels[0] == grey)
    board.set(0x3D4, 0x11, 0x0E)
    board.poke(0xB8000, 0xDB)
    board.set(0x3D4, 0x07, 0x0F)
    board.set(0x3D4, 0x09, 0x0F)
    board.set(0x3D4, 0x18, 199)
    let frame = board.frame()
    #expect(frame.pixels[199 * 720] == black && frame.pixels[200 * 720] == grey)
  }

  @Test func eightyByFiftyAndFortyColumns() {
    board.set(0x3D4, 0x09, 0x47)
    #expect(board.vga.textCells()?.rows == 50)
    #expect(board.frame().height == 400)
    board.set(0x3D4, 0x11, 0x0E)
    board.set(0x3D4, 0x01, 39)
    board.set(0x3D4, 0x13, 20)
    board.set(0x3C4, 1, 0x08)
    #expect(board.frame().width == 360)
    board.poke(0xB8000 + 2 * 41, 0x42)
    let cells = board.vga.textCells()
    #expect(cells?.columns == 40 && cells?.cells[41].code == 0x42 && cells?.cursor == 0)
  }

  @Test func guestFontsAreUsed() {
    // As a guest does it: sequential access to plane 2.
    board.set(0x3C4, 2, 4)
    board.set(0x3C4, 4, 6)
    board.set(0x3CE, 5, 0)
    board.set(0x3CE, 6, 0)
    board.set(0x3CE, 4, 2)
    for line in 0..<16 { board.poke(0xA0000 + 0x41 * 32 + UInt64(line), 0xF0) }
    #expect(board.peek(0xA0000 + 0x41 * 32) == 0xF0)
    board.set(0x3C4, 2, 3)
    board.set(0x3C4, 4, 2)
    board.set(0x3CE, 5, 0x10)
    board.set(0x3CE, 6, 0x0E)
    board.set(0x3CE, 4, 0)
    board.poke(0xB8000, 0x41)
    board.set(0x3D4, 0x0A, 0x20)
    #expect(board.frame().pixels[3] == grey && board.frame().pixels[4] == black)
    #expect(board.peek(0xB8000) == 0x41 && board.peek(0xB8001) == 0x07)
  }

  // MARK: Graphics

  @Test func mode13() {
    board.setMode13()
    board.out(0x3C8, 200)
    for value: UInt8 in [63, 32, 0] { board.out(0x3C9, value) }
    board.poke(0xA0000 + 100 * 320 + 17, 200)
    #expect(board.peek(0xA0000 + 100 * 320 + 17) == 200)
    let frame = board.frame()
    #expect(frame.width == 320 && frame.height == 200)
    #expect(frame.pixels[100 * 320 + 17] == 0xFFFF_8200)
    #expect(frame.pixels[100 * 320 + 18] == black)
  }

  @Test func modeXIsUnchained() {
    board.setMode13()
    board.set(0x3C4, 4, 0x06)
    board.set(0x3D4, 0x14, 0x00)
    board.set(0x3D4, 0x17, 0xE3)
    board.out(0x3C8, 9)
    for _ in 0..<3 { board.out(0x3C9, 63) }
    board.set(0x3C4, 2, 1 << 2)
    board.poke(0xA0000 + 80 * 10 + 3, 9)
    let frame = board.frame()
    #expect(frame.pixels.firstIndex(of: white) == 10 * 320 + 3 * 4 + 2)
    #expect(frame.pixels.filter { $0 == white }.count == 1)
  }

  @Test func mode12AndTheWriteModes() {
    board.setMode12()
    #expect(board.frame().width == 640 && board.frame().height == 480)
    // Write mode 0 with set/reset and bit mask.
    board.set(0x3CE, 0, 0x0F)
    board.set(0x3CE, 1, 0x0F)
    board.set(0x3CE, 8, 0x80)
    _ = board.peek(0xA0000)
    board.poke(0xA0000, 0)
    var frame = board.frame()
    #expect(frame.pixels[0] == white && frame.pixels[1] == black)
    // Write mode 2: colour 4 into all dots.
    board.set(0x3CE, 1, 0)
    board.set(0x3CE, 8, 0xFF)
    board.set(0x3CE, 5, 2)
    board.poke(0xA0050, 4)
    frame = board.frame()
    #expect(frame.pixels[640] == 0xFFAA_0000 && frame.pixels[647] == 0xFFAA_0000)
    // Write mode 1 copies all planes by the latches.
    board.set(0x3CE, 5, 1)
    _ = board.peek(0xA0050)
    board.poke(0xA00A0, 0)
    #expect(board.frame().pixels[1280] == 0xFFAA_0000)
    // Write mode 3: data and bit mask choose dots of the set/reset colour.
    board.set(0x3CE, 5, 3)
    board.set(0x3CE, 0, 0x02)
    board.set(0x3CE, 8, 0xF0)
    _ = board.peek(0xA00F0)
    board.poke(0xA00F0, 0x3C)
    frame = board.frame()
    #expect((0..<8).map { frame.pixels[3 * 640 + $0] == 0xFF00_AA00 } == [false, false, true, true, false, false, false, false])
    // Logical operation: XOR twice restores.
    board.set(0x3CE, 5, 0)
    board.set(0x3CE, 8, 0xFF)
    board.set(0x3CE, 3, 0x18)
    _ = board.peek(0xA0050)
    board.poke(0xA0050, 0xFF)
    #expect(board.frame().pixels[640] == 0xFF55_FFFF, "4 XOR 15 is bright cyan")
    _ = board.peek(0xA0050)
    board.poke(0xA0050, 0xFF)
    #expect(board.frame().pixels[640] == 0xFFAA_0000)
    // Read mode 1 compares colours.
    board.set(0x3CE, 5, 8)
    board.set(0x3CE, 2, 4)
    #expect(board.peek(0xA0050) == 0xFF)
    #expect(board.peek(0xA0000) == 0x00)
  }

  @Test func cgaFourColours() {
    board.setMode(
      misc: 0x63, sequencer: [0x09, 0x03, 0x00, 0x02],
      controller: [0x2D, 0x27, 0x28, 0x90, 0x2B, 0x80, 0xBF, 0x1F, 0x00, 0xC1, 0, 0, 0, 0, 0, 0,
                   0x9C, 0x8E, 0x8F, 0x14, 0x00, 0x96, 0xB9, 0xA2, 0xFF],
      graphics: [0, 0, 0, 0, 0, 0x30, 0x0F, 0x00, 0xFF])
    board.setAttributes(mode: 0x01)
    for address in stride(from: UInt64(0xB8000), to: 0xBC000, by: 1) { board.poke(address, 0) }
    board.poke(0xB8000, 0b11_00_01_10)
    board.poke(0xB8001, 0b00_00_00_11)
    board.poke(0xBA000, 0b11_00_00_00)
    let frame = board.frame()
    #expect(frame.width == 320 && frame.height == 200)
    #expect((0..<8).map { frame.pixels[$0] != black } == [true, false, true, true, false, false, false, true])
    #expect(frame.pixels[320] != black && frame.pixels[640] == black, "odd lines are 8 KiB further")
  }

  // MARK: Registers

  @Test func registersReadBack() {
    board.set(0x3D4, 0x0E, 0x12)
    #expect(board.in(0x3D5) == 0x12)
    #expect(board.in(0x3B5) == 0xFF, "not at the monochrome address")
    board.set(0x3D4, 0x00, 0x11)
    #expect(board.in(0x3D5) == 0x5F, "CR00–07 are protected")
    #expect(board.in(0x3CC) == 0x67)
    _ = board.in(0x3DA)
    board.out(0x3C0, 0x31)
    #expect(board.in(0x3C1) == 0)
    board.out(0x3C0, 0x3F)
    #expect(board.in(0x3C1) == 0x3F)
    board.out(0x3C7, 7)
    #expect([board.in(0x3C9), board.in(0x3C9), board.in(0x3C9)] == [0x2A, 0x2A, 0x2A])
  }

  @Test func retraceComesSeventyTimesASecond() {
    var count = 0
    var last: UInt8 = 0
    for time in stride(from: VirtualTime(0), to: 1_000_000_000, by: 20_000) {
      board.clock.now = time
      let bit = board.in(0x3DA) & 8
      if bit != 0, last == 0 { count += 1 }
      last = bit
    }
    #expect((69...71).contains(count))
  }

  // MARK: DISPI

  @Test func displayInterfaceModes() {
    #expect(board.dispi(0) == 0xB0C5)
    #expect(board.dispi(10) == UInt16(Board.size >> 16))
    board.dispi(4, 2)
    #expect(board.dispi(1) == 2560)
    board.dispi(4, 0)
    for (depth, bytes, pixel, expected) in [
      (UInt16(32), 4, UInt32(0x0012_3456), UInt32(0xFF12_3456)), (24, 3, 0x12_3456, 0xFF12_3456),
      (16, 2, 0xF81F, 0xFFFF_00FF), (15, 2, 0x03E0, 0xFF00_FF00),
    ] {
      board.dispi(4, 0)
      board.dispi(1, 640)
      board.dispi(2, 480)
      board.dispi(3, depth)
      board.dispi(4, 0x41)
      #expect(board.dispi(6) == 640)
      for i in 0..<bytes {
        board.memory.storeBytes(
          of: UInt8(truncatingIfNeeded: pixel >> UInt32(8 * i)), toByteOffset: (640 * 2 + 3) * bytes + i, as: UInt8.self)
      }
      let frame = board.frame()
      #expect(frame.width == 640 && frame.height == 480)
      #expect(frame.pixels[640 * 2 + 3] == expected)
      #expect(frame.pixels[640 * 2 + 4] == black)
      board.dispi(9, 2)
      #expect(board.frame().pixels[3] == expected, "panning")
    }
  }

  @Test func displayInterfaceBanksAndPalette() {
    board.dispi(1, 800)
    board.dispi(2, 600)
    board.dispi(3, 8)
    board.dispi(4, 0x21)
    board.dispi(5, 2)
    board.poke(0xA0005, 77)
    #expect(board.peek(0xA0005) == 77)
    #expect(board.memory.load(fromByteOffset: 2 * 65536 + 5, as: UInt8.self) == 77)
    board.out(0x3C8, 77)
    for value: UInt8 in [250, 1, 128] { board.out(0x3C9, value) }
    #expect(board.frame().pixels[2 * 65536 + 5] == 0xFFFA_0180)
    board.dispi(4, 0)
    #expect(board.frame().width == 720, "text again")
    board.dispi(4, 0x81)
    #expect(board.memory.load(fromByteOffset: 2 * 65536 + 5, as: UInt8.self) == 77, "memory was kept")
  }

  @Test func impossibleModesAreRefused() {
    board.dispi(1, 2560)
    board.dispi(2, 1600)
    board.dispi(3, 32)
    board.dispi(4, 1)
    #expect(board.dispi(4) & 1 == 0, "16 MiB do not fit into 4")
    board.dispi(1, 5000)
    #expect(board.dispi(1) == 2560)
  }

  @Test func pciFunctionMapsRegistersAndFrameBuffer() {
    let memory = PhysicalMemory(limit: 1 << 32)
    let bus = PCIBus(ports: PortSpace(), memory: memory, lines: Recorder())
    bus.attach(VGAFunction(vga: board.vga), at: 2)
    bus.assignResources(memoryBase: 0xE000_0000)
    let device = bus.device(at: 2)!
    let registers = device.mappedAddress(2)!
    #expect(memory.read(registers + 0x500, size: 2) == 0xB0C5)
    memory.write(registers + 0x502, 320, size: 2)
    #expect(board.dispi(1) == 320)
    #expect(memory.read(registers + 0x40C, size: 1) == 0x67)
    memory.write(device.mappedAddress(0)! + 100, 0x55, size: 1)
    #expect(board.memory.load(fromByteOffset: 100, as: UInt8.self) == 0x55)
  }

  // MARK: State

  @Test func stateSurvives() throws {
    board.setMode13()
    for i in 0..<64000 { board.poke(0xA0000 + UInt64(i), UInt8(truncatingIfNeeded: i * 7)) }
    board.memory.storeBytes(of: 0x12345678, toByteOffset: 1 << 20, as: UInt32.self)
    let other = Board()
    try transplant(board.vga, to: other.vga)
    #expect(other.frame().pixels == board.frame().pixels)
    #expect(other.memory.load(fromByteOffset: 1 << 20, as: UInt32.self) == 0x12345678)
  }

  @Test func anyInputIsHarmless() throws {
    var dice = Dice(state: 23)
    for n in 0..<40_000 {
      let byte = UInt8(truncatingIfNeeded: dice.next())
      switch dice.next(below: 6) {
      case 0: board.vga.ports.out(UInt16(dice.next(below: 0x30)), byte)
      case 1: _ = board.vga.ports.in(UInt16(dice.next(below: 0x30)))
      case 2: board.vga.writeMemory(dice.next(below: 0x20000), dice.next(), size: 1 << Int(dice.next(below: 4)))
      case 3: _ = board.vga.readMemory(dice.next(below: 0x20000), size: 8)
      case 4: board.set([0x3C4, 0x3CE, 0x3D4][Int(dice.next(below: 3))], UInt8(dice.next(below: 32)), byte)
      default: board.dispi(UInt16(dice.next(below: 12)), UInt16(truncatingIfNeeded: dice.next() >> dice.next(below: 64)))
      }
      if n % 4000 == 0 {
        _ = board.frame()
        _ = board.vga.textCells()
      }
    }
    // Whatever it came to, it can be saved and restored.
    let other = Board()
    try transplant(board.vga, to: other.vga)
    #expect(savedBytes(other.vga) == savedBytes(board.vga))
  }
}
