/// A paravirtual framebuffer with keyboard, and how it is shown.
///
/// Source: xl.cfg(5), `vfb`.
public struct FramebufferConfiguration: Equatable, Sendable {
  public var vnc = true
  /// Address, and display number behind a colon.
  public var vncListen: String?
  public var vncDisplay: Int?
  public var vncUnused = true
  public var vncPassword: String?
  public var sdl = false
  public var xDisplay: String?
  public var xAuthority: String?
  public var opengl = false
  public var keymap: String?

  public init() {}
}

extension FramebufferConfiguration {
  init(parsing text: String) throws(SpecificationError) {
    for (key, value) in try KeyValueList.parts(of: text) {
      switch key {
      case "vnc": vnc = try KeyValueList.flag(key, value)
      case "vnclisten": vncListen = value
      case "vncdisplay": vncDisplay = try KeyValueList.number(key, value, 0...59635)
      case "vncunused": vncUnused = try KeyValueList.flag(key, value)
      case "vncpasswd": vncPassword = value
      case "sdl": sdl = try KeyValueList.flag(key, value)
      case "display": xDisplay = value
      case "xauthority": xAuthority = value
      case "opengl": opengl = try KeyValueList.flag(key, value)
      case "keymap": keymap = value
      // xend's way to say which of the two is meant.
      case "type": (vnc, sdl) = (value == "vnc", value == "sdl")
      default: throw SpecificationError("the parameter \"\(key)\" is not known")
      }
    }
  }
}
