import Processor
import X86
import X86Decoder
import XenABI

/// Bytes of code from a guest's RIP on, as many as could be read, with zeros behind them.
struct CodeBytes {
  var content = InlineArray<32, UInt8>(repeating: 0)
  var count = 0
}

/// Privileged instructions of a guest's kernel, which faults because it has lost its privilege, carried out as Xen does.
///
/// Not modelled: I/O permission bitmaps are read, but no port leads anywhere; call gates of 32-bit guests.
extension VCPU {
  /// The instruction at RIP, or at an offset behind it; nil where its bytes cannot be read or are none.
  func decode(at offset: UInt64 = 0) -> (instruction: Instruction, bytes: CodeBytes)? {
    let s = cpu.s
    let linear = s.pointee.codeSize == .bits64 ? s.pointee.rip &+ offset : (s.pointee.rip &+ offset &+ s.pointee.cs.base) & 0xFFFF_FFFF
    var bytes = CodeBytes()
    // The second page may be out of reach.
    let first = min(15, Int(4096 - (linear & 0xFFF)))
    bytes.count = withUnsafeMutableBytes(of: &bytes.content) { b in
      var available = 0
      do throws(XenError) {
        try copyIn(linear, b.baseAddress!, first)
        available = first
        if first < 15 { try copyIn(linear &+ UInt64(first), b.baseAddress! + first, 15 - first) }
        available = 15
      } catch {}
      return available
    }
    if bytes.count == 0 { return nil }
    let available = bytes.count
    let instruction = withUnsafeBytes(of: &bytes.content) { Decoder.decode($0.baseAddress!, available: available, codeSize: s.pointee.codeSize) }
    return instruction.mnemonic == .invalid ? nil : (instruction, bytes)
  }

  /// Xen's forced-emulation prefix (UD2, "xen") before CPUID: the guest asks for the hypervisor's answer.
  func emulateForced() -> Bool {
    let prefix: InlineArray<7, UInt8> = [0x0F, 0x0B, 0x78, 0x65, 0x6E, 0x0F, 0xA2]
    guard let (first, bytes) = decode(), first.mnemonic == .UD2, bytes.count >= 7,
          prefix.indices.allSatisfy({ bytes.content[$0] == prefix[$0] }) else { return false }
    identify()
    cpu.setRIP(cpu.s.pointee.rip &+ 7)
    return true
  }

  /// CPUID as the hypervisor wants the guest to see the processor.
  func identify() {
    let s = cpu.s
    let r = GuestCPUID.leaf(UInt32(truncatingIfNeeded: s.pointee.rax), UInt32(truncatingIfNeeded: s.pointee.rcx), self)
    s.pointee.rax = UInt64(r.eax)
    s.pointee.rbx = UInt64(r.ebx)
    s.pointee.rcx = UInt64(r.ecx)
    s.pointee.rdx = UInt64(r.edx)
  }

  /// Whether the guest's I/O privilege covers what it does.
  private var hasIOPL: Bool {
    let privilege: UInt8 = isGuestKernel ? (domain.assists & VMAssist.architecturalIOPL != 0 ? 0 : 1) : 3
    return privilege <= iopl
  }

  /// Carries out the instruction at RIP if it is one that the guest's kernel may use; false means #GP for the guest.
  func emulatePrivileged() -> Bool {
    guard let (i, _) = decode() else { return false }
    let s = cpu.s
    let next = (s.pointee.rip &+ UInt64(i.length)) & (s.pointee.codeSize == .bits64 ? ~0 : 0xFFFF_FFFF)
    switch i.mnemonic {
    case .CLI, .STI:
      // Accepted and without effect, as with Xen: what POPF would do later could not be seen.
      if !hasIOPL { return false }
    case .IN, .OUT, .INSB, .INSW, .INSD, .OUTSB, .OUTSW, .OUTSD:
      return emulatePort(i, next)
    case .CPUID:
      identify()
    case .RDTSC, .RDTSCP:
      if !isGuestKernel, i.mnemonic == .RDTSC, s.pointee.cr4 & CR4.TSD == 0 { return false }
      s.pointee.rax = cpu.readTSC() & 0xFFFF_FFFF
      s.pointee.rdx = cpu.readTSC() &>> 32
      if i.mnemonic == .RDTSCP { s.pointee.rcx = s.pointee.tscAux & 0xFFFF_FFFF }
    default:
      if !isGuestKernel || !emulateKernelOnly(i) { return false }
    }
    cpu.setRIP(next)
    retireFlags()
    return true
  }

  /// An emulated instruction ends like any other: RF is cleared.
  func retireFlags() { cpu.s.pointee.systemFlags &= ~RFLAGS.RF }

