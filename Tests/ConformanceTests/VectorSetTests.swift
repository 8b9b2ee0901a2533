import Foundation
import Machine
import Testing

@testable import Conformance

/// The vectors captured from silicon, which lie beside the checkout: every test that no rule skips must pass.
/// `XENOLITH_VECTORS` names another folder for them, `XENOLITH_VECTOR_SHARDS=1` runs all instead of a fifth.
struct VectorSetTests {
  static let folder: String = {
    if let path = ProcessInfo.processInfo.environment["XENOLITH_VECTORS"] { return path }
    return URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/../../../shared/vectors"
  }()

  private static func run(_ set: String, bySteps: Bool) throws -> MOOReport {
    let path = folder + "/" + set
    func contents(_ path: String) throws(MachineError) -> [UInt8] {
      guard let data = FileManager.default.contents(atPath: path) else { throw .missingFile(path) }
      return [UInt8](data)
    }
    let names = try FileManager.default.contentsOfDirectory(atPath: path).filter { $0.hasSuffix(".MOO.gz") }.sorted()
    let metadata = try MOOMetadata(try JSON.parse(try contents(path + "/metadata.json"), name: set), name: set)
    var campaign = MOOCampaign(files: names.map { (path + "/" + $0, 1) }, metadata: metadata)
    let shards = Int(ProcessInfo.processInfo.environment["XENOLITH_VECTOR_SHARDS"] ?? "") ?? 5
    campaign.shard = .init(index: 1, count: max(1, shards))
    campaign.bySteps = bySteps
    campaign.workers = ProcessInfo.processInfo.activeProcessorCount
    return MOOReport(results: try campaign.run(contents: { path throws(MachineError) in
      guard let data = FileManager.default.contents(atPath: path) else { throw .missingFile(path) }
      return [UInt8](data)
    }) { _ in }, hostSeconds: 0, title: set)
  }

  @Test(
    .enabled(if: FileManager.default.fileExists(atPath: folder + "/80286/metadata.json"), "the vectors are absent (XENOLITH_VECTORS)"),
    arguments: ["8086", "80286"], [false, true])
  func silicon(set: String, bySteps: Bool) throws {
    let report = try Self.run(set, bySteps: bySteps)
    #expect(report.failed == 0, "\(report.brief)")
    #expect(report.passed > (set == "8086" ? 25_000 : 50_000))
    // Rules may not swallow a set.
    #expect(report.skipped * 100 < report.total * 6)
  }
}
