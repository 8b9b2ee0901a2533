import Hypervisor
import XenABI
import Xenstore

/// States of either end of a split device (xen/include/public/io/xenbus.h).
public enum XenbusState: Int, Sendable {
  case unknown = 0, initialising, initWait, initialised, connected, closing, closed
}

/// Why a back end does not connect; the description is what a log line says behind the device's name.
public struct BackendError: Error, CustomStringConvertible, Sendable {
  public let description: String
  public init(_ description: String) { self.description = description }
}

/// What a kind of device does when its front end comes and goes.
public protocol BackendDriver: AnyObject {
  /// What the back end can do, as nodes of its directory, written before the front end makes up its mind.
  var features: [(key: String, value: String)] { get }
  /// Joins the front end's rings and ports.
  /// - Parameter frontend: reads what the front end has written.
  /// - Returns: nodes that tell the front end of the device.
  func connect(_ frontend: FrontendNodes) throws(BackendError) -> [(key: String, value: String)]
  /// Lets go of everything that belongs to the front end. May be called twice.
  func disconnect()
  /// Goes on with what was left over.
  func service()
}

/// The directory that a front end writes. The guest may have written anything there.
public struct FrontendNodes {
  let store: XenstoreServer
  public let path: String

  public init(store: XenstoreServer, path: String) {
    self.store = store
    self.path = path
  }

  public func text(_ key: String) -> String? { try? store.readString("\(path)/\(key)") }

  /// A number; nil where there is none.
  public func number(_ key: String) -> UInt32? {
    guard let text = text(key), !text.hasPrefix("+") else { return nil }
    return UInt32(text)
  }

  public func flag(_ key: String) -> Bool { number(key).map { $0 != 0 } ?? false }

  /// A number that must be there.
  func required(_ key: String) throws(BackendError) -> UInt32 {
    guard let n = number(key) else { throw BackendError("the front end has written no number as \(key)") }
    return n
  }
}

/// One device's back end in xenstore: it follows the states of its front end.
///
/// Initialising → InitWait (what the back end can do is written) → Connected (the rings are joined) → Closing → Closed, and from there anew when
/// the front end comes back, as after kexec.
///
/// Sources: xen/include/public/io/xenbus.h; docs/misc/xenstore-paths.pandoc.
///
/// Not modelled: taking a device away from a running domain, and reconfiguration (states 7 and 8).
public final class XenbusBackend {
  public let kind: String
  public let number: UInt32
  public let domain: Domain
  public private(set) var state = XenbusState.unknown
  /// What the device is called in messages: "d1 vbd/51712".
  public var name: String { "\(domain.id) \(kind)/\(number)" }
  public var backendPath: String { "/local/domain/0/backend/\(kind)/\(domain.id.rawValue)/\(number)" }
  public var frontendPath: String { "/local/domain/\(domain.id.rawValue)/device/\(kind)/\(number)" }

  private let store: XenstoreServer
  private let driver: any BackendDriver
  private var watch: XenstoreWatchID?

  public init(kind: String, number: UInt32, domain: Domain, store: XenstoreServer, driver: any BackendDriver) {
    self.kind = kind
    self.number = number
    self.domain = domain
    self.store = store
    self.driver = driver
  }

  /// Makes the nodes of both ends, and begins.
  /// - Parameters:
  ///   - backend, frontend: nodes besides those that all devices have.
  public func start(backend: [(key: String, value: String)], frontend: [(key: String, value: String)]) {
    let id = domain.id.rawValue
    // Nodes below take the permissions of these.
    make(backendPath, [XenstorePermission(.none, 0), XenstorePermission(.read, id)])
    make(frontendPath, [XenstorePermission(.none, id), XenstorePermission(.read, 0)])
    put(backendPath, [("frontend", frontendPath), ("frontend-id", "\(id)"), ("online", "1")] + backend)
    put(frontendPath, [("backend", backendPath), ("backend-id", "0")] + frontend)
    put(frontendPath, [("state", "\(XenbusState.initialising.rawValue)")])
    wait()
    watch = try? store.watch("\(frontendPath)/state") { [weak self] _ in self?.frontendChanged() }
  }

  /// Ends the device for good and removes its own nodes.
  public func stop() {
    if let watch { store.unwatch(watch) }
    watch = nil
    driver.disconnect()
    try? store.remove(backendPath)
    // The last device of its kind takes the domain's directory with it.
    let parent = "/local/domain/0/backend/\(kind)/\(domain.id.rawValue)"
    if (try? store.list(parent))?.isEmpty == true { try? store.remove(parent) }
    state = .closed
  }

  public func service() { driver.service() }

  /// The connection cannot go on: it ends, and the front end is told.
  public func fail(_ why: String) {
    guard state == .connected || state == .initWait else { return }
    domain.complain("\(name): \(why)")
    driver.disconnect()
    enter(.closing)
  }

  private func make(_ path: String, _ permissions: [XenstorePermission]) {
    try? store.makeDirectory(path)
    try? store.setPermissions(path, permissions)
  }

  private func put(_ path: String, _ nodes: [(key: String, value: String)]) {
    // The host's writes have no quota; the paths are well formed.
    for (key, value) in nodes { try? store.write("\(path)/\(key)", value) }
  }

  private func enter(_ new: XenbusState) {
    if state == new { return }
    state = new
    put(backendPath, [("state", "\(new.rawValue)")])
  }

  private func wait() {
    put(backendPath, driver.features)
    enter(.initWait)
  }

  private func frontendChanged() {
    let nodes = FrontendNodes(store: store, path: frontendPath)
    switch nodes.number("state").flatMap({ XenbusState(rawValue: Int($0)) }) ?? .unknown {
    case .initialising:
      if state == .initWait { return }
      driver.disconnect()
      wait()
    case .initialised, .connected:
      if state == .initWait { connect(nodes) }
    case .closing:
      if state != .closed { enter(.closing) }
    case .closed, .unknown:
      driver.disconnect()
      enter(.closed)
    case .initWait: break
    }
  }

  private func connect(_ nodes: FrontendNodes) {
    do throws(BackendError) {
      put(backendPath, try driver.connect(nodes))
      enter(.connected)
    } catch {
      fail(error.description)
    }
  }
}
