import Testing

@testable import Toolstack

@Suite struct DomainConfigurationTests {
  private func parse(_ text: String, _ overrides: String...) throws(ConfigurationError) -> DomainConfiguration {
    try DomainConfiguration(parsing: Array(text.utf8), file: "g.cfg", overrides: overrides)
  }

  private func refusal(_ text: String, _ overrides: String...) -> String? {
    do {
      _ = try DomainConfiguration(parsing: Array(("name = 'g'\n" + text).utf8), file: "g.cfg", overrides: overrides)
      return nil
    } catch {
      return error.description
    }
  }

  @Test func aTypicalFile() throws {
    let c = try parse("""
      name = "debian"
      uuid = "01234567-89AB-cdef-0123-456789abcdef"
      type = "pv"
      kernel = "/boot/vmlinuz"
      ramdisk = "/boot/initrd"
      root = "/dev/xvda1 ro"
      extra = "console=hvc0"
      memory = 512
      maxmem = 1024
      vcpus = 2
      maxvcpus = 4
      cpus = ["0", "1-3,^2"]
      cpu_weight = 512
      cap = 50
      disk = [ 'file:/d.img,xvda,w', "format=qcow2, vdev=xvdb, access=ro, target=/e, f.qcow2" ]
      vif = [ 'mac=00:16:3e:00:00:01,bridge=xenbr0', '' ]
      on_poweroff = "preserve"
      on_reboot = "rename-restart"
      on_crash = "coredump-restart"
      on_watchdog = "coredump-destroy"
      on_soft_reset = "destroy"
      """)
    #expect(c.warnings.isEmpty)
    #expect(c.name == "debian" && c.type == .pv)
    #expect(c.uuid?.description == "01234567-89ab-cdef-0123-456789abcdef")
    #expect(c.kernel == "/boot/vmlinuz" && c.ramdisk == "/boot/initrd")
    #expect(c.commandLine == "root=/dev/xvda1 ro console=hvc0")
    #expect(c.memory == 512 && c.maximumMemory == 1024)
    #expect(c.vcpus == 2 && c.maximumVCPUs == 4)
    #expect(c.affinity.count == 2)
    #expect(c.affinity(ofVCPU: 0)?.processors(of: 4) == [0])
    #expect(c.affinity(ofVCPU: 1)?.processors(of: 4) == [1, 3])
    #expect(c.affinity(ofVCPU: 3)?.processors(of: 4) == [1, 3])
    #expect(c.weight == 512 && c.cap == 50)
    #expect(c.disks.map(\.target) == ["/d.img", "/e, f.qcow2"])
    #expect(c.networks.count == 2 && c.networks[0].bridge == "xenbr0" && c.networks[1] == NetworkConfiguration())
    #expect(c.onPoweroff == .preserve && c.onReboot == .renameRestart && c.onCrash == .coredumpRestart)
    #expect(c.onWatchdog == .coredumpDestroy && c.onSoftReset == .destroy)
  }

  @Test func whatIsNotSaid() throws {
    let c = try parse("name = 'g'")
    var plain = DomainConfiguration(name: "g")
    plain.origin = c.origin
    #expect(c == plain)
    #expect(c.memory == 128 && c.maximumMemory == 128 && c.vcpus == 1 && c.maximumVCPUs == 1 && c.weight == 256 && c.cap == 0)
    #expect(c.onPoweroff == .destroy && c.onReboot == .restart && c.onCrash == .destroy)
    #expect(c.onWatchdog == .destroy && c.onSoftReset == .softReset)
    #expect(c.affinity(ofVCPU: 0) == nil)
    #expect(try parse("name='g'; maxmem=64").memory == 64)
    #expect(try parse("name='g'; vcpus=3").maximumVCPUs == 3)
  }

