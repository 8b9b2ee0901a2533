#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The functions of SDL 2 that a window needs, found when the program runs: machines without SDL run everything else.
///
/// Source: SDL 2 headers (SDL_video.h, SDL_render.h, SDL_events.h); its binary interface is stable within version 2.
struct SDLLibrary {
  typealias Handle = UnsafeMutableRawPointer

  let initialise: @convention(c) (UInt32) -> Int32
  let quit: @convention(c) () -> Void
  let getError: @convention(c) () -> UnsafePointer<CChar>?
  let getCurrentVideoDriver: @convention(c) () -> UnsafePointer<CChar>?
  let createWindow: @convention(c) (UnsafePointer<CChar>, Int32, Int32, Int32, Int32, UInt32) -> Handle?
  let destroyWindow: @convention(c) (Handle) -> Void
  let setWindowTitle: @convention(c) (Handle, UnsafePointer<CChar>) -> Void
  let setWindowSize: @convention(c) (Handle, Int32, Int32) -> Void
  let setWindowGrab: @convention(c) (Handle, Int32) -> Void
  let createRenderer: @convention(c) (Handle, Int32, UInt32) -> Handle?
  let destroyRenderer: @convention(c) (Handle) -> Void
  let setLogicalSize: @convention(c) (Handle, Int32, Int32) -> Int32
  let createTexture: @convention(c) (Handle, UInt32, Int32, Int32, Int32) -> Handle?
  let destroyTexture: @convention(c) (Handle) -> Void
  let updateTexture: @convention(c) (Handle, UnsafeRawPointer?, UnsafeRawPointer, Int32) -> Int32
  let clear: @convention(c) (Handle) -> Int32
  let copy: @convention(c) (Handle, Handle, UnsafeRawPointer?, UnsafeRawPointer?) -> Int32
  let present: @convention(c) (Handle) -> Void
  let pollEvent: @convention(c) (UnsafeMutableRawPointer) -> Int32
  let setRelativeMouseMode: @convention(c) (Int32) -> Int32

  static let video: UInt32 = 0x20
  static let windowResizable: UInt32 = 0x20
  static let centred: Int32 = 0x2FFF_0000
  static let argb8888: UInt32 = 0x1636_2004
  static let streaming: Int32 = 1
  /// sizeof(SDL_Event) is 56; a little more does no harm.
  static let eventSize = 64

  init() throws(DisplayError) {
    let names = ["libSDL2-2.0.so.0", "libSDL2-2.0.so", "libSDL2.so"]
    guard let library = names.lazy.compactMap({ dlopen($0, RTLD_NOW | RTLD_LOCAL) }).first else {
      throw DisplayError(
        "the SDL 2 library is not installed, which --display sdl needs (Debian: libsdl2-2.0-0)", isUnavailable: true)
    }
    func find<T>(_ name: String, _ type: T.Type) throws(DisplayError) -> T {
      guard let address = dlsym(library, name) else {
        throw DisplayError("the SDL 2 library of this system has no function \(name)", isUnavailable: true)
      }
      return unsafeBitCast(address, to: type)
    }
    initialise = try find("SDL_Init", (@convention(c) (UInt32) -> Int32).self)
    quit = try find("SDL_Quit", (@convention(c) () -> Void).self)
    getError = try find("SDL_GetError", (@convention(c) () -> UnsafePointer<CChar>?).self)
    getCurrentVideoDriver = try find(
      "SDL_GetCurrentVideoDriver", (@convention(c) () -> UnsafePointer<CChar>?).self)
    createWindow = try find(
      "SDL_CreateWindow", (@convention(c) (UnsafePointer<CChar>, Int32, Int32, Int32, Int32, UInt32) -> Handle?).self)
    destroyWindow = try find("SDL_DestroyWindow", (@convention(c) (Handle) -> Void).self)
    setWindowTitle = try find("SDL_SetWindowTitle", (@convention(c) (Handle, UnsafePointer<CChar>) -> Void).self)
    setWindowSize = try find("SDL_SetWindowSize", (@convention(c) (Handle, Int32, Int32) -> Void).self)
    setWindowGrab = try find("SDL_SetWindowGrab", (@convention(c) (Handle, Int32) -> Void).self)
    createRenderer = try find("SDL_CreateRenderer", (@convention(c) (Handle, Int32, UInt32) -> Handle?).self)
    destroyRenderer = try find("SDL_DestroyRenderer", (@convention(c) (Handle) -> Void).self)
    setLogicalSize = try find("SDL_RenderSetLogicalSize", (@convention(c) (Handle, Int32, Int32) -> Int32).self)
    createTexture = try find(
      "SDL_CreateTexture", (@convention(c) (Handle, UInt32, Int32, Int32, Int32) -> Handle?).self)
    destroyTexture = try find("SDL_DestroyTexture", (@convention(c) (Handle) -> Void).self)
    updateTexture = try find(
      "SDL_UpdateTexture", (@convention(c) (Handle, UnsafeRawPointer?, UnsafeRawPointer, Int32) -> Int32).self)
    clear = try find("SDL_RenderClear", (@convention(c) (Handle) -> Int32).self)
    copy = try find(
      "SDL_RenderCopy", (@convention(c) (Handle, Handle, UnsafeRawPointer?, UnsafeRawPointer?) -> Int32).self)
    present = try find("SDL_RenderPresent", (@convention(c) (Handle) -> Void).self)
    pollEvent = try find("SDL_PollEvent", (@convention(c) (UnsafeMutableRawPointer) -> Int32).self)
    setRelativeMouseMode = try find("SDL_SetRelativeMouseMode", (@convention(c) (Int32) -> Int32).self)
  }

  /// Libraries of window systems that SDL tries in vain complain on standard error by themselves; what matters is in `lastError`.
  func initialiseQuietly(_ parts: UInt32) -> Int32 {
    let kept = fcntl(2, F_DUPFD_CLOEXEC, 3), null = open("/dev/null", O_WRONLY | O_CLOEXEC)
    if kept >= 0, null >= 0 { dup2(null, 2) }
    let status = initialise(parts)
    if kept >= 0 { dup2(kept, 2) }
    for file in [kept, null] where file >= 0 { close(file) }
    return status
  }

  /// SDL falls back to drivers without a screen where it finds none. That is wanted only if SDL's own variable names the driver.
  var showsNothing: Bool {
    guard let name = getCurrentVideoDriver().map({ String(cString: $0) }) else { return true }
    guard ["dummy", "offscreen"].contains(name) else { return false }
    let wanted = getenv("SDL_VIDEODRIVER").map { String(cString: $0) } ?? ""
    return !wanted.split(separator: ",").contains { $0 == name }
  }

  var lastError: String { getError().map { String(cString: $0) } ?? "unknown error" }
}
