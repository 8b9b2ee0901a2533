import Platform
import Testing

@testable import Devices

@Suite struct DebugPortsTests {
  @Test func consolePassesBytesAndIsFound() {
    let console = DebugConsole(name: "e9")
    var bytes: [UInt8] = []
    console.onByte = { bytes.append($0) }
    console.out(0, 0x41)
    console.writePort(0, 0x4342, size: 2)
    #expect(bytes == [0x41, 0x42, 0x43])
    #expect(console.in(0) == 0xE9)
  }

  @Test func postLatch() throws {
    let post = POSTPort()
    var codes: [UInt8] = []
    post.onCode = { codes.append($0) }
    post.out(0, 0x12)
    post.out(0, 0xFF)
    #expect(codes == [0x12, 0xFF] && post.in(0) == 0xFF)
    let other = POSTPort()
    try transplant(post, to: other)
    #expect(other.code == 0xFF)
  }

  @Test(arguments: [(DebugExit.Style.plain, Int32(7)), (.qemu, 15)]) func exitCodes(style: DebugExit.Style, code: Int32) {
    let port = DebugExit(style: style)
    var seen: Int32?
    port.onExit = { seen = $0 }
    port.out(0, 7)
    #expect(seen == code)
  }
}