  @Test func theCommandLineOfTheKernel() throws {
    #expect(try parse("name='g'; cmdline='a b'").commandLine == "a b")
    #expect(try parse("name='g'; root='/dev/x'").commandLine == "root=/dev/x")
    #expect(try parse("name='g'; extra='x'").commandLine == "x")
    let both = try parse("name='g'\ncmdline='a'\nroot='r'\nextra='e'")
    #expect(both.commandLine == "a")
    #expect(both.warnings.map(\.description) == [
      "g.cfg, line 3: root has no effect where cmdline is given", "g.cfg, line 4: extra has no effect where cmdline is given",
    ])
  }

  @Test func typesAndBuilders() throws {
    #expect(try parse("name='g'; type='pvh'").type == .pvh)
    #expect(try parse("name='g'; builder='hvm'").type == .hvm)
    #expect(try parse("name='g'; builder='generic'").type == .pv)
    let both = try parse("name='g'\ntype='pvh'\nbuilder='hvm'")
    #expect(both.type == .pvh && both.warnings.map(\.line) == [3])
    #expect(refusal("type='xen'") == "g.cfg, line 2: type is \"xen\", but must be one of pv, pvh, hvm")
    #expect(refusal("builder='x'")?.hasPrefix("g.cfg, line 2: builder is \"x\"") == true)
  }

  @Test func displaysAndFirmware() throws {
    let c = try parse("""
      name='g'
      serial = ['pty', 'null']
      console = 'pty'
      vnc = 1
      vnclisten = '0.0.0.0:3'
      keymap = 'de'
      vfb = ['sdl=1,vnc=0,opengl=1', 'vnclisten=::1,vncdisplay=4,vncunused=0,vncpasswd=p,keymap=fr']
      boot = 'dc'
      bios = 'ovmf'
      localtime = 1
      rtc_timeoffset = '-3600'
      nics = 1
      """)
    #expect(c.serial == ["pty", "null"] && c.console == "pty")
    #expect(c.framebuffers.count == 3)
    #expect(c.framebuffers[0].sdl && !c.framebuffers[0].vnc && c.framebuffers[0].opengl)
    #expect(c.framebuffers[1].vncListen == "::1" && c.framebuffers[1].vncDisplay == 4 && !c.framebuffers[1].vncUnused)
    #expect(c.framebuffers[1].vncPassword == "p" && c.framebuffers[1].keymap == "fr" && c.framebuffers[1].vnc)
    #expect(c.framebuffers[2].vnc && c.framebuffers[2].vncListen == "0.0.0.0:3" && c.framebuffers[2].keymap == "de")
    #expect(c.boot == "dc" && c.firmware == .ovmf && c.localTime && c.clockOffset == -3600)
    #expect(c.warnings.count == 11)
    #expect(c.warnings.first?.description == "g.cfg, line 2: serial is read, but has no effect yet")
    #expect(c.warnings.last?.key == "nics")
    #expect(try parse("name='g'; serial='pty'").serial == ["pty"])
    #expect(try parse("name='g'; firmware='uefi'").firmware == .uefi)
    #expect(try parse("name='g'; firmware='/rom.bin'").firmware == .file("/rom.bin"))
    #expect(try parse("name='g'; firmware_override='/rom.bin'").firmware == .file("/rom.bin"))
    #expect(refusal("vfb=['x=1']")?.contains("vfb \"x=1\": the parameter \"x\" is not known") == true)
    #expect(refusal("boot='x'")?.contains("boot is \"x\"") == true)
    #expect(refusal("bios='x'")?.contains("bios is \"x\"") == true)
  }

  @Test func warningsNameKeyAndLine() throws {
    let c = try parse("name='g'\npci = ['01:00.0']\n\nmemroy = 5\nfrobnicate = [1]\nvcpu=2")
    #expect(c.warnings.map(\.description) == [
      "g.cfg, line 2: pci is not supported yet and has no effect",
      "g.cfg, line 4: memroy is not a key that xl knows, and has no effect (did you mean memory?)",
      "g.cfg, line 5: frobnicate is not a key that xl knows, and has no effect",
      "g.cfg, line 6: vcpu is not a key that xl knows, and has no effect (did you mean vcpus?)",
    ])
  }

  @Test func whatHasNoEffectIsSaid() throws {
    let c = try parse("name='g'\ntype='pvh'\nmemory=64\nmaxmem=128\nvif=['',\n'rate=1MB/s']")
    #expect(c.maximumMemory == 64)
    #expect(c.warnings.map(\.description) == [
      "g.cfg, line 4: maxmem has no effect on a domain that is not paravirtual: it keeps the 64 megabytes of memory",
      "g.cfg, line 6: vif has rate=, which is not supported yet and has no effect",
    ])
  }

  @Test func everyKeyHasOnePlace() {
    let sets = [DomainConfiguration.supportedKeys, DomainConfiguration.ineffectiveKeys, DomainConfiguration.unsupportedKeys]
    #expect(sets.map(\.count).reduce(0, +) == sets.reduce(into: Set<String>()) { $0.formUnion($1) }.count)
  }

  @Test(arguments: [
    ("memory = 'lots'", "line 2: memory must be a whole number of megabytes, not \"lots\""),
    ("memory = '512M'", "line 2: memory must be a whole number of megabytes, not \"512M\""),
    ("memory = 0", "line 2: memory is 0, but must be at least 1"),
    ("memory = 99999999999999999999", "line 2: memory must be a whole number of megabytes, not \"99999999999999999999\""),
    ("memory = [1]", "line 2: memory must be a single value, not a list"),
    ("memory = 1\nmemory += 2", "line 3: memory is a number, which += cannot add to"),
    ("memory = 64\nmaxmem = 32", "line 3: maxmem is 32, less than memory, which is 64"),
    ("vcpus = 4\nmaxvcpus = 2", "line 3: maxvcpus is 2, less than vcpus, which is 4"),
    ("vcpus = 33", "line 2: vcpus is 33, but must be at most 32"),
    ("maxvcpus = 33", "line 2: maxvcpus is 33, but must be at most 32"),
    ("cpu_weight = 70000", "line 2: cpu_weight is 70000, but must be at most 65535"),
    ("cap = '-1'", "line 2: cap is -1, but must be at least 0"),
    ("cpus = [ '0',\n 'x' ]", "line 3: cpus has \"x\", but must be a list of processors like \"0-3,^2\", or \"all\""),
    ("uuid = 'x'", "line 2: uuid is \"x\", but must look like 01234567-89ab-cdef-0123-456789abcdef"),
    ("kernel = ''", "line 2: kernel must not be empty"),
    ("name = 'a/b'", "line 2: name is \"a/b\", but must be without blanks and slashes"),
    ("localtime = 'yes'", "line 2: localtime must be 0 or 1, not \"yes\""),
    ("disk = '/d,raw,xvda'", "line 2: disk must be a list, like [ \"…\" ]"),
    ("disk = [ ['x'] ]", "line 2: disk must be a list of strings, but has a list inside"),
    ("disk = [\n'/d,raw,xvda',\n'/d,row,xvdb' ]", "line 4: disk \"/d,row,xvdb\": the format \"row\" is none of raw, qcow, qcow2, vhd, qed, empty"),
    ("disk = [ '/d,raw,xvda', '/e,raw,d0p0' ]", "line 2: disk \"/e,raw,d0p0\": another disk is d0p0 already"),
    ("vif = [ 'mac=1' ]", "line 2: vif \"mac=1\": mac is \"1\", but must be like 00:16:3e:12:34:56, and no multicast address"),
    (
      "on_crash = 'explode'",
      "line 2: on_crash is \"explode\", but must be one of destroy, restart, rename-restart, preserve, coredump-destroy, coredump-restart, soft-reset"
    ),
  ])
  func errorsNameFileLineAndKey(text: String, expected: String) {
    #expect(refusal(text) == "g.cfg, " + expected)
  }

  @Test func theNameIsNeeded() {
    #expect(throws: ConfigurationError(
      file: "g.cfg", line: nil, key: "name", reason: "name is missing: give the domain one, like name = \"guest\"")
    ) { try parse("memory = 5") }
  }

  @Test func laterErrorsNameTheLineToo() throws {
    let c = try parse("name = 'g'\nkernel = '/k'\ndisk = [\n'/a,raw,xvda',\n'/b,raw,xvdb' ]", "ramdisk='/r'")
    #expect(c.error("kernel", "names /k, which is not there").description == "g.cfg, line 2: kernel names /k, which is not there")
    #expect(c.error("disk", element: 1, "has /b, which is not there").description == "g.cfg, line 5: disk has /b, which is not there")
    #expect(c.error("disk", element: 2, "is strange").description == "g.cfg, line 3: disk is strange")
    #expect(c.error("ramdisk", "is empty").description == "g.cfg with ramdisk='/r': ramdisk is empty")
    #expect(c.error("memory", "is too small").description == "g.cfg: memory is too small")
    #expect(DomainConfiguration(name: "x").error("kernel", "is missing").description == "the domain's configuration: kernel is missing")
  }

  @Test func overridesCountInsteadOfTheFile() throws {
    let c = try parse("name = 'g'\nmemory = 64\ndisk = ['/a,raw,xvda']", "memory=256", "disk += ['/b,raw,xvdb']", "foo = 1")
    #expect(c.memory == 256 && c.disks.count == 2)
    #expect(c.warnings.map(\.description) == ["g.cfg with foo = 1: foo is not a key that xl knows, and has no effect"])
    #expect(refusal("memory = 5", "memory=0") == "g.cfg with memory=0: memory is 0, but must be at least 1")
    #expect(refusal("memory = 5", "memory") == "g.cfg with memory: memory must be followed by =, not by the end of the file")
  }
}

