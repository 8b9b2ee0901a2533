import Control

/// Tables in xl's columns, so that scripts written for it can read them.
enum DomainTables {
  private static func left(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }
  private static func right(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }

  /// A number with one digit behind the point.
  private static func tenths(_ tenths: UInt64) -> String { "\(tenths / 10).\(tenths % 10)" }
  private static func seconds(_ nanoseconds: UInt64) -> String { tenths(nanoseconds / 100_000_000) }
  private static func percent(_ part: UInt64, of whole: UInt64) -> String { whole == 0 ? "0.0" : tenths(UInt64(Double(part) * 1000 / Double(whole) + 0.5)) }

  static func domains(_ list: [DomainSummary]) -> String {
    var text = "Name                                        ID   Mem VCPUs\tState\tTime(s)\n"
    for d in list {
      text += left(d.name, 40) + " " + right("\(d.id)", 5) + " " + right("\(d.memory / 1024)", 5) + " " + right("\(d.virtualProcessors)", 5)
        + "     " + d.state + "  " + right(seconds(d.time), 8) + "\n"
    }
    return text
  }

  static func virtualProcessors(_ list: [VirtualProcessorSummary]) -> String {
    var text = left("Name", 32) + " " + right("ID", 5) + " " + right("VCPU", 5) + " " + right("CPU", 5) + " " + right("State", 5)
      + " " + right("Time(s)", 9) + " Affinity (Hard / Soft)\n"
    for v in list {
      let state = v.isUp ? (v.isPaused ? "--p" : v.isRunnable ? "r--" : "-b-") : "--p"
      text += left(v.domain, 32) + " " + right("\(v.id)", 5) + " " + right("\(v.index)", 5) + " " + right(v.isUp ? "\(v.processor)" : "-", 5) + " "
        + right(state, 5) + " " + right(seconds(v.time), 9) + "  \(v.affinity.map { $0.map { "\($0)" }.joined(separator: ",") } ?? "all") / all\n"
    }
    return text
  }

  static func schedule(_ list: [ScheduleSummary]) -> String {
    var text = left("Name", 33) + " " + right("ID", 4) + " " + right("Weight", 6) + " " + right("Cap", 4) + "\n"
    for d in list { text += left(d.domain, 33) + " " + right("\(d.id)", 4) + " " + right("\(d.weight)", 6) + " " + right("\(d.cap)", 4) + "\n" }
    return text
  }

  /// - Parameter before: the summary that differences refer to; nil for the hypervisor's beginning.
  static func top(_ now: MachineSummary, before: MachineSummary?) -> String {
    let passed = now.time - min(now.time, before?.time ?? 0)
    let running = now.domains.count { $0.state.first == "r" }
    var text = "xenolith \(now.version)   \(seconds(now.time)) s   \(now.domains.count) domains: \(running) running, "
      + "\(now.domains.count { $0.isPaused }) paused   Mem: \(now.memory)k total, \(now.memory - now.freeMemory)k used, \(now.freeMemory)k free\n"
    text += right("NAME", 16) + "  STATE " + right("CPU(sec)", 10) + right("CPU(%)", 8) + right("MEM(k)", 11) + right("MEM(%)", 8)
      + right("MAXMEM(k)", 11) + right("MAXMEM(%)", 10) + right("VCPUS", 6) + "\n"
    for d in now.domains {
      let old = before?.domains.first { $0.id == d.id }?.time ?? 0
      text += right(d.name, 16) + " " + d.state + " " + right(seconds(d.time), 10)
        + right(percent(d.time - min(d.time, old), of: passed), 8) + right("\(d.memory)", 11) + right(percent(d.memory, of: now.memory), 8)
        + right("\(d.maximumMemory)", 11) + right(percent(d.maximumMemory, of: now.memory), 10) + right("\(d.virtualProcessors)", 6) + "\n"
    }
    return text
  }
}
