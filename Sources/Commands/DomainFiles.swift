import Control
import Hypervisor
import Machine
import Toolstack

/// Configuration files and what they name, as they are read for `create`.
enum DomainFiles {
  /// - Parameter source: where the file was and what was in it.
  static func configuration(_ source: DomainSource) throws(MachineError) -> DomainConfiguration {
    do throws(ConfigurationError) {
      var configuration = try DomainConfiguration(parsing: Array(source.text), file: source.file)
      configuration.resolvePaths(in: source.directory)
      return configuration
    } catch {
      throw .badImage(error.description)
    }
  }

  /// Contents of the kernel's file and of the initial RAM disk's.
  static func images(_ configuration: DomainConfiguration) throws(MachineError) -> (kernel: [UInt8], ramdisk: [UInt8]) {
    guard let path = configuration.kernel else {
      throw .badImage(configuration.error("kernel", "is missing, and a domain cannot boot from a disk yet").description)
    }
    let kernel = try part(path, "kernel", configuration)
    guard let ramdisk = configuration.ramdisk else { return (kernel, []) }
    return (kernel, try part(ramdisk, "ramdisk", configuration))
  }

  /// A file that a key of the configuration names.
  private static func part(_ path: String, _ key: String, _ configuration: DomainConfiguration) throws(MachineError) -> [UInt8] {
    do throws(MachineError) { return try HostFile.contents(path, isRegular: true) } catch {
      throw .missingFile(configuration.error(key, "\(error)").description)
    }
  }

  /// Makes a domain as a configuration says.
  static func create(_ source: DomainSource, paused: Bool, on manager: DomainManager) throws(MachineError) -> ManagedDomain {
    let configuration = try configuration(source)
    let (kernel, ramdisk) = try images(configuration)
    do throws(BuildError) {
      return try manager.create(configuration, kernel: kernel, ramdisk: ramdisk, source: source, paused: paused)
    } catch {
      let sentence = error.isLocated ? "\(error)" : "\(source.file): \(error)"
      throw error.isMissingFile ? .missingFile(sentence) : .badImage(sentence)
    }
  }

  /// Makes a domain from the file of a saved one.
  static func restore(_ path: String, _ configuration: DomainSource?, paused: Bool, on manager: DomainManager) throws(MachineError) -> ManagedDomain {
    let file = try SavedDomainFile(path)
    do throws(BuildError) { return try manager.restore(file, source: configuration, paused: paused) } catch {
      throw error.isMissingFile ? .missingFile("\(path): \(error)") : .badImage("\(path): \(error)")
    }
  }
}
