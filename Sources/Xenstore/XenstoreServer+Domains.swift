/// A domain that the server serves.
struct DomainRecord {
  /// Nil after the transport closed it.
  var connection: XenstoreConnectionID?
  /// Whether its shutdown was announced already; RESUME takes that back.
  var isShutDown = false
  /// The domain it may act for.
  var target: UInt16?
}

/// The coming and going of domains.
extension XenstoreServer {
  /// Numbers from here on name no domain (xen/include/public/xen.h, DOMID_FIRST_RESERVED).
  private static let firstReservedDomid: UInt16 = 0x7FF0

  // MARK: For the toolstack

  /// Begins to serve a domain. One that is served already has its connection reset.
  /// - Returns: the connection that speaks for the domain, to be attached to its ring page.
  @discardableResult
  public func introduce(_ domid: UInt16) -> XenstoreConnectionID {
    defer { deliverLocally() }
    if let known = domains[domid]?.connection {
      reset(known)
      return known
    }
    let isNew = domains[domid] == nil
    let connection = connect(domid: domid)
    domains[domid, default: DomainRecord()].connection = connection
    if isNew { fire(.introduceDomain, .exact) }
    return connection
  }

  /// Ends the service of a domain that is gone: what it owned in the store goes with it. An unknown one is ignored.
  public func release(_ domid: UInt16) {
    guard let record = domains[domid] else { return }
    defer { deliverLocally() }
    // Its own watches first: nobody is there to hear of its nodes' removal.
    if let connection = record.connection { disconnect(connection) }
    domains[domid] = nil
    for (other, record) in domains where record.target == domid { domains[other]?.target = nil }
    removeAll(of: domid)
    fire(.releaseDomain, .exact)
  }

  /// Says that a domain has shut down or crashed; those who watch "@releaseDomain" are told once.
  public func domainHasShutDown(_ domid: UInt16) {
    guard let record = domains[domid], !record.isShutDown else { return }
    domains[domid]?.isShutDown = true
    fire(.releaseDomain, .exact)
    deliverLocally()
  }

  /// Says that a domain that had shut down runs on, as after a save.
  public func domainHasResumed(_ domid: UInt16) { domains[domid]?.isShutDown = false }

  /// The domains that are served.
  public var introducedDomains: [UInt16] { domains.keys.sorted() }

  // MARK: On the wire

  func introduce(_ r: Request) throws(XenstoreError) {
    let strings = r.payload[...].terminatedStrings
    guard strings.count >= 3 else { throw .EINVAL }
    let domid = try domid(strings[0])
    // The frame number is signed decimal, as ever.
    guard domid != 0, domid < Self.firstReservedDomid, let gfn = Int64(String(decoding: strings[1], as: UTF8.self)),
      let port = strings[2].decimal.flatMap(UInt32.init(exactly:)), port > 0
    else { throw .EINVAL }
    let isNew = domains[domid] == nil
    let connection = introduce(domid)
    guard host.introduce(domid, gfn, port, connection) else {
      if isNew { release(domid) }
      throw .EINVAL
    }
  }

  func releaseConnected(_ r: Request) throws(XenstoreError) {
    let domid = try connectedDomain(only(r))
    release(domid)
    host.release(domid)
  }

  func setTarget(_ r: Request) throws(XenstoreError) {
    let strings = r.payload[...].terminatedStrings
    guard strings.count >= 2 else { throw .EINVAL }
    let domid = try connectedDomain(strings[0])
    let target = try connectedDomain(strings[1])
    domains[domid]?.target = target
  }

  /// The number of a domain that is served and has a connection.
  func connectedDomain(_ text: ArraySlice<UInt8>) throws(XenstoreError) -> UInt16 {
    let domid = try domid(text)
    guard domid != 0 else { throw .EINVAL }
    guard let record = domains[domid] else { throw .ENOENT }
    guard record.connection != nil else { throw .EINVAL }
    return domid
  }
}
