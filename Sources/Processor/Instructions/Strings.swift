import X86
import X86Decoder

/// String instructions (SDM vol. 1 §7.3.9) in all element and address sizes. INS and OUTS are with the port instructions.
///
/// A REP executes at most `budget` iterations at a time and then asks to be executed again. A fault in a later iteration also
/// ends the run early: the iterations before it are committed and counted, and the repeated instruction raises the fault
/// anew as its first. So the outcome does not depend on where the run was cut.
extension CPU {
  func MOVSB(_ i: borrowing Instruction) throws(Fault) { try moveString(i, 1) }
  func MOVSW(_ i: borrowing Instruction) throws(Fault) { try moveString(i, 2) }
  func MOVSD_STR(_ i: borrowing Instruction) throws(Fault) { try moveString(i, 4) }
  func MOVSQ(_ i: borrowing Instruction) throws(Fault) { try moveString(i, 8) }

  func CMPSB(_ i: borrowing Instruction) throws(Fault) { try compareStrings(i, 1) }
  func CMPSW(_ i: borrowing Instruction) throws(Fault) { try compareStrings(i, 2) }
  func CMPSD_STR(_ i: borrowing Instruction) throws(Fault) { try compareStrings(i, 4) }
  func CMPSQ(_ i: borrowing Instruction) throws(Fault) { try compareStrings(i, 8) }

  func STOSB(_ i: borrowing Instruction) throws(Fault) { try storeString(i, 1) }
  func STOSW(_ i: borrowing Instruction) throws(Fault) { try storeString(i, 2) }
  func STOSD(_ i: borrowing Instruction) throws(Fault) { try storeString(i, 4) }
  func STOSQ(_ i: borrowing Instruction) throws(Fault) { try storeString(i, 8) }

  func LODSB(_ i: borrowing Instruction) throws(Fault) { try loadString(i, 1) }
  func LODSW(_ i: borrowing Instruction) throws(Fault) { try loadString(i, 2) }
  func LODSD(_ i: borrowing Instruction) throws(Fault) { try loadString(i, 4) }
  func LODSQ(_ i: borrowing Instruction) throws(Fault) { try loadString(i, 8) }

  func SCASB(_ i: borrowing Instruction) throws(Fault) { try scanString(i, 1) }
  func SCASW(_ i: borrowing Instruction) throws(Fault) { try scanString(i, 2) }
  func SCASD(_ i: borrowing Instruction) throws(Fault) { try scanString(i, 4) }
  func SCASQ(_ i: borrowing Instruction) throws(Fault) { try scanString(i, 8) }

  // MARK: The loop

  /// How a string instruction goes through memory.
  struct StringRun {
    /// Offsets in the source segment and in ES.
    var source: UInt64
    var destination: UInt64
    let mask: UInt64
    /// Element size in bytes, and the signed distance to the next element.
    let size: UInt8
    let step: UInt64
    /// For CMPS and SCAS: value of ZF for which REPE or REPNE goes on; nil without a condition.
    let continueWhileEqual: Bool?
    /// The condition ended the repetition.
    var ended = false

    var backward: Bool { Int64(bitPattern: step) < 0 }

    @inline(__always)
    mutating func advanceSource(_ n: Int) {
      source = (source &+ step &* UInt64(truncatingIfNeeded: n)) & mask
    }

    @inline(__always)
    mutating func advanceDestination(_ n: Int) {
      destination = (destination &+ step &* UInt64(truncatingIfNeeded: n)) & mask
    }
  }

