import ArgumentParser
import Control
import Machine

/// `xenolith hypervisor`: a hypervisor that waits for domains and commands.
struct HypervisorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hypervisor",
    abstract: "Hosts a hypervisor that other commands reach by a socket.",
    discussion: """
      It runs until it is interrupted. Its domains end with it. Xen's own tools reach its store by a second socket:
      XENSTORED_PATH=$XDG_RUNTIME_DIR/xenolith-xenstore.sock xenstore-ls

      Exit codes: 130 interrupted, 64 wrong option or another hypervisor has the socket, 66 the socket cannot be made, 103 --timeout.

      Examples:
        xenolith hypervisor &
        xenolith create guest.cfg
        xenolith list
        xenolith console guest
      """)

  @OptionGroup var service: ServiceOptions
  @OptionGroup var hosting: HostingOptions

  func run() throws {
    let session = try hosting.makeSession()
    try session.serve(service.path, store: hosting.xenstoreSocket)
    if !hosting.quiet { session.say("the hypervisor waits at \(service.path)") }
    let code = session.run(timeout: hosting.timeout, forever: true)
    if code != 0 { throw ExitCode(code) }
  }
}
