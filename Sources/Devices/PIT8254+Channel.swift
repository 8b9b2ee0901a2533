/// One counter of the 8254 (datasheet, "Mode Definitions"). All times are in ticks of its clock since power-on.

import Platform

extension PIT8254 {
  struct Channel {
    private(set) var mode: UInt8 = 0
    private(set) var gate: Bool
    /// The counting element holds a count (in modes 1 and 5: it was triggered).
    private(set) var isLoaded = false
    private var isBCD = false
    /// RW bits of the control word: 1 low byte, 2 high byte, 3 both.
    private var access: UInt8 = 3
    /// Count register as written.
    private var written: UInt16 = 0
    private var lowByte: UInt8 = 0
    private var writesHighNext = false
    private var readsHighNext = false
    /// A count is in the register but not yet in the counting element ("null count").
    private var isNull = true
    /// A complete count has been written since the control word.
    private var hasCount = false
    /// Number of ticks of a full count (1…65536).
    private(set) var period: Int64 = 65536
    /// Tick at which the counting element held the full count.
    private var start: Int64 = 0
    /// Ticks counted before a gate stopped modes 0 and 4; valid while `isPaused`.
    private var pausedAt: Int64 = 0
    private var isPaused = false
    private var latched: UInt16 = 0
    /// Bytes of the latched count still to be read.
    private var latchedBytes: UInt8 = 0
    private var status: UInt8 = 0
    private var hasStatus = false

    init(gate: Bool) { self.gate = gate }

    private static func length(_ count: UInt16, bcd: Bool) -> Int64 {
      if !bcd { return count == 0 ? 65536 : Int64(count) }
      let n = Int64(count)
      let value = (n &>> 12) * 1000 + (n &>> 8 & 15) * 100 + (n &>> 4 & 15) * 10 + (n & 15)
      return value == 0 ? 10000 : value
    }

    private var modulus: Int64 { isBCD ? 10000 : 65536 }
    private var isPeriodic: Bool { mode == 2 || mode == 3 }
    private var highLength: Int64 { mode == 3 ? (period + 1) / 2 : period - 1 }

    private func elapsed(at t: Int64) -> Int64 { isPaused ? pausedAt : t - start }

    // MARK: Loading

    private mutating func load(at tick: Int64) {
      period = Self.length(written, bcd: isBCD)
      start = tick
      isLoaded = true
      isPaused = false
      isNull = false
    }

    /// Moves a count that was written while modes 2 and 3 ran into the counting element at the end of the
    /// period (mode 3: half period) in which it was written.
    mutating func synchronise(at t: Int64) {
      guard isPeriodic, isLoaded, isNull, hasCount, t >= boundary else { return }
      let wasHigh = boundaryEndsHigh
      load(at: boundary)
      if wasHigh { start -= highLength }
    }

    /// Set when a count is written in modes 2 and 3: where it takes effect.
    private var boundary: Int64 = 0
    private var boundaryEndsHigh = false

    private mutating func schedule(at t: Int64) {
      let e = max(0, t - start)
      let phase = e % period
      boundaryEndsHigh = mode == 3 && phase < highLength
      let left = boundaryEndsHigh ? highLength - phase : period - phase
      boundary = t + left
    }

    mutating func control(_ word: UInt8) {
      let m = word &>> 1 & 7
      mode = m > 5 ? m - 4 : m
      access = word &>> 4 & 3
      isBCD = word.bit(0)
      isLoaded = false
      isPaused = false
      isNull = true
      hasCount = false
      writesHighNext = false
      readsHighNext = false
      latchedBytes = 0
      hasStatus = false
    }

    mutating func write(_ byte: UInt8, at t: Int64) {
      switch access {
      case 1: written = UInt16(byte)
      case 2: written = UInt16(byte) &<< 8
      default:
        if !writesHighNext {
          writesHighNext = true
          lowByte = byte
          // The first byte stops mode 0 and sets its output low at once.
          if mode == 0 { isLoaded = false }
          return
        }
        writesHighNext = false
        written = UInt16(byte) &<< 8 | UInt16(lowByte)
      }
      isNull = true
      hasCount = true
      switch mode {
      case 0, 4:
        load(at: t + 1)
        if !gate { pause(0) }
      case 2, 3:
        if isLoaded { schedule(at: t) } else if gate { load(at: t + 1) }
      default: break
      }
    }

    private mutating func pause(_ count: Int64) {
      isPaused = true
      pausedAt = count
    }

    mutating func setGate(_ level: Bool, at t: Int64) {
      if level == gate { return }
      synchronise(at: t)
      gate = level
      switch mode {
      case 0, 4:
        guard isLoaded else { return }
        if !level {
          pause(max(0, t - start))
        } else if isPaused {
          isPaused = false
          start = t - pausedAt
        }
      case 1, 5:
        if level, hasCount { load(at: t + 1) }
      default:
        // A low gate forces the output high; the rising edge starts over with the full count.
        if level { if hasCount { load(at: t + 1) } } else if isLoaded { pause(0) }
      }
    }

