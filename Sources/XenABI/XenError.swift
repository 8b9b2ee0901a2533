/// Error numbers that hypercalls return negated (xen/include/public/errno.h).
public enum XenError: Int32, Error, Sendable {
  case EPERM = 1
  case ENOENT = 2
  case ESRCH = 3
  case EINTR = 4
  case EIO = 5
  case ENXIO = 6
  case E2BIG = 7
  case EBADF = 9
  case EAGAIN = 11
  case ENOMEM = 12
  case EACCES = 13
  case EFAULT = 14
  case EBUSY = 16
  case EEXIST = 17
  case EXDEV = 18
  case ENODEV = 19
  case ENOTDIR = 20
  case EISDIR = 21
  case EINVAL = 22
  case EMFILE = 24
  case ENOSPC = 28
  case EROFS = 30
  case EDOM = 33
  case ERANGE = 34
  case ENOSYS = 38
  case ENODATA = 61
  case ETIME = 62
  case EBADMSG = 74
  case EOVERFLOW = 75
  case EOPNOTSUPP = 95

  /// What the guest sees in its result register.
  public var result: UInt64 { UInt64(bitPattern: -Int64(rawValue)) }
}
