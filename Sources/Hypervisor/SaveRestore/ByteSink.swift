/// Takes the bytes of a file, piece after piece: what holds a domain's memory need not fit into the hypervisor's.
public protocol ByteSink: AnyObject {
  func take(_ bytes: UnsafeRawBufferPointer) throws(BuildError)
}

/// Writes all of a file.
public typealias FileBody = (any ByteSink) throws(BuildError) -> Void

extension ByteSink {
  public func take(_ bytes: [UInt8]) throws(BuildError) {
    var failure: BuildError?
    bytes.withUnsafeBytes {
      do throws(BuildError) { try take($0) } catch { failure = error }
    }
    if let failure { throw failure }
  }
}
