import Backends
import Foundation
import Testing

@Suite struct RawFileImageTests {
  private func temporary(_ bytes: Int) throws -> String {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("image-\(UUID().uuidString)").path
    try Data(count: bytes).write(to: URL(fileURLWithPath: path))
    return path
  }

  private func refusal(_ path: String, _ access: RawFileImage.Access = .readWrite) -> String {
    do throws(BlockImageError) {
      _ = try RawFileImage(path: path, access: access)
      return "none"
    } catch {
      return error.description
    }
  }

  @Test func saysWhatIsWrong() throws {
    #expect(refusal("/nowhere/disk") == "is not there")
    #expect(refusal("/tmp") == "is a directory")
    #expect(refusal("/tmp", .readOnly) == "is a directory")
    #expect(refusal("/dev/null") == "is neither a file nor a block device")
    let odd = try temporary(1000), empty = try temporary(0)
    defer { for path in [odd, empty] { try? FileManager.default.removeItem(atPath: path) } }
    #expect(refusal(odd) == "has 1000 bytes, which is not a multiple of 512")
    #expect(refusal(empty) == "is empty")
  }

  @Test func oneWriterOrManyReaders() throws {
    let path = try temporary(4096)
    defer { try? FileManager.default.removeItem(atPath: path) }
    do {
      let writer = try RawFileImage(path: path, access: .readWrite)
      #expect(writer.sectors == 8)
      #expect(refusal(path).contains("only one may write"))
      #expect(refusal(path, .readOnly).contains("being written"))
      #expect(refusal(path, .sharedReadWrite) == "none")
      withExtendedLifetime(writer) {}
    }
    let reader = try RawFileImage(path: path, access: .readOnly)
    #expect(refusal(path, .readOnly) == "none")
    #expect(refusal(path).contains("in use"))
    withExtendedLifetime(reader) {}
  }

  @Test func bytesAndHoles() throws {
    let path = try temporary(1 << 20)
    defer { try? FileManager.default.removeItem(atPath: path) }
    let image = try RawFileImage(path: path, access: .readWrite)
    let pattern = (0..<1 << 20).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    try pattern.withUnsafeBytes { try image.write(0, $0) }
    try image.flush()
    var back = [UInt8](repeating: 0, count: 1024)
    try back.withUnsafeMutableBytes { try image.read(3, into: $0) }
    #expect(back == Array(pattern[1536..<2560]))
    let before = try blocks(path)
    try image.discard(0, count: 1024)
    #expect(try blocks(path) < before)
    try back.withUnsafeMutableBytes { try image.read(3, into: $0) }
    #expect(back.allSatisfy { $0 == 0 })
    #expect(try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int == 1 << 20)
  }

  private func blocks(_ path: String) throws -> Int {
    var status = stat()
    try #require(stat(path, &status) == 0)
    return Int(status.st_blocks)
  }
}
