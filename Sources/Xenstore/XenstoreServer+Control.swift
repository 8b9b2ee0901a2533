/// CONTROL, formerly DEBUG: what `xenstore-control` asks for.
///
/// Source: docs/misc/xenstore.txt, CONTROL.
extension XenstoreServer {
  func control(_ r: Request) throws(XenstoreError) -> [UInt8] {
    let words = r.payload[...].terminatedStrings.map { String(decoding: $0, as: UTF8.self) }
    guard let command = words.first else { throw .EINVAL }
    let parameters = Array(words.dropFirst())
    switch (command, parameters.count) {
    case ("help", 0): return terminated("check\nhelp\nprint <string>\nquota [set <name> <val>|<domid>]\n")
    case ("check", 0):
      guard isConsistent else { throw .EIO }
    case ("print", 1): host.print(parameters[0])
    case ("quota", 0): return terminated("Quota settings:\n" + table { quotas[keyPath: $0] })
    case ("quota", 1):
      let domid = try domid(Array(parameters[0].utf8)[...])
      guard let usage = store.usage[domid] else { throw .ENOENT }
      return terminated("""
        Domain \(domid):
        nodes: \(usage.nodes)
        watches: \(usage.watches)
        transactions: \(usage.transactions)
        outstanding: \(usage.outstanding)
        memory: \(usage.memory)

        """)
    case ("quota", 3):
      guard parameters[0] == "set", let value = Int(parameters[2]), value >= 1,
        let field = XenstoreQuotas.fields.first(where: { $0.name == parameters[1] })
      else { throw .EINVAL }
      quotas[keyPath: field.path] = value
    default: throw .EINVAL
    }
    return terminated("OK")
  }

  private func table(_ value: (KeyPath<XenstoreQuotas, Int>) -> Int) -> String {
    XenstoreQuotas.fields.map { field in
      field.name + String(repeating: " ", count: 17 - field.name.count) + ": \(value(field.path))\n"
    }.joined()
  }

  /// Whether the tree and its accounts agree: every node hangs on its parent once, and nothing else is there.
  public var isConsistent: Bool {
    var open: [XenstorePath] = [.root, .introduceDomain, .releaseDomain]
    var seen = 0
    var owned: [UInt16: Int] = [:]
    while let path = open.popLast() {
      guard let node = store[path], Set(node.children).count == node.children.count else { return false }
      seen += 1
      owned[node.permissions.owner, default: 0] += 1
      for name in node.children { open.append(path.child(name)) }
    }
    return seen == store.nodes.count && owned.allSatisfy { usage(of: $0.key).nodes == $0.value }
      && store.usage.allSatisfy { $0.value.nodes == owned[$0.key] ?? 0 }
  }
}
