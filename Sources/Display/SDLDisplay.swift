import Devices

/// A window by SDL 2. A click takes the mouse, Ctrl-Alt-G gives it back; the window may be resized, the picture scales.
public final class SDLDisplay: Screen {
  private let sdl: SDLLibrary
  private let window: SDLLibrary.Handle
  private let renderer: SDLLibrary.Handle
  private var texture: SDLLibrary.Handle?
  private var size = (width: 0, height: 0)
  private let event = UnsafeMutableRawPointer.allocate(byteCount: SDLLibrary.eventSize, alignment: 8)
  private let title: String
  private var hasMouse = false
  private var buttons: UInt8 = 0
  private var held: Set<Key> = []

  private enum EventType {
    static let quit: UInt32 = 0x100, window: UInt32 = 0x200
    static let keyDown: UInt32 = 0x300, keyUp: UInt32 = 0x301
    static let motion: UInt32 = 0x400, buttonDown: UInt32 = 0x401, buttonUp: UInt32 = 0x402, wheel: UInt32 = 0x403
  }

  public init(title: String) throws(DisplayError) {
    sdl = try SDLLibrary()
    self.title = title
    guard sdl.initialiseQuietly(SDLLibrary.video) == 0 else {
      event.deallocate()
      throw DisplayError("SDL cannot open a window (\(sdl.lastError)): use --display none, or set DISPLAY", isUnavailable: true)
    }
    if sdl.showsNothing {
      sdl.quit()
      event.deallocate()
      throw DisplayError(
        "there is no screen to open a window on: set DISPLAY or WAYLAND_DISPLAY, or use --display none", isUnavailable: true)
    }
    guard let window = sdl.createWindow(
      title, SDLLibrary.centred, SDLLibrary.centred, 720, 400, SDLLibrary.windowResizable),
      let renderer = sdl.createRenderer(window, -1, 0)
    else {
      let reason = sdl.lastError
      sdl.quit()
      event.deallocate()
      throw DisplayError("SDL cannot open a window: \(reason)", isUnavailable: true)
    }
    self.window = window
    self.renderer = renderer
  }

  deinit {
    if let texture { sdl.destroyTexture(texture) }
    sdl.destroyRenderer(renderer)
    sdl.destroyWindow(window)
    sdl.quit()
    event.deallocate()
  }

  // MARK: Picture

  public func show(_ frame: Frame, text: TextScreen?) {
    guard frame.width > 0, frame.height > 0 else { return }
    if size != (frame.width, frame.height) { resize(frame.width, frame.height) }
    guard let texture else { return }
    frame.pixels.withUnsafeBytes { _ = sdl.updateTexture(texture, nil, $0.baseAddress!, Int32(frame.width * 4)) }
    _ = sdl.clear(renderer)
    _ = sdl.copy(renderer, texture, nil, nil)
    sdl.present(renderer)
  }

  /// A new mode of the guest: the window follows, and the renderer letterboxes what does not fit.
  private func resize(_ width: Int, _ height: Int) {
    if let texture { sdl.destroyTexture(texture) }
    size = (width, height)
    texture = sdl.createTexture(renderer, SDLLibrary.argb8888, SDLLibrary.streaming, Int32(width), Int32(height))
    sdl.setWindowSize(window, Int32(width), Int32(height))
    _ = sdl.setLogicalSize(renderer, Int32(width), Int32(height))
  }

  // MARK: Events

  public var waitDescriptors: [Int32] { [] }

  private func field<T>(_ offset: Int, _ type: T.Type) -> T { event.load(fromByteOffset: offset, as: type) }

  public func takeEvents() -> [ScreenEvent] {
    var events: [ScreenEvent] = []
    while sdl.pollEvent(event) != 0 {
      switch field(0, UInt32.self) {
      case EventType.quit: events.append(.close)
      case EventType.window:
        // SDL_WINDOWEVENT_FOCUS_LOST: releases of held keys would go to somebody else.
        if field(12, UInt8.self) == 13 { releaseAll(&events) }
      case EventType.keyDown, EventType.keyUp: key(&events)
      case EventType.motion:
        if hasMouse {
          events.append(.mouse(
            dx: Int16(clamping: field(28, Int32.self)), dy: Int16(clamping: 0 &- field(32, Int32.self)), wheel: 0,
            buttons: buttons))
        }
      case EventType.buttonDown, EventType.buttonUp: button(&events)
      case EventType.wheel:
        if hasMouse {
          events.append(.mouse(dx: 0, dy: 0, wheel: Int8(clamping: field(20, Int32.self)), buttons: buttons))
        }
      default: break
      }
    }
    return events
  }

  private func key(_ events: inout [ScreenEvent]) {
    let isPressed = field(12, UInt8.self) != 0
    guard let key = KeyMap.key(usage: field(16, UInt32.self)) else { return }
    if isPressed, key == .g, held.contains(.leftControl), held.contains(.leftAlt) {
      setMouse(false)
      releaseAll(&events)
      return
    }
    if isPressed { held.insert(key) } else if held.remove(key) == nil { return }
    // SDL's own repeats are dropped by the keyboard, which repeats by itself.
    events.append(.key(key, isPressed: isPressed))
  }

  private func button(_ events: inout [ScreenEvent]) {
    let isDown = field(17, UInt8.self) != 0
    if !hasMouse {
      if isDown { setMouse(true) }
      return
    }
    // SDL counts left 1, middle 2, right 3.
    let bit: UInt8
    switch field(16, UInt8.self) {
    case 1: bit = 1
    case 2: bit = 4
    case 3: bit = 2
    default: return
    }
    buttons = isDown ? buttons | bit : buttons & ~bit
    events.append(.mouse(dx: 0, dy: 0, wheel: 0, buttons: buttons))
  }

  private func setMouse(_ take: Bool) {
    hasMouse = take
    _ = sdl.setRelativeMouseMode(take ? 1 : 0)
    sdl.setWindowGrab(window, take ? 1 : 0)
    sdl.setWindowTitle(window, take ? "\(title) (Ctrl-Alt-G releases the mouse)" : title)
  }

  private func releaseAll(_ events: inout [ScreenEvent]) {
    for key in held.sorted(by: { $0.rawValue < $1.rawValue }) { events.append(.key(key, isPressed: false)) }
    held = []
  }
}
