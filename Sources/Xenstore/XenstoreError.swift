/// Why a request failed. The raw value is what travels in an ERROR message: the name of the errno value.
///
/// Source: xen/include/public/io/xs_wire.h, xsd_errors.
public enum XenstoreError: String, Error, Sendable, CaseIterable {
  case EINVAL, EACCES, EEXIST, EISDIR, ENOENT, ENOMEM, ENOSPC, EIO, ENOTEMPTY, ENOSYS, EROFS, EBUSY, EAGAIN, EISCONN
  case E2BIG, EPERM
}

/// Why the server stopped listening to a connection. The raw value is what stands in the `error` field of a ring page.
///
/// Source: xs_wire.h, XENSTORE_ERROR_*.
public enum XenstoreConnectionError: UInt32, Error, Sendable {
  /// The event channel does not work.
  case communication = 1
  /// The ring's producer and consumer offsets contradict each other.
  case ringIndex = 2
  /// A message announced more payload than the protocol allows: what follows cannot be told apart any more.
  case protocolViolation = 3
}
