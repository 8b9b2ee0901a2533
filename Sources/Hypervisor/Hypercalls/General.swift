import Processor
import X86
import XenABI

/// multicall, xen_version, console_io, vm_assist, physdev_op, set_timer_op.
extension VCPU {
  // MARK: multicall

  /// Entries of { op, result, args[6] } as unsigned longs (xen.h, struct multicall_entry).
  func multicall(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    let size = wordBytes * 8
    var done: UInt64 = 0
    let total = a[1]
    while done < total {
      if done == UInt64(Self.batch) || done > 0 && hasTakenLong { return .again([a[0] &+ done * size, total - done, 0, 0, 0, 0]) }
      let entry = a[0] &+ done * size
      let op = try loadWord(entry)
      var arguments = HypercallArguments(repeating: 0)
      for n in 0..<6 { arguments[n] = try loadWord(entry &+ wordBytes * UInt64(n + 2)) }
      if op == UInt64(Hypercall.multicall.rawValue) {
        try storeWord(entry &+ wordBytes, XenError.EINVAL.result)
        done += 1
        continue
      }
      // An iret ends the multicall: it is somewhere else then.
      switch call(UInt32(truncatingIfNeeded: op), op >> 32 == 0, arguments) {
      case .value(let result):
        try storeWord(entry &+ wordBytes, result)
        done += 1
      case .again(let next):
        for n in 0..<6 { try storeWord(entry &+ wordBytes * UInt64(n + 2), next[n]) }
        return .again([entry, total - done, 0, 0, 0, 0])
      case .done:
        return .done
      }
      if domain.state != .running { return .zero }
    }
    return .zero
  }

  // MARK: xen_version

  func xenVersion(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    func text(_ string: String, _ room: Int) throws(XenError) -> HypercallOutcome {
      var bytes = Array(string.utf8.prefix(room - 1))
      bytes += [UInt8](repeating: 0, count: room - bytes.count)
      try storeBytes(a[1], bytes)
      return .zero
    }
    switch a[0] {
    case XenVersionOp.version: return .value(UInt64(XenIdentity.major << 16 | XenIdentity.minor))
    case XenVersionOp.extraVersion: return try text(XenIdentity.extra, 16)
    case XenVersionOp.compileInfo:
      // compiler[64], compile_by[16], compile_domain[32], compile_date[32]
      var bytes = [UInt8](repeating: 0, count: 144)
      for (at, field) in [(0, "swift"), (64, "xenolith"), (80, ""), (112, "")] {
        for (n, byte) in field.utf8.enumerated() { bytes[at + n] = byte }
      }
      try storeBytes(a[1], bytes)
      return .zero
    case XenVersionOp.capabilities: return try text(XenIdentity.capabilities, 1024)
    case XenVersionOp.changeset: return try text("unavailable", 64)
    case XenVersionOp.platformParameters:
      try storeWord(a[1], hvm != nil ? 0 : domain.isCompat ? XenLayout.compatStart : XenLayout.start)
      return .zero
    case XenVersionOp.getFeatures:
      // { submap index, submap }
      let index = try load(a[1], as: UInt32.self)
      if index != 0 { throw .EINVAL }
      var features: UInt32 = 1 << UInt32(XenFeature.mmuPTUpdatePreserveAD) | 1 << UInt32(XenFeature.gnttabMapAvailBits)
        | 1 << UInt32(XenFeature.memoryOpVnodeSupported)
      if hvm != nil {
        // Neither machine frames nor checked page tables are its business.
        features = 1 << UInt32(XenFeature.writablePageTables) | 1 << UInt32(XenFeature.autoTranslatedPhysmap) | 1 << UInt32(XenFeature.hvmSafePvclock)
          | 1 << UInt32(XenFeature.hvmCallbackVector) | 1 << UInt32(XenFeature.memoryOpVnodeSupported)
      } else if domain.isCompat || domain.assists & VMAssist.extendedCR3 != 0 { features |= 1 << UInt32(XenFeature.paePGDirAbove4GB) }
      try store(a[1] &+ 4, features)
      return .zero
    case XenVersionOp.pageSize: return .value(4096)
    case XenVersionOp.guestHandle:
      try storeBytes(a[1], domain.handle)
      return .zero
    case XenVersionOp.commandLine: return try text("", 1024)
    case XenVersionOp.buildID: throw .ENODATA
    default: throw .ENOSYS
    }
  }

  // MARK: console_io

  func consoleIO(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    switch a[0] {
    case 0:
      // A count above what a console takes at once is a guest's mistake; it gets what it asked for, in pieces.
      var left = a[1], address = a[2]
      if left > 1 << 20 { throw .EINVAL }
      while left > 0 {
        let n = min(left, 4096)
        let bytes = try loadBytes(address, Int(n))
        charge(n)
        domain.writeToConsole(bytes)
        left -= n
        address &+= n
      }
      return .zero
    case 1: return .zero
    default: throw .ENOSYS
    }
  }

  // MARK: vm_assist

  /// Bits that the guest may set.
  var knownAssists: UInt64 {
    VMAssist.writablePageTables | VMAssist.extendedCR3 | VMAssist.architecturalIOPL | VMAssist.runstateUpdateFlag
      | (isCompatCall ? VMAssist.segments4GB | VMAssist.segments4GBNotify : VMAssist.m2pStrict)
  }

  func vmAssist(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    guard a[1] < 64, knownAssists >> a[1] & 1 != 0 else { throw .EINVAL }
    switch a[0] {
    case VMAssist.enable: domain.assists |= 1 << a[1]
    case VMAssist.disable: domain.assists &= ~(1 << a[1])
    default: throw .ENOSYS
    }
    return .zero
  }

  // MARK: physdev_op

  func physdevOp(_ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    switch a[0] {
    case PhysdevOp.setIOPL:
      let level = try load(a[1], as: UInt32.self)
      if level > 3 { throw .EINVAL }
      iopl = UInt8(level)
      return .zero
    case PhysdevOp.setIOBitmap:
      // No port leads anywhere, so neither does a bitmap of permitted ones.
      var reader = GuestReader(self, a[1])
      _ = try reader.word()
      if try reader.next(UInt32.self) > 65536 { throw .EINVAL }
      return .zero
    default: throw .ENOSYS
    }
  }

  // MARK: set_timer_op

  func setTimerOp(_ a: HypercallArguments) -> HypercallOutcome {
    let time = isCompatCall ? a[0] | a[1] << 32 : a[0]
    singleShot = time == 0 ? nil : domain.hostTime(ofGuest: time)
    hypervisor.timersChanged(self)
    return .zero
  }
}
