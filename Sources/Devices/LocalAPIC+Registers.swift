/// Register access to the local APIC: memory-mapped (SDM vol. 3A table 11-1) and by MSR (table 11-6).

import Platform

extension LocalAPIC {
  private enum Register {
    static let id = 0x02, version = 0x03, taskPriority = 0x08, arbitration = 0x09, processorPriority = 0x0A
    static let endOfInterrupt = 0x0B, logicalDestination = 0x0D, destinationFormat = 0x0E, spurious = 0x0F
    static let inService = 0x10, trigger = 0x18, request = 0x20, error = 0x28
    static let commandLow = 0x30, commandHigh = 0x31
    static let vectors = 0x32, lastVector = 0x37
    static let timerInitial = 0x38, timerCurrent = 0x39, timerDivide = 0x3E, selfIPI = 0x3F
  }

  public static let apicBaseMSR: UInt32 = 0x1B
  public static let tscDeadlineMSR: UInt32 = 0x6E0
  public static let x2APICMSRs: ClosedRange<UInt32> = 0x800...0x8FF

  // MARK: Common registers, by number (MMIO offset >> 4)

  private func readRegister(_ n: Int) -> UInt32? {
    switch n {
    case Register.id: return isX2APIC ? id : id << 24
    case Register.version: return Self.version
    case Register.taskPriority: return UInt32(taskPriority)
    case Register.arbitration: return isX2APIC ? nil : UInt32(processorPriority)
    case Register.processorPriority: return UInt32(processorPriority)
    case Register.endOfInterrupt: return isX2APIC ? nil : 0
    case Register.logicalDestination: return isX2APIC ? x2LogicalID : logicalDestination
    case Register.destinationFormat: return isX2APIC ? nil : destinationFormat
    case Register.spurious: return spuriousVector
    case Register.inService..<Register.inService + 8: return inService[n - Register.inService]
    case Register.trigger..<Register.trigger + 8: return levelTriggered[n - Register.trigger]
    case Register.request..<Register.request + 8: return requests[n - Register.request]
    case Register.error: return visibleErrors
    case Register.commandLow: return commandLow
    case Register.commandHigh: return isX2APIC ? nil : commandHigh
    case Register.vectors...Register.lastVector: return vectorTable[n - Register.vectors]
    case Register.timerInitial: return timerInitial
    case Register.timerCurrent: return timerCount
    case Register.timerDivide: return timerDivide
    default: return nil
    }
  }

  /// Returns false for a register that is not there or cannot be written.
  private func writeRegister(_ n: Int, _ value: UInt32) -> Bool {
    switch n {
    case Register.id: return !isX2APIC  // Read-only here; system software does not change it.
    case Register.taskPriority:
      taskPriority = UInt8(truncatingIfNeeded: value)
      update()
    case Register.endOfInterrupt: endOfInterrupt()
    case Register.logicalDestination:
      if isX2APIC { return false }
      logicalDestination = value & 0xFF00_0000
    case Register.destinationFormat:
      if isX2APIC { return false }
      destinationFormat = value | 0x0FFF_FFFF
    case Register.spurious: writeSpurious(value)
    case Register.error:
      visibleErrors = errors
      errors = 0
    case Register.commandLow:
      commandLow = value & 0xC_CFFF
      sendCommand()
    case Register.commandHigh:
      if isX2APIC { return false }
      commandHigh = value & 0xFF00_0000
    case Register.vectors...Register.lastVector: writeVector(n - Register.vectors, value)
    case Register.timerInitial: writeTimerInitial(value)
    case Register.timerDivide: writeTimerDivide(value)
    default: return false
    }
    return true
  }

  private func writeSpurious(_ value: UInt32) {
    spuriousVector = value & 0x3FF
    // A software-disabled APIC has all its LVT entries masked (SDM vol. 3A §11.4.7.2).
    if !spuriousVector.bit(8) {
      for n in vectorTable.indices { vectorTable[n] |= Self.lvtMask }
    }
    update()
  }

  /// Writable bits of the LVT entries: vector, then delivery mode, polarity, trigger, mask and timer mode as each has them.
  private static let vectorBits: [UInt32] = [0x7_00FF, 0x1_07FF, 0x1_07FF, 0x1_A7FF, 0x1_A7FF, 0x1_00FF]

  private func writeVector(_ n: Int, _ value: UInt32) {
    var entry = value & Self.vectorBits[n]
    if !spuriousVector.bit(8) { entry |= Self.lvtMask }
    switch LocalVector(rawValue: n) {
    case .timer: writeTimerVector(entry)
    case .lint0:
      if entry.bit(15) { entry |= vectorTable[n] & Self.lvtRemoteIRR }
      vectorTable[n] = entry
      serviceLevelLINT0()
    default: vectorTable[n] = entry
    }
    update()
  }

  // MARK: Interrupt command (SDM vol. 3A §11.6.1)

