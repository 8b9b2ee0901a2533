import Foundation
import Testing

/// The code blocks of the documentation are those that `Snippets` compiles and runs.
struct DocumentationTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  private func lines(_ path: String) throws -> [String] {
    try String(contentsOf: Self.root.appendingPathComponent(path), encoding: .utf8).components(separatedBy: "\n")
  }

  /// Without the indentation that all lines have.
  private func dedent(_ lines: [String]) -> String {
    let indent = lines.filter { !$0.isEmpty }.map { $0.prefix { $0 == " " }.count }.min() ?? 0
    return lines.map { String($0.dropFirst(indent)) }.joined(separator: "\n")
  }

  /// What stands between pairs of lines.
  private func blocks(_ lines: [String], from begin: String, to end: String) -> [String] {
    var found: [String] = []
    var block: [String]?
    for line in lines {
      let text = line.trimmingCharacters(in: .whitespaces)
      if block == nil {
        if text == begin { block = [] }
      } else if text == end {
        found.append(dedent(block!))
        block = nil
      } else {
        block!.append(line)
      }
    }
    return found
  }

  @Test(arguments: ["XenolithCore.md", "GettingStarted.md", "WhatIsCalledWhen.md"])
  func codeBlocksAreTested(article: String) throws {
    let tested = Set(blocks(try lines("Tests/XenolithCoreTests/Snippets.swift"), from: "// [snippet]", to: "// [end]"))
    let written = blocks(try lines("Sources/XenolithCore/XenolithCore.docc/\(article)"), from: "```swift", to: "```")
    #expect(article == "XenolithCore.md" || !written.isEmpty)
    for block in written { #expect(tested.contains(block), "a code block of \(article) is not in Snippets.swift:\n\(block)") }
  }

  @Test func readmeIsTested() throws {
    let tested = Set(blocks(try lines("Tests/XenolithCoreTests/Snippets.swift"), from: "// [snippet]", to: "// [end]"))
    let section = try lines("README.md").drop { $0 != "## As a library" }.dropFirst().prefix { !$0.hasPrefix("## ") }
    let written = blocks(Array(section), from: "```swift", to: "```")
    #expect(written.count == 1)
    for block in written { #expect(tested.contains(block), "README's code block is not in Snippets.swift:\n\(block)") }
  }

  /// Every page that an article links to is there.
  @Test func links() throws {
    let catalogue = Self.root.appendingPathComponent("Sources/XenolithCore/XenolithCore.docc")
    let pages = try FileManager.default.contentsOfDirectory(atPath: catalogue.path)
    for page in pages where page.hasSuffix(".md") {
      for line in try lines("Sources/XenolithCore/XenolithCore.docc/\(page)") {
        for part in line.components(separatedBy: "<doc:").dropFirst() {
          let name = part.prefix { $0 != ">" }
          #expect(pages.contains("\(name).md"), "\(page) links to \(name)")
        }
      }
    }
  }
}
