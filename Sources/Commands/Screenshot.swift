import Devices
import Display
import Machine

/// A `--screenshot` option.
struct Screenshot {
  let path: String
  /// Virtual time in ns; nil at the end of the run.
  let time: UInt64?

  /// FILE or FILE@TIME. An @ belongs to the name if it stands in a folder's, or if the whole ends in ".png".
  init(_ text: String) throws(MachineError) {
    guard let at = text.lastIndex(of: "@"), !text[at...].contains("/"), !text.lowercased().hasSuffix(".png") else {
      path = text
      time = nil
      return
    }
    guard let time = Quantity.time(text[text.index(after: at)...]) else {
      throw .usage("--screenshot takes FILE.png or FILE.png@TIME with a time such as 10s or 500ms, not '\(text)'")
    }
    path = String(text[..<at])
    self.time = time
  }

  func take(_ machine: Machine) throws(MachineError) {
    var frame = Frame()
    guard machine.render(into: &frame), frame.width > 0 else { throw .usage("there is no screen to write to \(path)") }
    try HostFile.store(PNGWriter.encode(frame), to: path)
  }
}
