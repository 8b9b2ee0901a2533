import Testing

@testable import Toolstack

@Suite struct DiskTests {
  private func disk(_ text: String) -> DiskConfiguration? { try? DiskConfiguration(parsing: text) }

  private func refusal(_ text: String) -> String? {
    do {
      _ = try DiskConfiguration(parsing: text)
      return nil
    } catch {
      return error.description
    }
  }

  /// The forms of xl-disk-configuration(5) that mean the same.
  @Test(arguments: [
    "/d.img,raw,xvda,rw", "/d.img,raw,xvda,w", "/d.img,raw,xvda", "/d.img,,xvda", "/d.img, raw, xvda, rw",
    "format=raw, vdev=xvda, access=rw, target=/d.img", "vdev=xvda,target=/d.img", "raw:/d.img,xvda,w", "file:/d.img,xvda,w",
    "phy:/d.img,xvda,w", "tap:aio:/d.img,xvda,w", "tap2:/d.img,xvda,", "/d.img,vdev=xvda", "access=rw,/d.img,raw,xvda",
    "/d.img,raw,xvda:disk,w",
  ])
  func sameDisk(text: String) throws {
    let found = try DiskConfiguration(parsing: text)
    #expect(found.target == "/d.img" && found.format == .raw && found.device.name == "xvda" && found.isWritable)
    #expect(!found.isCDROM && found.discard == nil && found.backend == nil && found.script == nil)
  }

  @Test func otherForms() {
    #expect(disk("tap:qcow2:/d,xvdb,r")?.format == .qcow2)
    #expect(disk("tap:qcow2:/d,xvdb,r")?.isWritable == false)
    #expect(disk("/d,vhd,xvda,ro")?.format == .vhd)
    let cd = disk("/x.iso,raw,hdc:cdrom,r")
    #expect(cd?.isCDROM == true && cd?.isWritable == false && cd?.device.name == "hdc" && cd?.format == .raw)
    #expect(disk("/x.iso,raw,hdc,rw,cdrom")?.isWritable == false)
    #expect(disk("devtype=cdrom,vdev=hdc,target=/x.iso")?.isCDROM == true)
    for text in [",hdc:cdrom,r", ",empty,hdc,cdrom", "format=empty,vdev=hdc,cdrom", "vdev=hdc,devtype=cdrom,target="] {
      let empty = disk(text)
      #expect(empty?.format == .empty && empty?.isCDROM == true && empty?.target == "", "\(text)")
    }
    #expect(disk("vdev=xvda,target=/with, commas=and:colons")?.target == "/with, commas=and:colons")
    #expect(disk("/d,raw,xvda,discard")?.discard == true)
    #expect(disk("/d,raw,xvda,rw,no-discard,direct-io-safe")?.discard == false)
    #expect(disk("/d,raw,xvda,rw,no-discard,direct-io-safe")?.isDirectIOSafe == true)
    #expect(disk("/d,raw,xvda,backendtype=qdisk,backend=stor,script=block-x")?.backend == .qdisk)
    #expect(disk("/d,raw,xvda,backendtype=qdisk,backend=stor,script=block-x")?.backendDomain == "stor")
    #expect(disk("/d,raw,xvda,w!")?.isShared == true && disk("/d,raw,xvda,w!")?.isWritable == true)
    #expect(disk("/d,raw,xvda,w")?.isShared == false && disk("/d,raw,xvda,r")?.isShared == false)
    #expect(disk("drbd:res,xvda,w")?.script == "block-drbd")
  }

