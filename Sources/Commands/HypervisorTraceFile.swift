import Hypervisor
import Machine

/// What happens inside the hypervisor, in a file: lines of text, or of JSON where the file's name ends in .json or .jsonl (`TraceRecord`).
final class HypervisorTraceFile: HypervisorTrace {
  private let file: SerialEndpoint
  private let isJSON: Bool
  private let kinds: Set<TraceRecord.Kind>

  /// - Parameter text: a path and, after commas, the kinds of records that are wanted: all, if there are none.
  /// - Throws: a kind that is not known, or a file that cannot be written.
  init(_ text: String) throws(MachineError) {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    var kinds: Set<TraceRecord.Kind> = []
    for part in parts.dropFirst() {
      guard let kind = TraceRecord.Kind(rawValue: part) else {
        throw .usage("--trace: \(part) is no kind of record: \(TraceRecord.Kind.allCases.map(\.rawValue).joined(separator: ", ")) are")
      }
      kinds.insert(kind)
    }
    self.kinds = kinds.isEmpty ? Set(TraceRecord.Kind.allCases) : kinds
    isJSON = parts[0].hasSuffix(".json") || parts[0].hasSuffix(".jsonl")
    file = try SerialEndpoint(.file(parts[0]))
  }

  func wants(_ kind: TraceRecord.Kind) -> Bool { kinds.contains(kind) }

  func record(_ record: TraceRecord) {
    for byte in ((isJSON ? record.json : record.text) + "\n").utf8 { file.put(byte) }
  }

  func flush() { file.flush() }

  /// Why it has ended before its time.
  var failure: SerialEndpoint.Failure? { file.failure }
}
