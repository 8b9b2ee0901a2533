import Processor
import X86
import XenABI

/// Arguments of a hypercall, in order.
typealias HypercallArguments = InlineArray<6, UInt64>

/// What becomes of a hypercall that did not fail.
enum HypercallOutcome {
  case value(UInt64)
  /// It has worked long enough: the guest executes it again with these arguments, after whatever else is to be done.
  case again(HypercallArguments)
  /// It has set all registers itself.
  case done

  static let zero = HypercallOutcome.value(0)
}

/// From the instruction to the function.
extension VCPU {
  /// Entries a batched hypercall deals with before the guest is interruptible again.
  static let batch = 1024

  /// Time that a hypercall takes, and each entry of a batch, in instructions: a guest that only calls the hypervisor uses its turn up too.
  static let callCost: UInt64 = 100
  static let entryCost: UInt64 = 20
  /// Of 4 KiB that are copied or zeroed, and of a processor's translations that are dropped.
  static let pageCost: UInt64 = 300
  static let flushCost: UInt64 = 100
  /// Of an entry of a page table that is checked, or given back.
  static let checkCost: UInt64 = 10
  /// Of an exception, and of an instruction carried out for the guest.
  static let exceptionCost: UInt64 = 50
  /// Time after which a batch goes on later, so that others have their turns.
  static let longCall: UInt64 = 1_000_000

  /// Lets the work for the guest count as the guest's time.
  func charge(_ instructions: UInt64) { cpu.s.pointee.retired &+= instructions }

  /// The hypercall under way has taken as long as it may at once.
  var hasTakenLong: Bool { cpu.s.pointee.retired &- callStart > Self.longCall }

  /// SYSCALL, or the hypercall page: number in RAX; arguments in RDI, RSI, RDX, R10, R8, R9.
  func hypercall64() {
    let s = cpu.s
    let arguments: HypercallArguments = [s.pointee.rdi, s.pointee.rsi, s.pointee.rdx, s.pointee.r10, s.pointee.r8, s.pointee.r9]
    let number = s.pointee.rax
    callStart = s.pointee.retired
    switch call(UInt32(truncatingIfNeeded: number), number >> 32 == 0, arguments) {
    case .value(let value): s.pointee.rax = value
    case .again(let a):
      (s.pointee.rdi, s.pointee.rsi, s.pointee.rdx, s.pointee.r10, s.pointee.r8, s.pointee.r9) = (a[0], a[1], a[2], a[3], a[4], a[5])
      // Back to the SYSCALL, which is two bytes.
      cpu.setRIP(s.pointee.rip &- 2)
    case .done: break
    }
  }

  /// INT 82H: number in EAX; arguments in EBX, ECX, EDX, ESI, EDI, EBP.
  func hypercall32() {
    let s = cpu.s
    func low(_ v: UInt64) -> UInt64 { v & 0xFFFF_FFFF }
    let arguments: HypercallArguments = [low(s.pointee.rbx), low(s.pointee.rcx), low(s.pointee.rdx), low(s.pointee.rsi), low(s.pointee.rdi), low(s.pointee.rbp)]
    callStart = s.pointee.retired
    switch call(UInt32(truncatingIfNeeded: s.pointee.rax), true, arguments) {
    case .value(let value): s.pointee.rax = low(value)
    case .again(let a):
      (s.pointee.rbx, s.pointee.rcx, s.pointee.rdx, s.pointee.rsi, s.pointee.rdi, s.pointee.rbp) = (low(a[0]), low(a[1]), low(a[2]), low(a[3]), low(a[4]), low(a[5]))
      cpu.setRIP(s.pointee.rip &- 2)
    case .done: break
    }
  }

  /// One hypercall, traced, with its error as a value.
  func call(_ number: UInt32, _ isNumber: Bool, _ a: HypercallArguments) -> HypercallOutcome {
    charge(Self.callCost)
    let outcome: HypercallOutcome
    do throws(XenError) {
      guard isNumber, let which = Hypercall(rawValue: number), hvm == nil || Self.isForHVM(which) else { throw .ENOSYS }
      outcome = try perform(which, a)
    } catch {
      outcome = .value(error.result)
    }
    if hypervisor.trace != nil, case .value(let result) = outcome { noteHypercall(number, a, result) }
    return outcome
  }

  @inline(never)
  private func noteHypercall(_ number: UInt32, _ a: HypercallArguments, _ result: UInt64) {
    let signed = Int64(bitPattern: result)
    let error = signed < 0 ? XenError(rawValue: Int32(truncatingIfNeeded: -signed)) : nil
    hypervisor.note(
      .hypercall, domain, index, Hypercall(rawValue: number)?.name ?? "hypercall \(number)",
      traceFields(of: number, a) + [.init("result", error.map { .text("-\($0)") } ?? .number(result))])
  }

  private func perform(_ which: Hypercall, _ a: HypercallArguments) throws(XenError) -> HypercallOutcome {
    switch which {
    case .setTrapTable: try setTrapTable(a)
    case .mmuUpdate: try mmuUpdate(a)
    case .setGDT: try setGDT(a)
    case .stackSwitch: try stackSwitch(a)
    case .setCallbacks: try setCallbacks(a)
    case .fpuTaskswitch: fpuTaskswitch(a)
    case .setDebugreg: try setDebugreg(a)
    case .getDebugreg: try getDebugreg(a)
    case .updateDescriptor: try updateDescriptor(a)
    case .memoryOp: try memoryOp(a)
    case .multicall: try multicall(a)
    case .updateVAMapping: try updateVAMapping(a)
    case .setTimerOp: setTimerOp(a)
    case .xenVersion: try xenVersion(a)
    case .consoleIO: try consoleIO(a)
    case .grantTableOp: try grantTableOp(a)
    case .vmAssist: try vmAssist(a)
    case .updateVAMappingOtherdomain: try updateVAMappingOtherdomain(a)
    case .iret: try iret()
    case .vcpuOp: try vcpuOp(a)
    case .setSegmentBase: try setSegmentBase(a)
    case .mmuextOp: try mmuextOp(a)
    case .nmiOp: try nmiOp(a)
    case .schedOp: try schedOp(a)
    case .schedOpCompat: try schedOpCompat(a)
    case .callbackOp: try callbackOp(a)
    case .eventChannelOp: try eventChannelOp(a)
    case .physdevOp: try physdevOp(a)
    case .hvmOp: try hvmOp(a)
    // Only the control domain may.
    case .sysctl, .domctl, .platformOp: throw .EPERM
    case .eventChannelOpCompat, .physdevOpCompat, .xsmOp, .xenoprofOp, .kexecOp, .tmemOp, .argoOp, .xenpmuOp, .dmOp, .hypfsOp, .mca:
      throw .ENOSYS
    }
  }
}