  private func emulateKernelOnly(_ i: Instruction) -> Bool {
    let s = cpu.s
    switch i.mnemonic {
    case .CLTS:
      setTaskSwitched(false)
    case .WBINVD:
      break
    case .RDMSR:
      guard let value = readMSR(UInt32(truncatingIfNeeded: s.pointee.rcx)) else { return false }
      s.pointee.rax = value & 0xFFFF_FFFF
      s.pointee.rdx = value &>> 32
    case .WRMSR:
      let value = (s.pointee.rdx &<< 32) | (s.pointee.rax & 0xFFFF_FFFF)
      return writeMSR(UInt32(truncatingIfNeeded: s.pointee.rcx), value)
    case .XSETBV:
      if UInt32(truncatingIfNeeded: s.pointee.rcx) != 0 { return false }
      do throws(Fault) {
        try cpu.setXCR0((s.pointee.rdx &<< 32) | (s.pointee.rax & 0xFFFF_FFFF))
      } catch {
        return false
      }
    case .MOV:
      if i.op0.kind == .control { return writeControl(i.op0.register, cpu.gpr(i.op1.register)) }
      if i.op1.kind == .control {
        guard let value = readControl(i.op1.register) else { return false }
        cpu.setRegister(i.op0.register, size: domain.isCompat ? 4 : 8, value)
        return true
      }
      if i.op0.kind == .debug { return setDebugRegister(i.op0.register, cpu.gpr(i.op1.register)) }
      if i.op1.kind == .debug {
        guard let value = debugRegister(i.op1.register) else { return false }
        cpu.setRegister(i.op0.register, size: domain.isCompat ? 4 : 8, value)
        return true
      }
      return false
    default:
      return false
    }
    return true
  }

  // MARK: Ports

  private func emulatePort(_ i: Instruction, _ next: UInt64) -> Bool {
    if !hasIOPL { return false }
    // No port leads anywhere: what is read is ones, what is written is gone.
    switch i.mnemonic {
    case .IN:
      let size = i.op0.size
      cpu.setRegister(0, size: size, size == 8 ? ~0 : (1 &<< (UInt64(size) * 8)) &- 1)
    case .OUT:
      break
    default:
      return emulateStringPort(i, next)
    }
    cpu.setRIP(next)
    return true
  }

  /// INS and OUTS, with REP one iteration at a time.
  private func emulateStringPort(_ i: Instruction, _ next: UInt64) -> Bool {
    let s = cpu.s
    let mask: UInt64 = i.addressSize == 8 ? ~0 : i.addressSize == 4 ? 0xFFFF_FFFF : 0xFFFF
    let repeats = !i.prefixes.isDisjoint(with: [.rep, .repne])
    if repeats, s.pointee.rcx & mask == 0 {
      cpu.setRIP(next)
      return true
    }
    let size = UInt64(i.operandSize)
    let step = s.pointee.systemFlags & RFLAGS.DF != 0 ? 0 &- size : size
    do throws(Fault) {
      if i.mnemonic == .INSB || i.mnemonic == .INSW || i.mnemonic == .INSD {
        let at = s.pointee.rdi & mask
        switch size {
        case 1: try cpu.store8(.es, at, 0xFF)
        case 2: try cpu.store16(.es, at, 0xFFFF)
        default: try cpu.store32(.es, at, 0xFFFF_FFFF)
        }
        cpu.setRegister(7, size: i.addressSize, (at &+ step) & mask)
      } else {
        let at = s.pointee.rsi & mask
        switch size {
        case 1: _ = try cpu.load8(i.segment, at)
        case 2: _ = try cpu.load16(i.segment, at)
        default: _ = try cpu.load32(i.segment, at)
        }
        cpu.setRegister(6, size: i.addressSize, (at &+ step) & mask)
      }
    } catch {
      if error.vector == Vector.PF.rawValue {
        faultAddress = s.pointee.cr2
        inject(error.vector, errorCode: (error.errorCode & ~4) | (isGuestKernel ? 0 : 4), returnRIP: s.pointee.rip)
      } else {
        inject(error.vector, errorCode: error.hasErrorCode ? error.errorCode : nil, returnRIP: s.pointee.rip)
      }
      return true
    }
    if repeats {
      let count = (s.pointee.rcx &- 1) & mask
      cpu.setRegister(1, size: i.addressSize, count)
      if count != 0 { return true }
    }
    cpu.setRIP(next)
    return true
  }

  // MARK: Control registers

  private func readControl(_ n: UInt8) -> UInt64? {
    switch n {
    case 0: return (cpu.s.pointee.cr0 & ~CR0.TS) | (controlRegister0 & CR0.TS)
    case 2: return faultAddress
    case 3: return domain.isCompat ? compatCR3(kernelRoot) : kernelRoot.address
    case 4: return guestCR4
    default: return nil
    }
  }

  private func writeControl(_ n: UInt8, _ value: UInt64) -> Bool {
    switch n {
    case 0:
      // Nothing but TS is the guest's.
      if (value ^ cpu.s.pointee.cr0) & ~CR0.TS != 0 { return false }
      setTaskSwitched(value & CR0.TS != 0)
    case 2:
      faultAddress = value
    case 3:
      let frame = domain.isCompat ? MachineFrameNumber(XenLayout.compatRoot(value)) : MachineFrameNumber((value & PTE.address) &>> 12)
      do throws(XenError) { try domain.loadRoot(frame, self) } catch { return false }
    case 4:
      setGuestCR4(value)
    default:
      return false
    }
    return true
  }

