import Hypervisor
import XenABI
import Xenstore

/// What a hostile domain says to xenstore: messages of all types, about its own nodes and everybody's, and bytes that are none.
extension CallMaker {
  mutating func storeAttack() -> [GuestCommand] {
    let va = guest.address(ServicePlace.store)
    func field(_ offset: Int) -> UInt64 { va &+ UInt64(offset) }
    if processor != 0 || oneIn(24) { return meddleWithStore() }
    var list: [GuestCommand] = []
    // Whatever stopped the connection, it may begin anew.
    if ports.isStoreStopped, oneIn(2) {
      list += [store(1, at: field(RingField.storeConnection)), send(ports.store)]
      ports.isStoreStopped = false
      ports.storeProducer = 0
    }
    // Now and then as many of a kind as go beyond a quota.
    let flood = oneIn(8) ? random.below(3) : nil
    for n in 0..<(flood == nil ? 1 + random.below(3) : 8) {
      var rest = (flood.map { floodMessage($0, n) } ?? storeMessage())[...]
      while !rest.isEmpty {
        let at = Int(ports.storeProducer & 1023)
        let part = Array(rest.prefix(1024 - at))
        rest = rest.dropFirst(part.count)
        list.append(put(part, at: va &+ UInt64(at)))
        ports.storeProducer &+= UInt32(part.count)
        if at + part.count == 1024, !rest.isEmpty {
          list += [store(UInt64(ports.storeProducer), at: field(RingField.storeRequestProducer)), send(ports.store)]
          list.append(takeReplies())
        }
      }
    }
    list += [store(UInt64(ports.storeProducer), at: field(RingField.storeRequestProducer)), send(ports.store)]
    if !oneIn(8) { list += [takeReplies(), send(ports.store)] }
    return list
  }

  /// All replies that are there have been read.
  private mutating func takeReplies() -> GuestCommand {
    let va = guest.address(ServicePlace.store)
    return GuestCommand(action: .copy, arguments: [va &+ UInt64(RingField.storeReplyConsumer), va &+ UInt64(RingField.storeReplyProducer), 4])
  }

  private mutating func meddleWithStore() -> [GuestCommand] {
    let va = guest.address(ServicePlace.store)
    switch random.below(12) {
    case 0:
      let field = RingField.storeRequestConsumer + 4 * random.below(8)
      return [store(oneIn(2) ? random.next() : small(2100), at: va &+ UInt64(field)), send(ports.store)]
    case 1..<4: return [store(random.next(), at: va &+ bits(8) << 2), send(ports.store)]
    case 4..<8: return [takeReplies(), send(ports.store)]
    default: return [send(ports.store)]
    }
  }

  // MARK: Messages

  private mutating func somebody() -> UInt64 { oneIn(3) ? UInt64(guest.domain.id.rawValue) : oneIn(8) ? bits(16) : UInt64(random.pick(surroundings.victims).rawValue) }

  private mutating func path() -> [UInt8] {
    let who = somebody(), victim = UInt64(random.pick(surroundings.victims).rawValue)
    let disk = ServicePlace.disk
    switch random.below(24) {
    case 0..<6: return Array("data/n\(small(12))".utf8)
    case 6: return Array("data/n\(small(6))/m\(small(40))".utf8)
    case 7: return Array((oneIn(2) ? "/local/domain/\(who)/data/n\(small(6))" : "data/d\(small(60))/a/b/c/d/e/f/g/h/i/j").utf8)
    case 8..<11: return Array("/local/domain/\(victim)/data/secret".utf8)
    case 11: return Array("/local/domain/\(victim)/data/private".utf8)
    case 12: return Array("/local/domain/\(victim)/data/\(["open", "x", "private/k1", ""][random.below(4)])".utf8)
    case 13: return Array("/local/domain/\(who)\(["", "/name", "/device", "/device/vbd/\(disk)/state", "/data"][random.below(5)])".utf8)
    case 14: return Array("/local/domain/0/backend/\(["vbd", "vif"][random.below(2)])/\(who)/\(oneIn(2) ? disk : 0)/\(["state", "params", "frontend", "sectors"][random.below(4)])".utf8)
    case 15: return Array(["/", "/local", "/local/domain", "/local/domain/0", "/tool", "/tool/xenstored", "/vm"][random.below(7)].utf8)
    case 16: return Array(["@releaseDomain", "@introduceDomain", "@x", "@"][random.below(4)].utf8)
    case 17: return Array(["..", "../\(victim)/data/secret", "/local/domain/\(victim)/../\(victim)/data/secret", "//", "data//x", "data/", "", "%"][random.below(8)].utf8)
    case 18: return Array((oneIn(2) ? "/local/domain/\(victim)/" : "data/") .utf8) + [UInt8](repeating: 97, count: random.below(3100))
    case 19: return (0..<random.below(40)).map { _ in random.byte() }
    case 20: return Array("/local/domain/00\(victim)/data/secret".utf8)
    default: return Array("device/\(oneIn(2) ? "vbd/\(disk)" : "vif/0")\(oneIn(6) ? "" : "/state")".utf8)
    }
  }

