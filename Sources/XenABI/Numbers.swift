/// Sub-operations and constants of the hypercalls, by header.

/// xen.h, VMASST_TYPE_*; `architecturalIOPL` and the others are bits of a domain's set.
public enum VMAssist {
  public static let enable: UInt64 = 0
  public static let disable: UInt64 = 1
  public static let segments4GB: UInt64 = 1 << 0
  public static let segments4GBNotify: UInt64 = 1 << 1
  public static let writablePageTables: UInt64 = 1 << 2
  public static let extendedCR3: UInt64 = 1 << 3
  public static let architecturalIOPL: UInt64 = 1 << 4
  public static let runstateUpdateFlag: UInt64 = 1 << 5
  public static let m2pStrict: UInt64 = 1 << 32
}

/// xen.h, MMUEXT_*
public enum MMUExt: UInt32, Sendable {
  case pinL1 = 0, pinL2, pinL3, pinL4, unpin, newBasePointer, tlbFlushLocal, invlpgLocal, tlbFlushMulti, invlpgMulti
  case tlbFlushAll, invlpgAll, flushCache, setLDT
  case newUserBasePointer = 15
  case clearPage, copyPage, flushCacheGlobal, markSuper, unmarkSuper
}

/// xen.h, MMU_* in the low bits of an update's address.
public enum MMUUpdate {
  public static let normal: UInt64 = 0
  public static let machineToPhysical: UInt64 = 1
  public static let preserveAccessedDirty: UInt64 = 2
  public static let noTranslate: UInt64 = 3
}

/// xen.h, UVMF_*
public enum UVMF {
  public static let flushTypeMask: UInt64 = 3
  public static let tlbFlush: UInt64 = 1
  public static let invlpg: UInt64 = 2
  public static let all: UInt64 = 4
}

/// memory.h, XENMEM_*
public enum MemoryOp {
  public static let increaseReservation: UInt64 = 0
  public static let decreaseReservation: UInt64 = 1
  public static let maximumRAMPage: UInt64 = 2
  public static let currentReservation: UInt64 = 3
  public static let maximumReservation: UInt64 = 4
  public static let machphysMFNList: UInt64 = 5
  public static let populatePhysmap: UInt64 = 6
  public static let addToPhysmap: UInt64 = 7
  public static let memoryMap: UInt64 = 9
  public static let machineMemoryMap: UInt64 = 10
  public static let exchange: UInt64 = 11
  public static let machphysMapping: UInt64 = 12
  public static let setMemoryMap: UInt64 = 13
  public static let maximumGPFN: UInt64 = 14
  public static let removeFromPhysmap: UInt64 = 15
  public static let addToPhysmapBatch: UInt64 = 23
  public static let claimPages: UInt64 = 24
}

/// event_channel.h, EVTCHNOP_*
public enum EventChannelOp: UInt64, Sendable {
  case bindInterdomain = 0, bindVIRQ, bindPIRQ, close, send, status, allocateUnbound, bindIPI, bindVCPU, unmask, reset
  case initControl, expandArray, setPriority, resetContinue
}

/// xen.h, VIRQ_*
public enum VIRQ {
  public static let timer: UInt32 = 0
  public static let debug: UInt32 = 1
  public static let console: UInt32 = 2
  public static let count: UInt32 = 24
  /// Bound to one virtual processor each.
  public static func isPerVCPU(_ virq: UInt32) -> Bool { virq == timer || virq == debug || virq == 7 || virq == 13 }
}

/// sched.h, SCHEDOP_*
public enum SchedOp {
  public static let yield: UInt64 = 0
  public static let block: UInt64 = 1
  public static let shutdown: UInt64 = 2
  public static let poll: UInt64 = 3
  public static let remoteShutdown: UInt64 = 4
  public static let shutdownCode: UInt64 = 5
  public static let watchdog: UInt64 = 6
  public static let pinOverride: UInt64 = 7
}

/// vcpu.h, VCPUOP_*
public enum VCPUOp {
  public static let initialise: UInt64 = 0
  public static let up: UInt64 = 1
  public static let down: UInt64 = 2
  public static let isUp: UInt64 = 3
  public static let getRunstateInfo: UInt64 = 4
  public static let registerRunstateArea: UInt64 = 5
  public static let setPeriodicTimer: UInt64 = 6
  public static let stopPeriodicTimer: UInt64 = 7
  public static let setSingleshotTimer: UInt64 = 8
  public static let stopSingleshotTimer: UInt64 = 9
  public static let registerVCPUInfo: UInt64 = 10
  public static let sendNMI: UInt64 = 11
  public static let getPhysicalID: UInt64 = 12
  public static let registerTimeArea: UInt64 = 13
}

/// version.h, XENVER_*
public enum XenVersionOp {
  public static let version: UInt64 = 0
  public static let extraVersion: UInt64 = 1
  public static let compileInfo: UInt64 = 2
  public static let capabilities: UInt64 = 3
  public static let changeset: UInt64 = 4
  public static let platformParameters: UInt64 = 5
  public static let getFeatures: UInt64 = 6
  public static let pageSize: UInt64 = 7
  public static let guestHandle: UInt64 = 8
  public static let commandLine: UInt64 = 9
  public static let buildID: UInt64 = 10
}

/// features.h, XENFEAT_*: bit numbers.
public enum XenFeature {
  public static let writablePageTables = 0
  public static let writableDescriptorTables = 1
  public static let autoTranslatedPhysmap = 2
  public static let supervisorModeKernel = 3
  public static let paePGDirAbove4GB = 4
  public static let mmuPTUpdatePreserveAD = 5
  public static let highmemAssist = 6
  public static let gnttabMapAvailBits = 7
  public static let hvmCallbackVector = 8
  public static let hvmSafePvclock = 9
  public static let hvmPIRQs = 10
  public static let dom0 = 11
  public static let memoryOpVnodeSupported = 13
  public static let linuxRSDPUnrestricted = 15
}

/// callback.h, CALLBACKTYPE_*
public enum CallbackType: UInt16, Sendable {
  case event = 0, failsafe, syscall, sysenterDeprecated, nmi, sysenter
  case syscall32 = 7
}

/// physdev.h, PHYSDEVOP_*
public enum PhysdevOp {
  public static let irqStatusQuery: UInt64 = 5
  public static let setIOPL: UInt64 = 6
  public static let setIOBitmap: UInt64 = 7
  public static let pirqEOIGmfn1: UInt64 = 17
  public static let pirqEOIGmfn2: UInt64 = 28
}

/// grant_table.h, GNTTABOP_*
public enum GrantTableOp: UInt64, Sendable {
  case mapGrantRef = 0, unmapGrantRef, setupTable, dumpTable, transfer, copy, querySize, unmapAndReplace, setVersion
  case getStatusFrames, getVersion, swapGrantRef, cacheFlush
}

/// elfnote.h and sched.h have their own places; these are the reasons of a runstate (vcpu.h, RUNSTATE_*).
public enum RunStateKind: Int, Sendable {
  case running = 0, runnable, blocked, offline
}
