import HostOracle

/// The state and the case of the oracle, whose C arrays Swift only knows as tuples: access by number.
typealias StatePointer = UnsafeMutablePointer<HostState>
typealias CasePointer = UnsafeMutablePointer<HostCase>

enum HostLayout {
  static let code = UInt64(HOST_CODE), codeSize = UInt64(HOST_CODE_SIZE)
  static let stubs = UInt64(HOST_STUBS), end64 = UInt64(HOST_END64), end32 = UInt64(HOST_END32)
  static let data = UInt64(HOST_DATA), dataSize = UInt64(HOST_DATA_SIZE)
  static let readOnly = UInt64(HOST_READ_ONLY), readOnlySize = UInt64(HOST_READ_ONLY_SIZE)
  static let banks = Int(HOST_BANKS), batch = Int(HOST_BATCH), codeBytes = Int(HOST_CODE_BYTES)
  /// How Linux numbers what ended a case that is no exception.
  static let stopped: Int32 = 27, systemCall: Int32 = 31
  static let noVector: UInt32 = 0xFFFF_FFFF

  // The selectors that Linux gives to programs.
  static let code64: UInt16 = 0x33, code32: UInt16 = 0x23, stack: UInt16 = 0x2B

  static let ymm = MemoryLayout<HostState>.offset(of: \.ymm)!
  static let fx = MemoryLayout<HostState>.offset(of: \.fx)!
  static let caseCode = MemoryLayout<HostCase>.offset(of: \.code)!
  static let casePatches = MemoryLayout<HostCase>.offset(of: \.patches)!
  static let patchBytes = MemoryLayout<HostPatch>.offset(of: \.bytes)!
  static let lineIndex = MemoryLayout<HostLines>.offset(of: \.index)!
  static let lineBytes = MemoryLayout<HostLines>.offset(of: \.bytes)!
}

extension UnsafeMutablePointer where Pointee == HostState {
  @inline(__always) private var raw: UnsafeMutableRawPointer { UnsafeMutableRawPointer(self) }

  @inline(__always) func gpr(_ n: Int) -> UInt64 { raw.load(fromByteOffset: n * 8, as: UInt64.self) }
  @inline(__always) func setGPR(_ n: Int, _ value: UInt64) { raw.storeBytes(of: value, toByteOffset: n * 8, as: UInt64.self) }

  /// Quadword `lane` of YMM register `n`.
  @inline(__always) func ymm(_ n: Int, _ lane: Int) -> UInt64 { raw.load(fromByteOffset: HostLayout.ymm + n * 32 + lane * 8, as: UInt64.self) }
  @inline(__always) func setYMM(_ n: Int, _ lane: Int, _ value: UInt64) {
    raw.storeBytes(of: value, toByteOffset: HostLayout.ymm + n * 32 + lane * 8, as: UInt64.self)
  }

  /// A field of the FXSAVE image at a byte offset.
  @inline(__always) func fx<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, as type: T.Type) -> T { raw.loadUnaligned(fromByteOffset: HostLayout.fx + offset, as: type) }
  @inline(__always) func setFX<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _ value: T) { raw.storeBytes(of: value, toByteOffset: HostLayout.fx + offset, as: T.self) }

  var controlWord: UInt16 {
    get { fx(0, as: UInt16.self) }
    nonmutating set { setFX(0, newValue) }
  }
  /// With TOP.
  var statusWord: UInt16 {
    get { fx(2, as: UInt16.self) }
    nonmutating set { setFX(2, newValue) }
  }
  /// Bit i: physical register i is not empty.
  var tags: UInt8 {
    get { fx(4, as: UInt8.self) }
    nonmutating set { setFX(4, newValue) }
  }
  var mxcsr: UInt32 {
    get { fx(24, as: UInt32.self) }
    nonmutating set { setFX(24, newValue) }
  }
  /// ST(n).
  func significand(_ n: Int) -> UInt64 { fx(32 + n * 16, as: UInt64.self) }
  func signExponent(_ n: Int) -> UInt16 { fx(40 + n * 16, as: UInt16.self) }
  func setST(_ n: Int, _ significand: UInt64, _ signExponent: UInt16) {
    setFX(32 + n * 16, significand)
    setFX(40 + n * 16, signExponent)
  }

  /// What a program begins with: everything zero, exceptions masked, x87 empty.
  func clear(is32: Bool) {
    raw.initializeMemory(as: UInt8.self, repeating: 0, count: MemoryLayout<HostState>.size)
    pointee.rflags = 0x202
    pointee.cs = is32 ? HostLayout.code32 : HostLayout.code64
    pointee.ss = HostLayout.stack
    if is32 { (pointee.ds, pointee.es) = (HostLayout.stack, HostLayout.stack) }
    controlWord = 0x37F
    mxcsr = 0x1F80
    pointee.vector = HostLayout.noVector
  }
}

