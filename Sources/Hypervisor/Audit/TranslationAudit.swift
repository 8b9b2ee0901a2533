import Platform
import Processor
import XenABI

/// Looks at everything that virtual processors have cached of page tables: none may reach memory that its domain could not reach by walking
/// them anew, but for what the architecture lets a guest keep, translations of its own that it has not invalidated.
///
/// A translation may lead to a frame of the domain's, to one that it has mapped by a grant, for writing only by a grant for writing, and to
/// what the hypervisor shows to all, for reading. A frame that is nobody's may be left, as long as the processor counts as one that has to
/// forget it before the frame has a new owner (`Hypervisor.flushStale`). Nothing may be left by which a page table or descriptor table could
/// be written, or a page whose stores somebody watches.
///
/// Not looked at: caches of jumps, which are valid under stamps that change with every translation of code; and which of several addresses
/// a grant was mapped at.
struct TranslationAudit {
  private let hypervisor: Hypervisor
  private let frames: FrameTable
  /// Host address of the first frame.
  private let start: UInt

  init(_ hypervisor: Hypervisor) {
    self.hypervisor = hypervisor
    frames = hypervisor.frames
    start = UInt(bitPattern: frames.contents(MachineFrameNumber(frames.range.lowerBound)))
  }

  func problems() -> [String] {
    var found: [String] = []
    for domain in hypervisor.orderedDomains {
      // Frames mapped by grants, and whether one of these is for writing.
      var granted: [MachineFrameNumber: Bool] = [:]
      for case let mapping? in domain.grants.mappings where mapping.hasHost { granted[mapping.frame, default: false] = granted[mapping.frame] == true || !mapping.isReadOnly }
      for v in domain.vcpus {
        v.cpu.forEachCachedTranslation { translation in
          guard found.count < 20, let wrong = wrong(translation, v, granted) else { return }
          found.append("\(v.label) still translates \(String(translation.linear, radix: 16)) to \(wrong)")
        }
      }
    }
    return found
  }

  private func wrong(_ translation: CachedTranslation, _ v: VCPU, _ granted: [MachineFrameNumber: Bool]) -> String? {
    let frame = MachineFrameNumber(frames.range.lowerBound + UInt64(UInt(bitPattern: translation.host) &- start) >> 12)
    guard frames.isRAM(frame) else { return "what is no memory" }
    let info = frames[frame].pointee
    let isWritable = translation.stores != .none
    // The processor itself marks descriptors as accessed, where the hypervisor has mapped them for it alone.
    let isDescriptors = info.type == .segmentDescriptors && (translation.linear >> 39 & 511) == XenLayout.perDomainSlot && (v.gdtFrames.contains(frame) || v.mappedLDTFrames.contains(frame))
    if isWritable, info.ownerPlusOne != 0, info.typeCount != 0, info.type.isValidated, !isDescriptors { return "\(frame), which is \(info.type), and can write there" }
    if translation.stores == .free, hypervisor.memory.pageWord(frame.address) & PhysicalMemory.PageBits.watched != 0 {
      return "\(frame), a watched page, and can write there unseen"
    }
    switch frames.owner(frame) {
    case v.domain.id: return nil
    case nil: return v.flushedAt <= info.releasedAt ? nil : "\(frame), which is free, and would not forget it"
    case DomainID.xen? where hypervisor.isShown(frame): return isWritable ? "\(frame) of the hypervisor's, and can write there" : nil
    case let owner?:
      guard let mayWrite = granted[frame] else { return "\(frame) of \(owner) without a grant" }
      return isWritable && !mayWrite ? "\(frame) of \(owner), and can write there by a grant for reading" : nil
    }
  }
}
