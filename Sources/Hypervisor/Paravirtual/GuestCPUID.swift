import Processor
import XenABI

/// The processor as a guest is told it is: the model, for a paravirtual guest without what only a kernel in ring 0 could use, and Xen's
/// own leaves (xen/include/public/arch-x86/cpuid.h).
enum GuestCPUID {
  static let xenLeaf: UInt32 = 0x4000_0000

  static func leaf(_ leaf: UInt32, _ subleaf: UInt32, _ vcpu: VCPU) -> CPUIDResult {
    if leaf & 0xFFFF_FF00 == xenLeaf { return xen(leaf & 0xFF, subleaf, vcpu) }
    var r = vcpu.cpu.cpuid(leaf: leaf, subleaf: subleaf)
    switch leaf {
    case 1:
      // VME, PSE, PGE, PSE-36, MTRR; MONITOR, VMX, PCID, x2APIC, TSC deadline are not for it. There is a hypervisor.
      r.edx &= ~(1 << 1 | 1 << 3 | 1 << 12 | 1 << 13 | 1 << 17)
      r.ecx &= ~(1 << 3 | 1 << 5 | 1 << 17 | 1 << 21 | 1 << 24)
      r.ecx |= 1 << 31
      if vcpu.domain.isCompat { r.ecx &= ~(1 << 13) }
    case 7 where subleaf == 0:
      // SMEP, SMAP, INVPCID; UMIP, PKU, OSPKE, LA57.
      r.ebx &= ~(1 << 7 | 1 << 10 | 1 << 20)
      r.ecx &= ~(1 << 2 | 1 << 3 | 1 << 4 | 1 << 16)
    case 0xD where subleaf == 1:
      r.eax &= ~(1 << 3)
    case 0x8000_0001:
      // Pages of 1 GiB, and PSE, PGE, PSE-36 once more.
      r.edx &= ~(1 << 26 | 1 << 3 | 1 << 13 | 1 << 17)
      if vcpu.domain.isCompat {
        r.edx &= ~(1 << 29 | 1 << 11)
        r.ecx &= ~1
      }
    default: break
    }
    return r
  }

  /// A guest with page tables of its own has the processor to itself (`HVMPlatform.model`).
  static func hvmLeaf(_ leaf: UInt32, _ subleaf: UInt32, _ vcpu: VCPU) -> CPUIDResult {
    leaf & 0xFFFF_FF00 == xenLeaf ? xen(leaf & 0xFF, subleaf, vcpu) : vcpu.cpu.cpuid(leaf: leaf, subleaf: subleaf)
  }

  private static func xen(_ index: UInt32, _ subleaf: UInt32, _ vcpu: VCPU) -> CPUIDResult {
    var r = CPUIDResult()
    switch index {
    case 0:
      r.eax = xenLeaf + (vcpu.hvm == nil ? 5 : 4)
      // "XenVMMXenVMM"
      (r.ebx, r.ecx, r.edx) = (0x566E_6558, 0x6558_4D4D, 0x4D4D_566E)
    case 1:
      r.eax = XenIdentity.major << 16 | XenIdentity.minor
    case 2:
      // One page of hypercalls, by this MSR; MMU_PT_UPDATE_PRESERVE_AD is there.
      r.eax = 1
      r.ebx = 0x4000_0000
      r.ecx = vcpu.hvm == nil ? 1 : 0
    case 3 where subleaf == 0:
      r.ebx = 2
      r.ecx = 1_000_000
      r.eax = 1 << 1 | 1 << 2
    case 4 where vcpu.hvm != nil && subleaf == 0:
      // The numbers of the processor and the domain; a vector for upcalls of each processor.
      r.eax = 1 << 3 | 1 << 4 | 1 << 6
      r.ebx = UInt32(vcpu.index)
      r.ecx = UInt32(vcpu.domain.id.rawValue)
    case 5 where subleaf == 0:
      r.ebx = UInt32(truncatingIfNeeded: vcpu.hypervisor.physicalAddressBits)
    default: break
    }
    return r
  }
}

/// What the hypervisor says it is: the interface of this version of Xen.
public enum XenIdentity {
  public static let major: UInt32 = 4
  public static let minor: UInt32 = 17
  public static let extra = ".0-xenolith"
  public static let capabilities = "xen-3.0-x86_64 xen-3.0-x86_32p hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 "
}