  @Test(arguments: [
    ("", "which device it is"), ("/d,raw", "which device it is"), ("vdev=xvda", "which file it is in"), (",raw,xvda", "which file it is in"),
    ("/d,raw,zzz", "the device \"zzz\" is none of"), ("/d,raw,xvda,maybe", "none of ro, rw and rw!"),
    ("/d,raw,xvda,rw,more", "one part too many"), ("/d,raw,xvda,vdev=xvdb", "two devices"), ("/d,raw,xvda,format=vhd", "two formats"),
    ("/d,raw,xvda,target=/e", "two targets"), ("/d,raw,xvda,color=red", "\"color\" is not known"),
    ("zip:/d,xvda,w", "prefix \"zip:\" is not known"), ("/d,raw,xvda:tape", "must be disk or cdrom"), ("/d,raw,xvda,devtype=tape", "must be disk or cdrom"),
    ("/d,raw,xvda,backendtype=x", "must be one of phy"), ("/d,raw,xvda,specification=virtio", "only xen"),
  ])
  func badDisks(text: String, part: String) { #expect(refusal(text)?.contains(part) == true, "\(refusal(text) ?? "accepted")") }

  @Test(arguments: [
    ("xvda", 51712), ("xvda1", 51713), ("xvdb", 51728), ("xvdp15", 51967), ("xvdq", 268_439_552), ("xvda16", 268_435_472),
    ("xvdaa", 268_435_456 + 26 << 8), ("d0", nil), ("d0p0", 51712), ("d17p2", 268_439_810), ("hda", 768), ("hdb3", 835), ("hdc", 5632),
    ("hdd1", 5697), ("hde", nil), ("sda", 2048), ("sdb2", 2066), ("sdp", 2288), ("sdq", nil), ("sda16", nil), ("51712", 51712),
    ("0xca00", 51712), ("xvd", nil), ("xvda0", nil), ("xvda1x", nil), ("xvdA", nil), ("xvda256", nil), ("", nil), ("99999999999", nil),
    ("xvdzzzzz", nil), ("d1048576p0", nil),
  ] as [(String, UInt32?)])
  func numbersOfDevices(name: String, number: UInt32?) { #expect(VirtualDisk(name)?.number == number) }
}

@Suite struct NetworkTests {
  @Test func allParameters() throws {
    let n = try NetworkConfiguration(
      parsing: "mac=00:16:3e:01:02:03, bridge=br0,model=e1000 ,type=vif,ip=10.0.0.2,script=vif-route,vifname=g0,backend=net,gatewaydev=eth0,rate=1MB/s@20ms,devid=3,mtu=9000")
    #expect(n.mac == MACAddress("00:16:3e:01:02:03") && n.bridge == "br0" && n.model == "e1000" && n.isParavirtualOnly)
    #expect(n.addresses == "10.0.0.2" && n.script == "vif-route" && n.interfaceName == "g0" && n.backendDomain == "net")
    #expect(n.gatewayDevice == "eth0" && n.rate == .init(bytesPerSecond: 1_000_000, interval: 20_000))
    #expect(n.deviceID == 3 && n.mtu == 9000)
    #expect(try NetworkConfiguration(parsing: "") == NetworkConfiguration())
    #expect(try NetworkConfiguration(parsing: " , ") == NetworkConfiguration())
  }

  @Test(arguments: [
    ("10Mb/s", 1_250_000, 50_000), ("250KB/s", 250_000, 50_000), ("1GB/s@1s", 1_000_000_000, 1_000_000), ("8b/s@7", 1, 7),
    ("5B/s@3us", 5, 3),
  ] as [(String, UInt64, UInt32)])
  func rates(text: String, bytes: UInt64, interval: UInt32) {
    #expect(NetworkConfiguration.Rate(text) == .init(bytesPerSecond: bytes, interval: interval))
  }

  @Test(arguments: ["", "10", "10/s", "10Mb", "Mb/s", "10Xb/s", "1B/s@", "1B/s@0", "1B/s@5h", "99999999999999999999B/s", "99999999999GB/s", "1B/s@99999s"])
  func badRates(text: String) { #expect(NetworkConfiguration.Rate(text) == nil) }

  @Test(arguments: [
    ("bridge", "must be followed by ="), ("colour=red", "\"colour\" is not known"), ("type=x", "must be ioemu or vif"),
    ("mtu=5", "a number from 68 to 65535"), ("devid=x", "a number from 0"), ("rate=fast", "must be like 10Mb/s"), ("mac=", "mac is \"\""),
  ])
  func badInterfaces(text: String, part: String) {
    do {
      _ = try NetworkConfiguration(parsing: text)
      Issue.record("accepted")
    } catch {
      #expect(error.description.contains(part), "\(error.description)")
    }
  }
}
