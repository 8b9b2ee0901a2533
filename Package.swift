// swift-tools-version: 6.0
import PackageDescription

// Imports point downwards only: a module may depend on those above it in this list.
let package = Package(
  name: "xenolith",
  products: [
    .executable(name: "xenolith", targets: ["xenolith"]),
    .library(name: "X86Decoder", targets: ["X86", "X86Decoder"]),
    .library(name: "XenolithProcessor", targets: ["Platform", "Processor", "Interpreter"]),
    .library(name: "XenolithCore", targets: ["XenolithCore"]),
    .library(name: "XenolithMachine", targets: ["Devices", "Machine"]),
    .executable(name: "trace-example", targets: ["trace-example"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
  ],
  targets: [
    // The processor: no Foundation, threads or wall clock.
    .target(name: "X86"),
    .target(name: "X86Decoder", dependencies: ["X86"]),
    .target(name: "SoftFloat"),
    .target(name: "Platform"),
    .target(name: "Processor", dependencies: ["Platform", "SoftFloat", "X86", "X86Decoder"]),
    .target(
      name: "Interpreter", dependencies: ["Platform", "Processor", "SoftFloat", "X86", "X86Decoder"],
      exclude: ["Tools"]),

    // The same as a library for programs that test processors and code.
    .target(
      name: "XenolithCore", dependencies: ["Interpreter", "Platform", "Processor", "SoftFloat", "X86", "X86Decoder"]),
    .executableTarget(name: "trace-example", dependencies: ["XenolithCore"]),

    // Kernel files, packed or not.
    .systemLibrary(name: "CBzip2", providers: [.apt(["libbz2-dev"])]),
    .systemLibrary(name: "CLZ4", providers: [.apt(["liblz4-dev"])]),
    .systemLibrary(name: "CLZMA", providers: [.apt(["liblzma-dev"])]),
    .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CZstd", providers: [.apt(["libzstd-dev"])]),
    .target(name: "KernelImages", dependencies: ["CBzip2", "CLZ4", "CLZMA", "CZlib", "CZstd"]),

    // The machine around it.
    .target(name: "Devices", dependencies: ["Platform"]),
    .target(
      name: "Machine",
      dependencies: ["CZlib", "Devices", "Interpreter", "KernelImages", "Platform", "Processor", "X86", "X86Decoder"]),

    // The hypervisor, its services, and what manages domains.
    .target(name: "XenABI"),
    .target(name: "Hypervisor", dependencies: ["Devices", "Interpreter", "Platform", "Processor", "X86", "X86Decoder", "XenABI"]),
    .target(name: "Xenstore"),
    // The sockets by which commands and tools reach it.
    .target(name: "Control"),
    .systemLibrary(name: "CFallocate"),
    .systemLibrary(name: "CSlirp", pkgConfig: "slirp", providers: [.apt(["libslirp-dev"])]),
    .target(name: "Backends", dependencies: ["CFallocate", "CSlirp", "Hypervisor", "XenABI", "Xenstore"]),
    .target(name: "Toolstack", dependencies: ["Backends", "Control", "Hypervisor", "KernelImages", "Platform", "Processor", "XenABI", "Xenstore"]),

    // Tests of processors, this one's first. HostOracle runs code on the host's processor, in a process of its own.
    .target(name: "HostOracle"),
    .target(
      name: "Conformance",
      dependencies: [
        "Backends", "HostOracle", "Hypervisor", "Interpreter", "Machine", "Platform", "Processor", "SoftFloat", "Toolstack", "X86", "X86Decoder", "XenABI", "Xenstore",
      ]),

    // The program.
    .target(name: "Display", dependencies: ["CZlib", "Devices"]),
    .target(
      name: "Commands",
      dependencies: [
        "Backends", "Conformance", "Control", "Devices", "Display", "Hypervisor", "KernelImages", "Machine", "Processor", "Toolstack", "X86Decoder",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .executableTarget(name: "xenolith", dependencies: ["Commands"]),

    // What tests compare with: the host's processor, and Zydis where it is installed. Never linked into the program.
    .target(name: "FloatOracle", path: "Tests/FloatOracle"),
    .target(name: "IntegerOracle", path: "Tests/IntegerOracle"),
    .target(name: "VectorOracle", path: "Tests/VectorOracle"),
    .target(name: "ZydisOracle", path: "Tests/ZydisOracle"),

    .testTarget(name: "X86DecoderTests", dependencies: ["X86", "X86Decoder", "ZydisOracle"]),
    .testTarget(name: "SoftFloatTests", dependencies: ["FloatOracle", "SoftFloat"]),
    .testTarget(
      name: "ProcessorTests",
      dependencies: ["IntegerOracle", "Platform", "Processor", "SoftFloat", "VectorOracle", "X86", "X86Decoder"]),
    .testTarget(
      name: "InterpreterTests", dependencies: ["Interpreter", "Platform", "Processor", "X86", "X86Decoder"]),
    .testTarget(name: "XenolithCoreTests", dependencies: ["XenolithCore"]),
    .testTarget(name: "DevicesTests", dependencies: ["Devices", "Platform"]),
    .testTarget(
      name: "KernelImagesTests", dependencies: ["CBzip2", "CLZ4", "CLZMA", "CZlib", "CZstd", "KernelImages"]),
    .testTarget(name: "MachineTests", dependencies: ["Devices", "KernelImages", "Machine", "Platform", "Processor", "X86"]),
    .testTarget(name: "HypervisorTests", dependencies: ["Hypervisor", "Platform", "Processor", "XenABI"]),
    .testTarget(name: "BackendsTests", dependencies: ["Backends", "Hypervisor", "Processor", "XenABI", "Xenstore"]),
    .testTarget(name: "ControlTests", dependencies: ["Control"]),
    .testTarget(name: "ToolstackTests", dependencies: ["Hypervisor", "Processor", "Toolstack", "XenABI"]),
    .testTarget(name: "XenstoreTests", dependencies: ["Xenstore"]),
    .testTarget(name: "DisplayTests", dependencies: ["CZlib", "Devices", "Display"]),
    .testTarget(
      name: "ConformanceTests",
      dependencies: ["Conformance", "HostOracle", "Interpreter", "Machine", "Platform", "Processor", "X86", "X86Decoder"]),
    .testTarget(name: "CommandsTests", dependencies: ["Commands", "Devices", "Machine"]),
  ]
)