  /// Calls `elements` for one or more elements at a time until the count, the budget or the condition ends the run, then
  /// commits RCX, RSI and RDI. `elements` gets the most it may do and returns what it did; it advances the run.
  @inline(__always)
  private func runString(
    _ i: borrowing Instruction, _ size: UInt8, source: Bool, destination: Bool, conditional: Bool,
    _ elements: (inout StringRun, Int) throws(Fault) -> Int
  ) throws(Fault) {
    let mask = addressSizeMask(i), addressSize = i.addressSize
    let repeats = !i.prefixes.isDisjoint(with: [.rep, .repne])
    let step = s.pointee.systemFlags & RFLAGS.DF != 0 ? 0 &- UInt64(size) : UInt64(size)
    var run = StringRun(
      source: s.pointee.rsi & mask, destination: s.pointee.rdi & mask, mask: mask, size: size, step: step,
      continueWhileEqual: conditional && repeats ? i.prefixes.contains(.rep) : nil)
    var done = 0
    if repeats {
      let count = s.pointee.rcx & mask
      // With a count of zero not even the upper halves of the registers change.
      if count == 0 { return }
      let limit = Int(truncatingIfNeeded: min(count, UInt64(max(s.pointee.budget, 1))))
      // Devices see the time of each iteration, wherever the run was cut.
      let begin = s.pointee.retired
      do throws(Fault) {
        repeat {
          s.pointee.retired = begin &+ UInt64(truncatingIfNeeded: done)
          done &+= try elements(&run, limit &- done)
          // A device or a data breakpoint wants attention between iterations.
          if s.pointee.exitRequest != 0 || s.pointee.pendingDebug != 0 { break }
        } while done < limit && !run.ended
      } catch {
        if done == 0 { throw error }
      }
      s.pointee.retired = begin
      let left = count &- UInt64(truncatingIfNeeded: done)
      setRegister(1, size: addressSize, left)
      s.pointee.retireWeight = UInt64(truncatingIfNeeded: done)
      if left != 0, !run.ended { s.pointee.nextRIP = s.pointee.rip }
    } else {
      _ = try elements(&run, 1)
    }
    if source { setRegister(6, size: addressSize, run.source) }
    if destination { setRegister(7, size: addressSize, run.destination) }
  }

  // MARK: The five instructions

  private func moveString(_ i: borrowing Instruction, _ size: UInt8) throws(Fault) {
    let segment = i.segment
    try runString(i, size, source: true, destination: true, conditional: false) { run, most throws(Fault) in
      if most > 1 {
        let n = bulkMove(run, segment, most)
        if n > 0 {
          run.advanceSource(n)
          run.advanceDestination(n)
          return n
        }
      }
      try store(.es, run.destination, load(segment, run.source, size: size), size: size)
      run.advanceSource(1)
      run.advanceDestination(1)
      return 1
    }
  }

  private func storeString(_ i: borrowing Instruction, _ size: UInt8) throws(Fault) {
    let value = s.pointee.rax
    try runString(i, size, source: false, destination: true, conditional: false) { run, most throws(Fault) in
      if most > 1 {
        let n = bulkFill(run, value, most)
        if n > 0 {
          run.advanceDestination(n)
          return n
        }
      }
      try store(.es, run.destination, value, size: size)
      run.advanceDestination(1)
      return 1
    }
  }

  private func loadString(_ i: borrowing Instruction, _ size: UInt8) throws(Fault) {
    let segment = i.segment
    try runString(i, size, source: true, destination: false, conditional: false) { run, _ throws(Fault) in
      setRegister(0, size: size, try load(segment, run.source, size: size))
      run.advanceSource(1)
      return 1
    }
  }

  private func compareStrings(_ i: borrowing Instruction, _ size: UInt8) throws(Fault) {
    let segment = i.segment
    try runString(i, size, source: true, destination: true, conditional: true) { run, most throws(Fault) in
      if most > 1 {
        let n = bulkCompare(&run, segment, most)
        if n > 0 {
          run.advanceSource(n)
          run.advanceDestination(n)
          return n
        }
      }
      let a = try load(segment, run.source, size: size)
      let b = try load(.es, run.destination, size: size)
      setFlagsSub(a &- b, a, size)
      run.ended = run.continueWhileEqual == (a != b)
      run.advanceSource(1)
      run.advanceDestination(1)
      return 1
    }
  }

  private func scanString(_ i: borrowing Instruction, _ size: UInt8) throws(Fault) {
    let a = register(0, size: size)
    try runString(i, size, source: false, destination: true, conditional: true) { run, most throws(Fault) in
      if most > 1 {
        let n = bulkScan(&run, a, most)
        if n > 0 {
          run.advanceDestination(n)
          return n
        }
      }
      let b = try load(.es, run.destination, size: size)
      setFlagsSub(a &- b, a, size)
      run.ended = run.continueWhileEqual == (a != b)
      run.advanceDestination(1)
      return 1
    }
  }
}