  private func sendCommand() {
    guard let mode = APICMessage.Mode(rawValue: UInt8(commandLow >> 8 & 7)), mode != .external else { return }
    let vector = UInt8(truncatingIfNeeded: commandLow)
    let isLevel = commandLow.bit(15)
    // INIT level de-assert only synchronises arbitration IDs.
    if mode == .initialise, isLevel, !commandLow.bit(14) { return }
    if mode == .fixed || mode == .lowestPriority, vector < 16 { return raise(ErrorBit.sendIllegalVector) }
    let destination: APICMessage.Destination
    switch commandLow >> 18 & 3 {
    case 0:
      let isLogical = commandLow.bit(11)
      destination = isX2APIC
        ? APICMessage.Destination(wide: commandHigh, isLogical: isLogical)
        : APICMessage.Destination(narrow: UInt8(commandHigh >> 24), isLogical: isLogical)
    case 1:
      // Only fixed delivery is allowed to oneself by shorthand.
      if mode == .fixed { request(vector, isLevel: false) }
      return
    case 2: destination = .everyone
    default: destination = .everyoneBut(id)
    }
    // The trigger mode of an IPI is always edge (§11.6.1, note on the trigger mode flag).
    bus.deliver(APICMessage(vector: vector, mode: mode, destination: destination))
  }

  // MARK: Memory-mapped access

  public func readMemory(_ offset: UInt64, size: Int) -> UInt64 {
    guard isEnabled, !isX2APIC else { return allOnes(size) }
    guard let value = readRegister(Int(offset >> 4 & 0xFF)) else {
      raise(ErrorBit.illegalRegister)
      return 0
    }
    // Bytes 4–15 of each 16-byte slot are reserved.
    return offset & 15 < 4 ? UInt64(value) >> ((offset & 3) * 8) & allOnes(size) : 0
  }

  public func writeMemory(_ offset: UInt64, _ value: UInt64, size: Int) {
    guard isEnabled, !isX2APIC, offset & 15 == 0 else { return }
    if !writeRegister(Int(offset >> 4 & 0xFF), UInt32(truncatingIfNeeded: value)) { raise(ErrorBit.illegalRegister) }
  }

  // MARK: MSRs

  /// Reads IA32_APIC_BASE, IA32_TSC_DEADLINE or an x2APIC register. nil stands for #GP(0).
  public func readMSR(_ index: UInt32) -> UInt64? {
    switch index {
    case Self.apicBaseMSR: return base
    case Self.tscDeadlineMSR: return tscDeadline
    case Self.x2APICMSRs:
      guard isEnabled, isX2APIC else { return nil }
      let n = Int(index - 0x800)
      if n == Register.commandLow { return UInt64(commandHigh) << 32 | UInt64(commandLow) }
      return readRegister(n).map(UInt64.init)
    default: return nil
    }
  }

  /// Writes one of the same MSRs. Returns false for #GP(0).
  public func writeMSR(_ index: UInt32, _ value: UInt64) -> Bool {
    switch index {
    case Self.apicBaseMSR: return writeBase(value)
    case Self.tscDeadlineMSR:
      writeTSCDeadline(value)
      return true
    case Self.x2APICMSRs:
      guard isEnabled, isX2APIC else { return false }
      return writeX2(Int(index - 0x800), value)
    default: return false
    }
  }

  private func writeX2(_ n: Int, _ value: UInt64) -> Bool {
    let low = UInt32(truncatingIfNeeded: value)
    let allowed: UInt64
    switch n {
    case Register.taskPriority: allowed = 0xFF
    case Register.endOfInterrupt, Register.error: allowed = 0
    case Register.spurious: allowed = 0x3FF
    case Register.vectors...Register.lastVector: allowed = UInt64(Self.vectorBits[n - Register.vectors]) | 0x5000
    case Register.timerInitial: allowed = 0xFFFF_FFFF
    case Register.timerDivide: allowed = 0xB
    case Register.commandLow:
      if low & 0xFFF3_3000 != 0 { return false }
      commandHigh = UInt32(value >> 32)
      return writeRegister(n, low)
    case Register.selfIPI:
      if value > 0xFF { return false }
      if value < 16 { raise(ErrorBit.sendIllegalVector) } else { request(UInt8(value), isLevel: false) }
      return true
    default: return false
    }
    return value & ~allowed == 0 && writeRegister(n, low)
  }

  /// State transitions of SDM vol. 3A §11.12.5 (figure 11-27).
  private func writeBase(_ value: UInt64) -> Bool {
    let addressBits: UInt64 = 0x000F_FFFF_FFFF_F000
    guard value & ~(addressBits | 0xD00) == 0 else { return false }
    let (enable, extended) = (value.bit(11), value.bit(10))
    if extended, !enable { return false }
    if isX2APIC, enable, !extended { return false }
    if !isEnabled, extended { return false }
    // The BSP flag belongs to the processor.
    let new = value & ~0x100 | (isBootstrap ? 0x100 : 0)
    if new == base { return true }
    let wasX2APIC = isX2APIC
    base = new
    if !enable {
      resetRegisters()
    } else if extended, !wasX2APIC {
      // The logical ID is derived from now on, and the command's destination has another format.
      commandHigh = 0
    }
    onBaseChange?(base)
    update()
    return true
  }
}
