import Processor
import XenABI

/// What a test of the hypervisor looks at and sets from outside; no part of how it works.
extension Hypervisor {
  package func owner(of frame: MachineFrameNumber) -> DomainID? { frames.owner(frame) }

  /// Pseudo-physical number that the machine-to-physical table names.
  package func pseudoPhysical(of frame: MachineFrameNumber) -> UInt64 { physical(of: frame) }

  /// Frames that were given back and belong to nobody now.
  package var returnedFrames: [UInt64] { frames.returned }

  /// Longest turn of a processor, in ns: short ones let processors come between each other.
  package var turn: UInt64 {
    get { scheduler.slice }
    set { scheduler.longestTurn = max(newValue, 1) }
  }
}

extension Domain {
  /// Its own frames, lowest first.
  package var machineFrames: [MachineFrameNumber] { ownedFrames.sorted().map { MachineFrameNumber($0) } }
  package var sharedInfoFrame: MachineFrameNumber { sharedInfo }
  package var grantTableFrames: [MachineFrameNumber] { grants.frames }
  package var grantStatusFrames: [MachineFrameNumber] { grants.statusFrames }
  /// Pages that it shares with xenstore and its console's service.
  package var ringFrames: [MachineFrameNumber] { serviceFrames }
  package var grantVersion: UInt32 { grants.version }
  package var hypervisorTables: [MachineFrameNumber] { perDomainTables }
  package func isPageTable(_ frame: MachineFrameNumber) -> Bool {
    frames.isRAM(frame) && frames[frame].pointee.typeCount != 0 && frames[frame].pointee.type.isValidated
  }
}

extension VCPU {
  package var root: MachineFrameNumber { kernelRoot }
  /// Everything a guest's program can have in integer registers.
  package var registers: [UInt64] { (0..<16 as Range<UInt8>).map { cpu.gpr($0) } }
}
