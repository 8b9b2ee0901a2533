/// Which keys there are, and what becomes of them.
extension DomainConfiguration {
  /// Keys that say how the domain is.
  static let supportedKeys: Set<String> = [
    "name", "uuid", "type", "builder", "kernel", "ramdisk", "cmdline", "root", "extra", "memory", "maxmem", "vcpus",
    "maxvcpus", "cpus", "cpu_weight", "cap", "disk", "vif", "on_poweroff", "on_reboot", "on_crash", "on_watchdog",
    "on_soft_reset", "hap", "shadow_memory",
  ]

  /// Keys that are read and checked, but that no domain makes use of yet.
  static let ineffectiveKeys: Set<String> = [
    "serial", "console", "vfb", "vnc", "vnclisten", "vncdisplay", "vncunused", "vncpasswd", "sdl", "opengl", "keymap",
    "display", "xauthority", "boot", "bios", "firmware", "firmware_override", "localtime", "rtc_timeoffset",
  ]

  /// Keys with a warning of their own.
  private static let explainedKeys: Set<String> = ["nics"]

  /// Keys of xl.cfg(5) that are not read.
  static let unsupportedKeys: Set<String> = [
    "acpi", "acpi_firmware", "acpi_laptop_slate", "acpi_s3", "acpi_s4", "altp2m", "altp2mhvm", "apic", "arm_sci",
    "assisted_x2apic", "assisted_xapic", "autoballoon", "bios_path_override", "blkdev_start", "bootloader", "bootloader_args",
    "bootloader_restrict", "bootloader_user", "bootargs", "channel", "cpus_soft", "cpuid", "device_model",
    "device_model_args", "device_model_args_hvm", "device_model_args_pv", "device_model_override",
    "device_model_stubdomain_memory", "device_model_stubdomain_override", "device_model_stubdomain_seclabel",
    "device_model_user", "device_model_version", "device_tree", "dm_restrict", "driver_domain", "dtdev", "e820_host",
    "gfx_passthru", "gic_version", "hdtype", "hpet", "init_seclabel", "iomem", "ioports", "irqs", "llc_colors",
    "loader", "max_event_channels", "max_grant_frames", "max_grant_version", "max_maptrack_frames", "mca_caps",
    "mmio_hole", "ms_vm_genid", "msr_relaxed", "nested_virt", "nestedhvm", "nodes", "nographic", "nomigrate",
    "nr_spis", "nx", "oos", "p9", "pae", "passthrough", "pci", "pci_msitranslate", "pci_permissive", "pci_power_mgmt",
    "pci_seize", "pool", "pvcalls", "pvh", "pvshim", "pvshim_cmdline", "pvshim_extra", "pvshim_path", "rdm",
    "rdm_mem_boundary", "sched", "seclabel", "smbios", "smbios_firmware", "soundhw", "spice",
    "spiceagent_mouse", "spicedisable_ticketing", "spicehost", "spicepasswd", "spiceport", "spicetls_port",
    "spiceusbredirection", "spicevdagent", "spice_clipboard_sharing", "spice_image_compression",
    "spice_streaming_video", "stdvga", "stubdomain_cmdline", "stubdomain_kernel", "stubdomain_memory",
    "stubdomain_ramdisk", "suppress_spurious_page_faults", "sve", "tee", "timer_mode", "trap_unmapped_accesses",
    "tsc_mode", "usb", "usbctrl", "usbdev", "usbdevice", "usbversion", "vdispl", "vendor_device", "vga", "videoram",
    "viommu", "viridian", "virtio", "vkb", "vkb_device", "vm_assist", "vmtrace_buf_kb", "vnuma", "vpmu", "vpt_align",
    "vsnd", "vtpm", "vuart", "xen_platform_pci", "xend_suspend_evtchn_compat",
  ]

  static func warnings(about settings: [ConfigurationSyntax.Setting]) -> [ConfigurationWarning] {
    settings.compactMap { setting in
      let key = setting.key
      let reason: String
      if supportedKeys.contains(key) || explainedKeys.contains(key) {
        return nil
      } else if ineffectiveKeys.contains(key) {
        reason = "is read, but has no effect yet"
      } else if unsupportedKeys.contains(key) {
        reason = "is not supported yet and has no effect"
      } else {
        let near = nearestKey(to: key).map { " (did you mean \($0)?)" } ?? ""
        reason = "is not a key that xl knows, and has no effect\(near)"
      }
      return setting.source.warning("\(key) \(reason)", key: key, line: setting.line)
    }
  }

  /// A key that differs by a slip of the fingers.
  private static func nearestKey(to key: String) -> String? {
    guard key.count >= 3 else { return nil }
    let near = supportedKeys.union(ineffectiveKeys).filter { distance(Array($0.utf8), Array(key.utf8)) <= (key.count < 6 ? 1 : 2) }
    return near.sorted().min { distance(Array($0.utf8), Array(key.utf8)) < distance(Array($1.utf8), Array(key.utf8)) }
  }

  /// Characters to insert, leave out or replace to make one word of the other; two that are swapped count as one.
  private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    guard abs(a.count - b.count) <= 2 else { return .max }
    var before: [Int] = []
    var last = Array(0...b.count)
    for i in a.indices {
      var row = [i + 1]
      for j in b.indices {
        var best = min(row[j] + 1, last[j + 1] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, before[j - 1] + 1) }
        row.append(best)
      }
      before = last
      last = row
    }
    return last[b.count]
  }
}
