import Processor
import X86
import X86Decoder
import XenABI

/// Writes of a guest's kernel to its page tables, which it has mapped read-only: carried out as updates (xen.h, "writable page tables").
///
/// The instruction is executed by the core with a copy of the table mapped in the table's place, writable, for its duration; what it
/// changed there is done as checked updates. So instructions that read and write at once work too, and none of its
/// writes is in a table that the processor walks before it was checked.
///
/// The bytes at RIP are read anew, and need not be those that faulted: only instructions that do nothing but compute and store are
/// carried out. While one is, no hypercall may find the copy in the guest's tables, nor may a translation of it stay.
///
/// Not modelled: tables above L1, for which guests use hypercalls; with Xen such a write is the guest's fault as well. Likewise
/// instructions that write for another purpose (CALL, ENTER, FXSAVE …).
extension VCPU {
  private static func mayWritePageTables(_ mnemonic: Mnemonic) -> Bool {
    switch mnemonic {
    case .MOV, .MOVNTI, .XCHG, .XADD, .CMPXCHG, .CMPXCHG8B, .CMPXCHG16B, .ADD, .ADC, .SUB, .SBB, .AND, .OR, .XOR, .NOT, .NEG, .INC, .DEC,
      .BTS, .BTR, .BTC, .STOSB, .STOSW, .STOSD, .STOSQ, .MOVSB, .MOVSW, .MOVSD_STR, .MOVSQ, .MOVUPS, .MOVAPS, .MOVDQU, .MOVDQA, .MOVNTPS, .MOVNTDQ:
      true
    default: false
    }
  }

  /// Carries out the instruction at RIP if it writes to a mapped L1 of the domain; false if the fault is the guest's.
  func emulatePageTableWrite(_ address: UInt64) -> Bool {
    guard domain.isCompat ? address < XenLayout.compatStart : XenLayout.isGuest(address),
          let (mapping, slot) = domain.findL1(address, root: kernelRoot) else { return false }
    let entry = frames.entry(mapping, slot)
    guard entry & PTE.present != 0, entry & PTE.writable == 0 else { return false }
    let target = PTE.frame(entry)
    guard frames.isRAM(target), frames.owner(target) == domain.id else { return false }
    let p = frames[target]
    guard p.pointee.typeCount != 0, p.pointee.type == .l1, let (instruction, _) = decode(),
          Self.mayWritePageTables(instruction.mnemonic) else { return false }

    // What was there before, and what the instruction writes to.
    let before = hypervisor.pageTableCopies.before, copy = hypervisor.pageTableCopies.written
    frames.contents(before).copyMemory(from: frames.contents(target), byteCount: 4096)
    frames.contents(copy).copyMemory(from: frames.contents(target), byteCount: 4096)
    let s = cpu.s
    frames.setEntry(mapping, slot, (entry & ~PTE.address) | copy.address | PTE.writable)
    cpu.invalidatePage(address)
    let next = (s.pointee.rip &+ UInt64(instruction.length)) & s.pointee.ripMask
    s.pointee.nextRIP = next
    s.pointee.retireWeight = 1
    s.pointee.budget = 1
    let misses = s.pointee.tlbMisses
    var fault: Fault?
    do throws(Fault) { try cpu.execute(instruction) } catch { fault = error }
    let stop = s.pointee.nextRIP
    // The one translation made is the page's own, or there are others that may lead to the copy.
    let isAlone = s.pointee.tlbMisses &- misses == 1
      && cpu.cachedHost(deprivileged: address & ~0xFFF, forWriting: true) == frames.contents(copy)
    frames.setEntry(mapping, slot, entry | (frames.entry(mapping, slot) & (PTE.accessed | PTE.dirty)))
    if isAlone { cpu.invalidatePage(address) } else { flush() }

    for n in 0..<512 {
      let new = frames.entry(copy, n)
      if new == frames.entry(before, n) { continue }
      do throws(XenError) {
        try domain.modify(target, n, new, level: 1, .normal)
      } catch {
        domain.complain("\(label): page table entry \(String(new, radix: 16)) refused (\(error))")
        return false
      }
    }
    if let fault {
      if fault.vector == Vector.PF.rawValue { faultAddress = s.pointee.cr2 }
      inject(fault.vector, errorCode: fault.hasErrorCode ? (fault.vector == Vector.PF.rawValue ? fault.errorCode & ~4 : fault.errorCode) : nil, returnRIP: s.pointee.rip)
      return true
    }
    cpu.setRIP(stop)
    retireFlags()
    return true
  }
}
