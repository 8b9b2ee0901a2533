import ArgumentParser
import Control
import Machine

/// The commands that give a running domain more or less, as `xl` has them.
struct VCPUSetCommand: DomainCommand {
  static let configuration = CommandConfiguration(
    commandName: "vcpu-set", abstract: "Says how many virtual processors of a domain are to be up.",
    discussion: """
      The domain's kernel is told by xenstore, and brings them up or down; some want to be asked from inside as well, as Linux by
      /sys/devices/system/cpu/cpuN/online. There are as many as maxvcpus said when the domain was made.

      Examples:
        xenolith vcpu-set guest 4
      """)
  @OptionGroup var service: ServiceOptions
  @Argument(help: ArgumentHelp("Name or number.", valueName: "domain")) var domain: String
  @Argument(help: ArgumentHelp("How many.", valueName: "count")) var count: Int

  func run() throws { try ask(.setProcessors(domain: domain, count: count)) }
}

struct MemSetCommand: DomainCommand {
  static let configuration = CommandConfiguration(
    commandName: "mem-set", abstract: "Says how much memory a domain is to have.",
    discussion: """
      The domain's kernel is told by xenstore; its balloon driver gives memory back or asks for more, up to what maxmem said when the domain
      was made.

      Examples:
        xenolith mem-set guest 512M
      """)
  @OptionGroup var service: ServiceOptions
  @Argument(help: ArgumentHelp("Name or number.", valueName: "domain")) var domain: String
  @Argument(help: ArgumentHelp("With a unit: 512M, 2G.", valueName: "size")) var size: MemoryArgument

  func run() throws { try ask(.setMemory(domain: domain, kibibytes: size.bytes >> 10)) }
}
