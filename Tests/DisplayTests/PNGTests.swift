import CZlib
import Devices
import Testing
@testable import Display

/// Reads back what `PNGWriter` wrote: chunks with checked CRCs, inflated rows with the filter undone.
private func decode(_ file: [UInt8]) -> (width: Int, height: Int, rows: [[UInt8]])? {
  guard file.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) else { return nil }
  func number(_ at: Int) -> Int { file[at..<at + 4].reduce(0) { $0 << 8 | Int($1) } }
  var at = 8, width = 0, height = 0
  var data: [UInt8] = []
  var names: [String] = []
  while at + 12 <= file.count {
    let length = number(at)
    let name = String(decoding: file[at + 4..<at + 8], as: UTF8.self)
    let covered = Array(file[at + 4..<at + 8 + length])
    guard number(at + 8 + length) == Int(crc32(0, covered, UInt32(covered.count))) else { return nil }
    if name == "IHDR" { (width, height) = (number(at + 8), number(at + 12)) }
    if name == "IDAT" { data += file[at + 8..<at + 8 + length] }
    names.append(name)
    at += 12 + length
  }
  guard names.first == "IHDR", names.last == "IEND", at == file.count else { return nil }
  var size = UInt((width * 3 + 1) * height)
  var raw = [UInt8](repeating: 0, count: Int(size))
  guard uncompress(&raw, &size, data, UInt(data.count)) == Z_OK, Int(size) == raw.count else { return nil }
  var rows: [[UInt8]] = []
  var above = [UInt8](repeating: 0, count: width * 3)
  for y in 0..<height {
    let start = y * (width * 3 + 1)
    guard raw[start] == 2 else { return nil }
    let row = (0..<width * 3).map { raw[start + 1 + $0] &+ above[$0] }
    rows.append(row)
    above = row
  }
  return (width, height, rows)
}

@Test func picturesSurviveTheRoundTrip() throws {
  var frame = Frame()
  frame.resize(width: 37, height: 11)
  for n in frame.pixels.indices { frame.pixels[n] = 0xFF00_0000 | UInt32(truncatingIfNeeded: n &* 2_654_435) & 0xFF_FFFF }
  let picture = try #require(decode(PNGWriter.encode(frame)))
  #expect(picture.width == 37 && picture.height == 11)
  for y in 0..<11 {
    for x in 0..<37 {
      let pixel = frame.pixels[y * 37 + x]
      let expected = [UInt8(pixel >> 16 & 255), UInt8(pixel >> 8 & 255), UInt8(pixel & 255)]
      #expect(Array(picture.rows[y][x * 3..<x * 3 + 3]) == expected)
    }
  }
}

@Test func screensCompress() {
  var frame = Frame()
  frame.resize(width: 720, height: 400)
  #expect(PNGWriter.encode(frame).count < 5000)
}
