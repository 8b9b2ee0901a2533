import Devices

/// What a firmware asks QEMU's configuration device for (QEMU, docs/specs/fw_cfg.rst; SeaBIOS, src/fw/paravirt.c):
/// memory, processors, ACPI tables with the script that places them, option ROMs.
enum FirmwareConfiguration {
  static func fill(_ device: FwCfg, _ configuration: MachineConfiguration, tables: ACPITables) {
    let layout = PhysicalLayout(memory: configuration.memory)
    device.setItem(FwCfg.Key.memorySize, number: configuration.memory)
    device.setItem(FwCfg.Key.processorCount, number: UInt16(configuration.processors))
    device.setItem(FwCfg.Key.maximumProcessors, number: UInt16(configuration.processors))
    device.setItem(FwCfg.Key.irq0Override, number: UInt32(1))
    // "No graphics": 1 sends the text of the firmware to COM1.
    device.setItem(FwCfg.Key.graphics, number: UInt16(configuration.hasVGA ? 0 : 1))
    var map = ByteBuffer()
    func ram(_ base: UInt64, _ length: UInt64) {
      guard length > 0 else { return }
      map.put(base)
      map.put(length)
      map.put(PhysicalLayout.MapKind.usable.rawValue)
    }
    ram(0, layout.lowMemory)
    ram(PhysicalLayout.highBase, layout.highMemory)
    device.addFile("etc/e820", map.bytes)
    device.addFile("etc/acpi/tables", tables.image.bytes)
    device.addFile("etc/acpi/rsdp", tables.rsdp)
    device.addFile("etc/table-loader", loaderScript(tables))
    if let rom = configuration.videoBIOS { device.addFile("vgaroms/\(rom.name.suffix(40))", rom.bytes) }
  }

  /// Commands that a firmware executes to place the tables: allocate, add pointers, make checksums; 128 bytes each.
  private static func loaderScript(_ tables: ACPITables) -> [UInt8] {
    let image = "etc/acpi/tables", root = "etc/acpi/rsdp"
    var script = ByteBuffer()
    func command(_ number: UInt32, _ body: (inout ByteBuffer) -> Void) {
      let end = script.count + 128
      script.put(number)
      body(&script)
      script.put([UInt8](repeating: 0, count: end - script.count))
    }
    func allocate(_ file: String, alignment: UInt32, low: Bool) {
      command(1) {
        $0.put(file, width: 56, fill: 0)
        $0.put(alignment)
        $0.put(UInt8(low ? 2 : 1))
      }
    }
    func pointer(_ field: ACPITables.Pointer, in file: String) {
      command(2) {
        $0.put(file, width: 56, fill: 0)
        $0.put(image, width: 56, fill: 0)
        $0.put(UInt32(field.offset))
        $0.put(UInt8(field.size))
      }
    }
    func checksum(_ sum: ACPITables.Checksum, in file: String) {
      command(3) {
        $0.put(file, width: 56, fill: 0)
        $0.put(UInt32(sum.offset))
        $0.put(UInt32(sum.start))
        $0.put(UInt32(sum.length))
      }
    }
    allocate(image, alignment: 64, low: false)
    allocate(root, alignment: 16, low: true)
    for field in tables.pointers { pointer(field, in: image) }
    for sum in tables.checksums { checksum(sum, in: image) }
    for field in ACPITables.rootPointers { pointer(field, in: root) }
    for sum in ACPITables.rootChecksums { checksum(sum, in: root) }
    return script.bytes
  }
}