extension UnsafeMutablePointer where Pointee == HostCase {
  @inline(__always) private var raw: UnsafeMutableRawPointer { UnsafeMutableRawPointer(self) }

  @inline(__always) var start: StatePointer { raw.assumingMemoryBound(to: HostState.self) }
  @inline(__always) var end: StatePointer { (raw + MemoryLayout<HostCase>.offset(of: \.end)!).assumingMemoryBound(to: HostState.self) }
  @inline(__always) var lines: UnsafeMutablePointer<HostLines> {
    (raw + MemoryLayout<HostCase>.offset(of: \.lines)!).assumingMemoryBound(to: HostLines.self)
  }
  @inline(__always) var code: UnsafeMutablePointer<UInt8> { (raw + HostLayout.caseCode).assumingMemoryBound(to: UInt8.self) }
  @inline(__always) var length: Int { Int(pointee.codeLength) }
  func patch(_ n: Int) -> UnsafeMutablePointer<HostPatch> { (raw + HostLayout.casePatches).assumingMemoryBound(to: HostPatch.self) + n }

  /// Bytes that lie at an address of the data pages before the case runs; ignored where there is no room.
  func addPatch(_ address: UInt64, _ bytes: UnsafeRawBufferPointer) {
    let offset = address &- HostLayout.data, n = Int(pointee.patchCount)
    guard n < Int(HOST_PATCHES), bytes.count <= MemoryLayout.size(ofValue: pointee.patches.0.bytes),
          offset < HostLayout.dataSize, offset + UInt64(bytes.count) <= HostLayout.dataSize else { return }
    let p = patch(n)
    p.pointee.offset = UInt16(offset)
    p.pointee.length = UInt16(bytes.count)
    (UnsafeMutableRawPointer(p) + HostLayout.patchBytes).copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
    pointee.patchCount += 1
  }

  func addPatch(_ address: UInt64, _ values: [UInt64], size: Int = 8) {
    var bytes: [UInt8] = []
    for value in values { for n in 0..<size { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(n * 8))) } }
    bytes.withUnsafeBytes { addPatch(address, $0) }
  }

  func patchContent(_ n: Int) -> [UInt8] {
    Array(UnsafeRawBufferPointer(start: UnsafeRawPointer(patch(n)) + HostLayout.patchBytes, count: Int(patch(n).pointee.length)))
  }

  /// Nothing to run, with a state of zeros.
  func clear(is32: Bool) {
    start.clear(is32: is32)
    pointee.is32 = is32 ? 1 : 0
    pointee.bank = 0
    pointee.patchCount = 0
    pointee.codeLength = 0
    pointee.codeOffset = 0x800
  }
}

extension UnsafeMutablePointer where Pointee == HostLines {
  /// Number of the line of 64 bytes, and its bytes.
  func index(_ n: Int) -> Int {
    Int(UnsafeRawPointer(self).load(fromByteOffset: HostLayout.lineIndex + n * 2, as: UInt16.self))
  }
  func word(_ n: Int, _ k: Int) -> UInt64 {
    UnsafeRawPointer(self).load(fromByteOffset: HostLayout.lineBytes + n * 64 + k * 8, as: UInt64.self)
  }
  /// Lines that are held.
  var held: Int { min(Int(pointee.count), Int(HOST_LINES)) }
}