    // MARK: Output

    func out(at t: Int64) -> Bool {
      guard isLoaded else { return mode != 0 }
      let e = elapsed(at: t)
      switch mode {
      case 0: return e >= period
      case 1: return e < 0 || e >= period
      case 2, 3: return isPaused || e < 0 || e % period < highLength
      default: return e != period
      }
    }

    /// First tick after `t` at which the output may differ, or nil when it stays as it is.
    func nextChange(after t: Int64) -> Int64? {
      guard isLoaded, !isPaused else { return nil }
      let e = t - start
      switch mode {
      case 0: return e < period ? start + period : nil
      case 1: return e < 0 ? start : e < period ? start + period : nil
      case 2, 3:
        // Counts of 1 (and 0 ticks of either level) are illegal and leave the output as it is.
        if highLength <= 0 || highLength >= period { return isNull && hasCount ? max(t + 1, boundary) : nil }
        if e < 0 { return start + highLength }
        let phase = e % period
        let next = t + (phase < highLength ? highLength - phase : period - phase)
        return isNull && hasCount ? max(t + 1, min(next, boundary)) : next
      default: return e < period ? start + period : e == period ? t + 1 : nil
      }
    }

    // MARK: Reading

    private func count(at t: Int64) -> UInt16 {
      guard isLoaded else { return encode(Self.length(written, bcd: isBCD)) }
      let e = max(0, elapsed(at: t))
      switch mode {
      case 2: return encode(period - e % period)
      case 3:
        let phase = e % period
        let inHalf = phase < highLength ? phase : phase - highLength
        return encode((period & ~1) - 2 * inHalf)
      default: return encode(period - e)
      }
    }

    private func encode(_ value: Int64) -> UInt16 {
      let wrapped = ((value % modulus) + modulus) % modulus
      if !isBCD { return UInt16(truncatingIfNeeded: wrapped) }
      let digits = (wrapped / 1000) &<< 12 | (wrapped / 100 % 10) &<< 8 | (wrapped / 10 % 10) &<< 4 | wrapped % 10
      return UInt16(truncatingIfNeeded: digits)
    }

    mutating func latchCount(at t: Int64) {
      if latchedBytes != 0 { return }
      latched = count(at: t)
      latchedBytes = access == 3 ? 2 : 1
    }

    mutating func latchStatus(at t: Int64) {
      if hasStatus { return }
      hasStatus = true
      let null = isNull || (isLoaded && !isPaused && t < start)
      status = (out(at: t) ? 0x80 : 0) | (null ? 0x40 : 0) | access &<< 4 | mode &<< 1 | (isBCD ? 1 : 0)
    }

    mutating func read(at t: Int64) -> UInt8 {
      if hasStatus {
        hasStatus = false
        return status
      }
      let value: UInt16
      if latchedBytes != 0 {
        latchedBytes -= 1
        value = latched
      } else {
        value = count(at: t)
      }
      switch access {
      case 1: return UInt8(truncatingIfNeeded: value)
      case 2: return UInt8(truncatingIfNeeded: value &>> 8)
      default:
        readsHighNext.toggle()
        return UInt8(truncatingIfNeeded: readsHighNext ? value : value &>> 8)
      }
    }

    // MARK: State

    func save(to writer: inout StateWriter) {
      for byte in [mode, access, lowByte, latchedBytes, status] { writer.put(byte) }
      for flag in [gate, isLoaded, isBCD, writesHighNext, readsHighNext, isNull, hasCount, isPaused, hasStatus,
                   boundaryEndsHigh] { writer.put(flag) }
      writer.put(written)
      writer.put(latched)
      for tick in [period, start, pausedAt, boundary] { writer.put(tick) }
    }

    mutating func restore(from reader: inout StateReader) throws(StateError) {
      mode = try reader.get(UInt8.self)
      access = try reader.get(UInt8.self)
      lowByte = try reader.get(UInt8.self)
      latchedBytes = try reader.get(UInt8.self)
      status = try reader.get(UInt8.self)
      gate = try reader.getBool()
      isLoaded = try reader.getBool()
      isBCD = try reader.getBool()
      writesHighNext = try reader.getBool()
      readsHighNext = try reader.getBool()
      isNull = try reader.getBool()
      hasCount = try reader.getBool()
      isPaused = try reader.getBool()
      hasStatus = try reader.getBool()
      boundaryEndsHigh = try reader.getBool()
      written = try reader.get(UInt16.self)
      latched = try reader.get(UInt16.self)
      period = try reader.get(Int64.self)
      start = try reader.get(Int64.self)
      pausedAt = try reader.get(Int64.self)
      boundary = try reader.get(Int64.self)
      let ticks: ClosedRange<Int64> = -(1 << 61)...(1 << 61)
      guard mode <= 5, (1...65536).contains(period), [start, pausedAt, boundary].allSatisfy(ticks.contains) else {
        throw StateError("the saved state of the interval timer is damaged")
      }
    }
  }
}
