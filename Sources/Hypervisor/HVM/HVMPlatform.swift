import Devices
import Platform
import Processor
import XenABI

/// One range of a guest's physical memory as its memory map tells (types as in the ACPI specification, §15).
public struct MemoryRegion: Sendable, Equatable {
  public enum Kind: UInt32, Sendable { case ram = 1, reserved = 2, acpi = 3 }
  public var base: UInt64
  public var size: UInt64
  public var kind: Kind
}

/// What a domain with page tables of its own has of a machine: physical memory, local APICs, and Xen's parameters for it.
///
/// Not modelled, as in every PVH domain: interrupt controllers beside the local APICs, timers, ports, PCI.
final class HVMPlatform {
  let memory: GuestPhysicalSpace
  /// Its processors: in one package, under a hypervisor, without what is not modelled for guests (5-level paging is not shadowed).
  let model: CPUModel
  let clock = VirtualClock()
  let apicBus = APICBus()
  var memoryMap: [MemoryRegion] = []
  /// HVM_PARAM_*
  var parameters = [UInt64](repeating: 0, count: HVMParameter.count)
  /// Vector of the event upcall; 0 for none (HVM_PARAM_CALLBACK_IRQ, type vector).
  var callbackVector: UInt8 = 0
  /// Shadow page tables; nil where the processor walks the guest's tables itself (nested translation).
  var shadow: ShadowPaging?

  init(frames: UInt64, vcpus: Int, model: CPUModel) {
    memory = GuestPhysicalSpace(count: frames)
    self.model = model.with(adding: [.hypervisor], removing: [.monitor, .vmx, .svm, .la57], processorCount: UInt32(vcpus))
  }
}

extension Domain {
  /// The machine frame that a number of the guest's stands for: the same for a paravirtual guest, by its physical address space for others.
  func machineFrame(_ number: UInt64) throws(XenError) -> MachineFrameNumber {
    guard let hvm else { return MachineFrameNumber(number) }
    guard let frame = hvm.memory[GuestFrameNumber(number)] else { throw .EINVAL }
    return frame
  }

  /// Takes whatever is at a frame of the guest's physical address space away; memory of its own goes back.
  func clearPhysical(_ frame: GuestFrameNumber) {
    guard let hvm, let old = hvm.memory[frame] else { return }
    let kind = hvm.memory.kind(frame)
    hvm.memory.clear(frame)
    if kind != .foreign { hypervisor.setPhysical(of: old, to: ~0) }
    physicalSpaceChanged()
    if kind == .ram { _ = releaseFrame(old) }
  }

  /// Puts a page of the hypervisor's at a frame; it stands at one place at most.
  func placeShared(_ machine: MachineFrameNumber, at frame: GuestFrameNumber) throws(XenError) {
    guard let hvm, frame.rawValue < hvm.memory.count else { throw .EINVAL }
    let before = GuestFrameNumber(hypervisor.physical(of: machine))
    if hvm.memory[before] == machine, hvm.memory.kind(before) == .shared { hvm.memory.clear(before) }
    clearPhysical(frame)
    hvm.memory.set(frame, to: machine, .shared)
    hypervisor.setPhysical(of: machine, to: frame.rawValue)
    physicalSpaceChanged()
  }

  /// Takes a page of the hypervisor's out of the guest's physical address space before it goes back.
  func removeShared(_ machine: MachineFrameNumber) {
    guard let hvm else { return }
    let frame = GuestFrameNumber(hypervisor.physical(of: machine))
    if hvm.memory[frame] == machine { clearPhysical(frame) }
  }

  /// Something was taken out of the physical address space, or replaced: no translation may lead there any more.
  ///
  /// It is work for every processor of the domain, and is charged to the one that asked for it.
  func physicalSpaceChanged() {
    hypervisor.running?.charge(UInt64(vcpus.count) * VCPU.entryCost + (hvm?.shadow == nil ? VCPU.callCost : ShadowPaging.renewalCost))
    hvm?.shadow?.dropAll()
    flushAll()
  }
}