@Suite struct AffinityTests {
  @Test(arguments: [
    ("all", [0, 1, 2, 3]), ("0-3,^2", [0, 1, 3]), ("2", [2]), ("all,^0-1", [2, 3]), ("^1", []), ("1,^1,1", [1]),
    ("node:0", [0, 1, 2, 3]), ("nodes:1-3", []), ("node:0,^3", [0, 1, 2]), ("all,^node:0,2", [2]), (" 1 , 2-2 ", [1, 2]),
    ("7", []), ("nodes:all", [0, 1, 2, 3]), ("0-65535", [0, 1, 2, 3]),
  ])
  func lists(text: String, expected: [Int]) {
    #expect(CPUAffinity(text)?.processors(of: 4) == expected)
  }

  @Test(arguments: ["", "x", "1-", "-1", "3-1", "1--2", "1,", "^", "all2", "node:", "node:^1", "65536", "+1", "1-2-3"])
  func badLists(text: String) { #expect(CPUAffinity(text) == nil) }
}

@Suite struct IdentityTests {
  @Test func uuids() {
    #expect(DomainUUID("0123456789abcdef0123456789ABCDEF")?.description == "01234567-89ab-cdef-0123-456789abcdef")
    for bad in ["", "0123", "01234567-89ab-cdef-0123-456789abcde", "01234567-89ab-cdef-0123-456789abcdeg", "0123456789ab-cdef-0123-4567-89abcdef", "+123456789abcdef0123456789abcdef"] {
      #expect(DomainUUID(bad) == nil)
    }
    let named = DomainUUID(name: "guest")
    #expect(DomainUUID(named.description) == named && named == DomainUUID(name: "guest") && named != DomainUUID(name: "guess"))
    #expect(named.bytes.count == 16 && named.bytes[6] >> 4 == 8 && named.bytes[8] >> 6 == 2)
  }

  @Test func macAddresses() {
    #expect(MACAddress("00:16:3E:0a:Ff:01")?.description == "00:16:3e:0a:ff:01")
    for bad in ["", "00:16:3e:0a:ff", "00:16:3e:0a:ff:01:02", "01:16:3e:0a:ff:01", "0:16:3e:0a:ff:01", "00-16-3e-0a-ff-01", "00:16:3e:+a:ff:01", "00:16:3e:0g:ff:01"] {
      #expect(MACAddress(bad) == nil)
    }
    var generator = SystemRandomNumberGenerator()
    let random = MACAddress(using: &generator)
    #expect(random.description.hasPrefix("00:16:3e:") && random.bytes[3] < 0x80)
  }
}