  /// A PAE root above 4 GiB is written with its upper bits in front (xen-x86_32.h, xen_pfn_to_cr3).
  private func compatCR3(_ frame: MachineFrameNumber) -> UInt64 {
    ((frame.rawValue &<< 12) & 0xFFFF_FFFF) | (frame.rawValue &>> 20)
  }

  /// CR4 bits the guest may change: the rest is as the processor's.
  private static let ownCR4 = CR4.TSD | CR4.DE | CR4.FSGSBASE | CR4.OSXSAVE

  private var guestCR4: UInt64 { cpu.s.pointee.cr4 & ~(CR4.PGE | CR4.PCIDE) }

  func setGuestCR4(_ value: UInt64) {
    let s = cpu.s
    let known = cpu.knownCR4 & Self.ownCR4
    let new = (s.pointee.cr4 & ~Self.ownCR4) | (value & known)
    do throws(Fault) { try cpu.setCR4(new) } catch {}
  }

  // MARK: Model-specific registers

  private func readMSR(_ index: UInt32) -> UInt64? {
    let s = cpu.s
    switch index {
    case MSR.apicBase: return 0xFEE0_0800 | (self.index == 0 ? 0x100 : 0)
    case MSR.fsBase: return domain.isCompat ? nil : s.pointee.fs.base
    case MSR.gsBase: return domain.isCompat ? nil : s.pointee.gs.base
    case MSR.kernelGSBase: return domain.isCompat ? nil : s.pointee.kernelGSBase
    case MSR.timeStampCounter: return cpu.readTSC()
    case MSR.efer: return s.pointee.efer & (domain.isCompat ? ~(EFER.LME | EFER.LMA) : ~0)
    case MSR.pat: return Self.xenPAT
    case MSR.tscAux: return s.pointee.tscAux
    case MSR.miscEnable: return cpu.readMSR(index)
    case MSR.platformID, MSR.microcodeRevision: return cpu.readMSR(index)
    case MSR.archCapabilities: return cpu.readMSR(index)
    case MSR.machineCheckCapabilities, MSR.machineCheckStatus: return 0
    default: return nil
    }
  }

  /// Memory types as Xen sets them: WB, WT, UC-, UC, WC, WP, UC, UC.
  private static let xenPAT: UInt64 = 0x0000_0501_0007_0406

  private func writeMSR(_ index: UInt32, _ value: UInt64) -> Bool {
    let s = cpu.s
    let canonical = XenLayout.isCanonical(value)
    switch index {
    case MSR.fsBase where !domain.isCompat && canonical: s.pointee.fs.base = value
    case MSR.gsBase where !domain.isCompat && canonical: s.pointee.gs.base = value
    case MSR.kernelGSBase where !domain.isCompat && canonical: s.pointee.kernelGSBase = value
    case MSR.efer: return value == readMSR(index)
    case MSR.miscEnable: return value == readMSR(index)
    case MSR.microcodeUpdate, MSR.microcodeRevision: break
    default: return false
    }
    return true
  }

  // MARK: Debug registers

  func debugRegister(_ n: UInt8) -> UInt64? {
    switch n {
    case 0...3: return cpu.debugRegister(n)
    case 4, 6:
      if n == 4, cpu.s.pointee.cr4 & CR4.DE != 0 { return nil }
      return cpu.debugRegister(6)
    case 5, 7:
      if n == 5, cpu.s.pointee.cr4 & CR4.DE != 0 { return nil }
      return cpu.debugRegister(7)
    default: return nil
    }
  }

  /// Refuses what would let the guest see the hypervisor: breakpoints in its addresses, general detection, 8-byte I/O.
  func setDebugRegister(_ n: UInt8, _ value: UInt64) -> Bool {
    switch n {
    case 0...3:
      if domain.isCompat ? value >> 32 != 0 : !XenLayout.isGuest(value) { return false }
      cpu.setDebugRegister(n, value)
    case 4 where cpu.s.pointee.cr4 & CR4.DE == 0, 6:
      if value >> 32 != 0 { return false }
      cpu.setDebugRegister(6, (value & 0xE00F) | 0xFFFF_0FF0)
    case 5 where cpu.s.pointee.cr4 & CR4.DE == 0, 7:
      if value >> 32 != 0 { return false }
      var control = (value & ~0xD800) | 0x400
      if control & 0xFF != 0 {
        if control & DR7.gd != 0 { return false }
        for n in 0..<4 as Range<UInt64> where (control >> (n * 2)) & 3 != 0 {
          // I/O breakpoints need CR4.DE.
          if (control >> (16 + n * 4)) & 3 == 2, cpu.s.pointee.cr4 & CR4.DE == 0 { return false }
        }
      } else {
        control &= ~DR7.gd
      }
      cpu.setDebugRegister(7, control)
    default:
      return false
    }
    return true
  }
}
