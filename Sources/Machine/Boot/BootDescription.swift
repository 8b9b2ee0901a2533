/// What the machine starts with.
public struct BootDescription: Sendable {
  /// A file given on the command line, with what messages call it.
  public struct File: Sendable {
    public var name: String
    public var bytes: [UInt8]
    public init(name: String, bytes: [UInt8]) {
      self.name = name
      self.bytes = bytes
    }
  }

  /// A file handed to the kernel, with its argument string.
  public struct Module: Sendable {
    public var file: File
    public var arguments: String
    public init(file: File, arguments: String) {
      self.file = file
      self.arguments = arguments
    }
  }

  /// Bytes at a physical address.
  public struct Blob: Sendable {
    public var file: File
    public var address: UInt64
    public init(file: File, address: UInt64) {
      self.file = file
      self.address = address
    }
  }

  public enum Method: Sendable {
    /// The processor's reset vector: a BIOS image, or nothing at all.
    case firmware(File?)
    /// A kernel, recognised by its content: Linux bzImage or vmlinux, multiboot, PVH.
    case kernel(File, initrd: File?, commandLine: String, modules: [Module])
    /// A 512-byte sector at 0000:7C00 in real mode.
    case bootSector(File)
    /// Files at addresses; `entry` is where execution starts, in real mode below 1 MiB, else flat 32-bit.
    case flat([Blob], entry: UInt64?)
  }

  public var method: Method
  /// Registers to set before the first instruction, by encoding number (--set).
  public var registers: [UInt8: UInt64] = [:]

  public init(_ method: Method) { self.method = method }
}
