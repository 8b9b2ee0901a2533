/// What a kernel can do without, or asks for: bits of `XENVER_get_features` and names in ELF notes.
///
/// Source: xen/include/public/features.h.
public struct XenFeatures: OptionSet, Hashable, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let writablePageTables = XenFeatures(rawValue: 1 << 0)
  public static let writableDescriptorTables = XenFeatures(rawValue: 1 << 1)
  public static let autoTranslatedPhysmap = XenFeatures(rawValue: 1 << 2)
  public static let supervisorModeKernel = XenFeatures(rawValue: 1 << 3)
  public static let paePageDirectoryAbove4GB = XenFeatures(rawValue: 1 << 4)
  public static let mmuUpdatePreserveAD = XenFeatures(rawValue: 1 << 5)
  public static let highmemAssist = XenFeatures(rawValue: 1 << 6)
  public static let grantMapAvailableBits = XenFeatures(rawValue: 1 << 7)
  public static let hvmCallbackVector = XenFeatures(rawValue: 1 << 8)
  public static let hvmSafePVClock = XenFeatures(rawValue: 1 << 9)
  public static let hvmPIRQs = XenFeatures(rawValue: 1 << 10)
  public static let dom0 = XenFeatures(rawValue: 1 << 11)
  public static let memoryOperationVnode = XenFeatures(rawValue: 1 << 13)
  public static let linuxRSDPUnrestricted = XenFeatures(rawValue: 1 << 15)
  public static let notDirectMapped = XenFeatures(rawValue: 1 << 16)
  public static let directMapped = XenFeatures(rawValue: 1 << 17)
  public static let runstatePhysicalArea = XenFeatures(rawValue: 1 << 18)
  public static let vcpuTimePhysicalArea = XenFeatures(rawValue: 1 << 19)

  /// The names that are used in notes.
  static let names: [(String, XenFeatures)] = [
    ("writable_page_tables", .writablePageTables), ("writable_descriptor_tables", .writableDescriptorTables),
    ("auto_translated_physmap", .autoTranslatedPhysmap), ("supervisor_mode_kernel", .supervisorModeKernel),
    ("pae_pgdir_above_4gb", .paePageDirectoryAbove4GB), ("mmu_pt_update_preserve_ad", .mmuUpdatePreserveAD),
    ("highmem_assist", .highmemAssist), ("gnttab_map_avail_bits", .grantMapAvailableBits),
    ("hvm_callback_vector", .hvmCallbackVector), ("hvm_safe_pvclock", .hvmSafePVClock), ("hvm_pirqs", .hvmPIRQs),
    ("dom0", .dom0), ("memory_op_vnode_supported", .memoryOperationVnode),
    ("linux_rsdp_unrestricted", .linuxRSDPUnrestricted),
  ]

  /// Reads a list like `!writable_page_tables|dom0`: "!" marks what the kernel cannot do without. Names that are not known
  /// are left out where they are not needed.
  /// - Returns: also the first name that is needed but not known.
  static func parse(_ text: String) -> (supported: XenFeatures, required: XenFeatures, unknown: String?) {
    var supported: XenFeatures = []
    var required: XenFeatures = []
    for word in text.split(separator: "|") {
      let isRequired = word.hasPrefix("!")
      let name = String(isRequired ? word.dropFirst() : word)
      if let feature = names.first(where: { $0.0 == name })?.1 {
        supported.insert(feature)
        if isRequired { required.insert(feature) }
      } else if isRequired {
        return (supported, required, name)
      }
    }
    return (supported, required, nil)
  }
}
