#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif
import CSlirp

/// An uplink to the host's networks that needs no rights: libslirp speaks with the guests and opens ordinary sockets for them.
///
/// Guests are in 10.0.2.0/24: the gateway, which is also the host, is 10.0.2.2, the name server 10.0.2.3, and DHCP gives addresses from
/// 10.0.2.15 on, as QEMU's user networking has it.
///
/// A guest cannot open sockets or keep fragments without end: what would, is dropped beyond a number in each turn of the hypervisor's loop, or
/// in each second.
///
/// Not modelled: IPv6, ports of the host that lead to guests, and limits on what libslirp keeps for one connection.
public final class UserNetwork: BridgePort {
  private let bridge: Bridge
  /// Nanoseconds of the guests' time.
  private let clock: () -> UInt64
  private var slirp: OpaquePointer?
  private let callbacks = UnsafeMutablePointer<SlirpCb>.allocate(capacity: 1)
  private var timers: [Int: SlirpTimer] = [:]
  private var nextTimer = 1
  /// Descriptors that libslirp asked for, and what happened to them.
  private var entries: [pollfd] = []
  private var isAsked = false

  private struct SlirpTimer {
    var id: SlirpTimerId
    var context: UnsafeMutableRawPointer?
    /// Milliseconds.
    var deadline: Int64?
  }

  /// Plugs an uplink into a bridge.
  /// - Parameter clock: gives nanoseconds of the guests' time.
  public init(bridge: Bridge, clock: @escaping () -> UInt64) {
    self.bridge = bridge
    self.clock = clock
    var configuration = SlirpConfig()
    configuration.version = 4
    configuration.in_enabled = true
    configuration.vnetwork = Self.address(0)
    configuration.vnetmask = in_addr(s_addr: UInt32(0xFFFF_FF00).bigEndian)
    configuration.vhost = Self.address(2)
    configuration.vnameserver = Self.address(3)
    configuration.vdhcp_start = Self.address(15)
    callbacks.initialize(to: Self.table)
    slirp = slirp_new(&configuration, callbacks, Unmanaged.passUnretained(self).toOpaque())
    bridge.attach(self)
  }

  deinit {
    if let slirp { slirp_cleanup(slirp) }
    callbacks.deallocate()
  }

  private static func address(_ host: UInt32) -> in_addr { in_addr(s_addr: (0x0A00_0200 + host).bigEndian) }

  // MARK: Guests' frames

  public func receive(_ packet: Packet) {
    guard let slirp else { return }
    for frame in packet.complete() where isWelcome(frame) {
      frame.bytes.withUnsafeBufferPointer { slirp_input(slirp, $0.baseAddress, Int32($0.count)) }
    }
  }

  private static let maximumFrame = 1600
  private static let maximumSockets = 512
  private static let maximumFragments = 256
  /// Frames since the last look at the sockets that may each have opened one.
  private var newSockets = 0
  private var fragments = 0
  private var fragmentsSince: UInt64 = 0

  private func isWelcome(_ frame: Packet) -> Bool {
    let b = frame.bytes
    guard b.count <= Self.maximumFrame else { return false }
    guard b.count >= 34, b[12] == 0x08, b[13] == 0x00 else { return true }
    if (b[20] & 0x3F) | b[21] != 0 {
      let now = clock()
      if now &- fragmentsSince >= 1_000_000_000 {
        fragmentsSince = now
        fragments = 0
      }
      fragments += 1
      return fragments <= Self.maximumFragments
    }
    let transport = 14 + Int(b[14] & 15) * 4
    let syn: UInt8 = 0x02, ack: UInt8 = 0x10
    if b[23] == UInt8(IPPROTO_TCP), b.count > transport + 13, b[transport + 13] & (syn | ack) != syn { return true }
    newSockets += 1
    return entries.count + newSockets <= Self.maximumSockets
  }

  // MARK: The host's sockets

  /// What is to be waited for.
  public func descriptors() -> [pollfd] {
    entries = []
    newSockets = 0
    guard let slirp else { return [] }
    var timeout: UInt32 = 1000
    slirp_pollfds_fill(slirp, &timeout, { descriptor, events, context in
      UserNetwork.of(context).add(descriptor, events)
    }, Unmanaged.passUnretained(self).toOpaque())
    isAsked = true
    return entries
  }

  /// What happened to the descriptors, in the same order.
  public func ready(_ entries: ArraySlice<pollfd>) { self.entries = Array(entries) }

  /// Takes what came from the host, and lets timers fire. To be called after every wait.
  public func service() {
    guard let slirp else { return }
    if isAsked {
      isAsked = false
      slirp_pollfds_poll(slirp, 0, { index, context in UserNetwork.of(context).events(index) }, Unmanaged.passUnretained(self).toOpaque())
    }
    let now = Int64(clock() / 1_000_000)
    for (number, timer) in timers.sorted(by: { $0.key < $1.key }) {
      guard let deadline = timer.deadline, deadline <= now else { continue }
      timers[number]?.deadline = nil
      slirp_handle_timer(slirp, timer.id, timer.context)
    }
  }

  private static let flags: [(slirp: Int, host: Int32)] = [
    (SLIRP_POLL_IN, POLLIN), (SLIRP_POLL_OUT, POLLOUT), (SLIRP_POLL_PRI, POLLPRI),
    (SLIRP_POLL_ERR, POLLERR), (SLIRP_POLL_HUP, POLLHUP),
  ]

  private func add(_ descriptor: Int32, _ events: Int32) -> Int32 {
    let wanted = Self.flags.reduce(Int32(0)) { Int(events) & $1.slirp != 0 ? $0 | $1.host : $0 }
    entries.append(pollfd(fd: descriptor, events: Int16(wanted), revents: 0))
    return Int32(entries.count - 1)
  }

  private func events(_ index: Int32) -> Int32 {
    guard entries.indices.contains(Int(index)) else { return 0 }
    let happened = Int32(entries[Int(index)].revents)
    return Int32(Self.flags.reduce(0) { happened & $1.host != 0 ? $0 | $1.slirp : $0 })
  }

  // MARK: What libslirp calls

  private static func of(_ context: UnsafeMutableRawPointer?) -> UserNetwork {
    Unmanaged<UserNetwork>.fromOpaque(context!).takeUnretainedValue()
  }

  private static var table: SlirpCb {
    var table = SlirpCb()
    table.send_packet = { bytes, count, context in
      let frame = UnsafeRawBufferPointer(start: bytes, count: count)
      let network = UserNetwork.of(context)
      var packet = Packet(Array(frame))
      // It never was on a wire.
      packet.isValidated = true
      network.bridge.forward(packet, from: network)
      return count
    }
    table.guest_error = { _, _ in }
    table.clock_get_ns = { Int64(UserNetwork.of($0).clock()) }
    table.timer_new_opaque = { id, own, context in
      let network = UserNetwork.of(context)
      defer { network.nextTimer += 1 }
      network.timers[network.nextTimer] = SlirpTimer(id: id, context: own, deadline: nil)
      return UnsafeMutableRawPointer(bitPattern: network.nextTimer)
    }
    table.timer_free = { timer, context in UserNetwork.of(context).timers[Int(bitPattern: timer)] = nil }
    table.timer_mod = { timer, deadline, context in UserNetwork.of(context).timers[Int(bitPattern: timer)]?.deadline = deadline }
    table.register_poll_fd = { _, _ in }
    table.unregister_poll_fd = { _, _ in }
    table.notify = { _ in }
    return table
  }
}
