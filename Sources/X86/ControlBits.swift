/// Bits of the flags, control and extended-feature registers, named as in the SDM.

/// RFLAGS (SDM vol. 1 §3.4.3).
public enum RFLAGS {
  public static let CF: UInt64 = 1 << 0
  public static let PF: UInt64 = 1 << 2
  public static let AF: UInt64 = 1 << 4
  public static let ZF: UInt64 = 1 << 6
  public static let SF: UInt64 = 1 << 7
  public static let TF: UInt64 = 1 << 8
  public static let IF: UInt64 = 1 << 9
  public static let DF: UInt64 = 1 << 10
  public static let OF: UInt64 = 1 << 11
  public static let IOPL: UInt64 = 3 << 12
  public static let NT: UInt64 = 1 << 14
  public static let RF: UInt64 = 1 << 16
  public static let VM: UInt64 = 1 << 17
  public static let AC: UInt64 = 1 << 18
  public static let VIF: UInt64 = 1 << 19
  public static let VIP: UInt64 = 1 << 20
  public static let ID: UInt64 = 1 << 21
  /// CF PF AF ZF SF OF.
  public static let status: UInt64 = 0x8D5
}

/// CR0 (SDM vol. 3A §2.5).
public enum CR0 {
  public static let PE: UInt64 = 1 << 0
  public static let MP: UInt64 = 1 << 1
  public static let EM: UInt64 = 1 << 2
  public static let TS: UInt64 = 1 << 3
  public static let ET: UInt64 = 1 << 4
  public static let NE: UInt64 = 1 << 5
  public static let WP: UInt64 = 1 << 16
  public static let AM: UInt64 = 1 << 18
  public static let NW: UInt64 = 1 << 29
  public static let CD: UInt64 = 1 << 30
  public static let PG: UInt64 = 1 << 31
}

/// CR4 (SDM vol. 3A §2.5).
public enum CR4 {
  public static let VME: UInt64 = 1 << 0
  public static let PVI: UInt64 = 1 << 1
  public static let TSD: UInt64 = 1 << 2
  public static let DE: UInt64 = 1 << 3
  public static let PSE: UInt64 = 1 << 4
  public static let PAE: UInt64 = 1 << 5
  public static let MCE: UInt64 = 1 << 6
  public static let PGE: UInt64 = 1 << 7
  public static let PCE: UInt64 = 1 << 8
  public static let OSFXSR: UInt64 = 1 << 9
  public static let OSXMMEXCPT: UInt64 = 1 << 10
  public static let UMIP: UInt64 = 1 << 11
  public static let LA57: UInt64 = 1 << 12
  public static let FSGSBASE: UInt64 = 1 << 16
  public static let PCIDE: UInt64 = 1 << 17
  public static let OSXSAVE: UInt64 = 1 << 18
  public static let SMEP: UInt64 = 1 << 20
  public static let SMAP: UInt64 = 1 << 21
  public static let PKE: UInt64 = 1 << 22
}

/// IA32_EFER (SDM vol. 3A §2.2.1).
public enum EFER {
  public static let SCE: UInt64 = 1 << 0
  public static let LME: UInt64 = 1 << 8
  public static let LMA: UInt64 = 1 << 10
  public static let NXE: UInt64 = 1 << 11
}
