extension DomainConfiguration {
  /// Makes relative paths those below a folder: of whoever wrote the file, not of who reads the files it names.
  public mutating func resolvePaths(in folder: String) {
    func resolved(_ path: String) -> String { path.isEmpty || path.hasPrefix("/") ? path : folder + "/" + path }
    kernel = kernel.map(resolved)
    ramdisk = ramdisk.map(resolved)
    for n in disks.indices { disks[n].target = resolved(disks[n].target) }
  }
}