  private mutating func storeMessage() -> [UInt8] {
    if oneIn(3) { return deviceMessage() }
    let types: [XenstoreMessageType] = [
      .read, .read, .read, .read, .write, .write, .write, .write, .makeDirectory, .makeDirectory, .remove, .directory, .directory, .directoryPart, .getPermissions,
      .setPermissions, .setPermissions, .watch, .watch, .watch, .unwatch, .transactionStart, .transactionStart, .transactionEnd, .transactionEnd, .getDomainPath,
      .isDomainIntroduced, .introduce, .release, .resume, .setTarget, .resetWatches, .control, .watchEvent, .error,
    ]
    let type = random.pick(types)
    var payload: [UInt8] = []
    func add(_ text: [UInt8]) { payload += text + [0] }
    switch type {
    case .write: payload = path() + [0] + (0..<(oneIn(12) ? random.below(4000) : random.below(40))).map { _ in random.byte() }
    case .directoryPart:
      add(path())
      add(Array("\(oneIn(2) ? 0 : random.anyMagnitude())".utf8))
    case .setPermissions:
      add(path())
      for n in 0..<random.below(8) { add(Array("\(["n", "r", "w", "b", "x"][random.below(oneIn(9) ? 5 : 4)])\(n == 0 && !oneIn(3) ? UInt64(guest.domain.id.rawValue) : somebody())".utf8)) }
    case .watch, .unwatch:
      add(path())
      add(Array("t\(small(20))".utf8))
    case .transactionStart: add([])
    case .transactionEnd: add([UInt8(ascii: oneIn(3) ? "F" : "T")])
    case .getDomainPath, .isDomainIntroduced, .release, .resume: add(Array("\(somebody())".utf8))
    case .introduce: for value in [somebody(), frame(), port()] { add(Array("\(value)".utf8)) }
    case .setTarget: for value in [UInt64(guest.domain.id.rawValue), somebody()] { add(Array("\(value)".utf8)) }
    case .control: add(Array(["print", "quota", "check", "memreport", "log"][random.below(5)].utf8))
    case .watchEvent, .error: payload = (0..<random.below(64)).map { _ in random.byte() }
    default: add(path())
    }
    if oneIn(20), !payload.isEmpty { payload.removeLast() }
    if oneIn(30) { payload += (0..<random.below(100)).map { _ in random.byte() } }
    let transaction: UInt64 = oneIn(3) ? small(7) : oneIn(30) ? bits(32) : 0
    return message(oneIn(40) ? bits(32) : UInt64(type.rawValue), transaction, payload)
  }

  private mutating func floodMessage(_ kind: Int, _ n: Int) -> [UInt8] {
    switch kind {
    case 0: return message(UInt64(XenstoreMessageType.makeDirectory.rawValue), 0, Array("data/f\(small(1000))/a/b/c/d/e/f/g/h/i/j".utf8) + [0])
    case 1: return message(UInt64(XenstoreMessageType.watch.rawValue), 0, Array("data/n\(n)".utf8) + [0] + Array("f\(small(1000))".utf8) + [0])
    default: return message(UInt64(XenstoreMessageType.transactionStart.rawValue), 0, [0])
    }
  }

  /// What a front end writes about its devices, in any order.
  private mutating func deviceMessage() -> [UInt8] {
    let isBlock = oneIn(2)
    let path = "device/\(isBlock ? "vbd/\(ServicePlace.disk)" : "vif/0")"
    let keys = ["ring-ref", "ring-ref0", "ring-ref1", "ring-page-order", "event-channel", "protocol", "feature-persistent", "multi-queue-num-queues",
                "tx-ring-ref", "rx-ring-ref", "request-rx-copy", "feature-sg", "event-channel-tx", "event-channel-rx", "queue-0/ring-ref"]
    var key = "state", value = "\([1, 2, 3, 4, 4, 5, 6, 6, 1, small(12)][random.below(10)])"
    if oneIn(2) {
      key = random.pick(keys)
      switch key {
      case "protocol": value = ["x86_64-abi", "x86_32-abi", "sparc-abi"][random.below(3)]
      case "event-channel", "event-channel-tx", "event-channel-rx": value = "\(oneIn(2) ? UInt64(ports.block) : port())"
      default: value = "\(oneIn(3) ? random.anyMagnitude() : oneIn(2) ? UInt64(buffer()) : small(6))"
      }
    }
    return message(UInt64(XenstoreMessageType.write.rawValue), 0, Array("\(path)/\(key)".utf8) + [0] + Array(value.utf8))
  }

  private mutating func message(_ type: UInt64, _ transaction: UInt64, _ payload: [UInt8]) -> [UInt8] {
    var s = structure()
    s.u32(type)
    s.u32(bits(32))
    s.u32(transaction)
    s.u32(oneIn(60) ? random.anyMagnitude() & 0xFFFF_FFFF : UInt64(payload.count))
    s.append(payload)
    return s.bytes
  }
}
