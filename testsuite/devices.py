"""Tests of domains' disks and networks with Debian's drivers, and of what is said about bad ones."""

import functools
import hashlib
import http.server
import json
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import threading

from domains import Service

from harness import PROGRAM, ROOT, cached, check, refused, test

sys.path.insert(0, str(ROOT / "testsuite/guests"))
import cpio  # noqa: E402


class Folder:
    """Configurations, scripts and disks of one test, and the run of `xenolith create` on them."""

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self._folder.name)
        return self

    def __exit__(self, *_):
        self._folder.cleanup()

    def debian(self, name, script, type="pv", **more):
        """A configuration of a Debian domain that runs a shell script and switches itself off."""
        extra = cpio.Archive()
        # The kernel unpacks one archive after the other: this script takes the place of the workloads.
        extra.file("workloads", ("dmesg -n 7\n" + script + "\n").encode())
        initrd = self.path / f"{name}.cpio.gz"
        extra.write(str(initrd))
        initrd.write_bytes(cached("initrd-drivers-amd64.cpio.gz", "testsuite/guests/fetch --only drivers").read_bytes() + initrd.read_bytes())
        settings = dict(name=name, type=type, kernel=str(cached("vmlinuz-amd64")), ramdisk=str(initrd), memory=256,
                        cmdline="console=hvc0 xenolith.run=workloads", **more)
        return self.config(name, "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))

    def config(self, name, text):
        path = self.path / f"{name}.cfg"
        path.write_text(text)
        return path

    def disk(self, name, size):
        path = self.path / name
        with open(path, "wb") as file:
            file.truncate(size)
        return path

    def create(self, *configs, options=(), timeout=400):
        """Standard output of domains that must all end by themselves, with nothing bad in their kernel's logs."""
        result = subprocess.run([PROGRAM, "create", "-c", *options, *configs], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
        out, err = result.stdout.decode(errors="replace"), result.stderr.decode(errors="replace")
        check(result.returncode == 0, f"exit code {result.returncode}: {err}\n{out[-2000:]}")
        bad = re.compile(r"WARNING:|Oops:|BUG:|Call Trace|rcu.*stall|I/O error.*xvd", re.IGNORECASE)
        for line in out.splitlines():
            check(not bad.search(line) or "xvdc" in line, f"the kernel log says: {line.strip()}")
        return out


def value(out, key):
    found = re.search(rf"^(?:\w+: )?@@ {key} (.*?)\s*$", out, re.MULTILINE)
    check(found, f"no {key} came: {out[-3000:]}")
    return found[1]


def disks(type):
    with Folder() as folder:
        a, b, c = folder.disk("a.img", 64 << 20), folder.disk("b.img", 32 << 20), folder.disk("c.img", 1 << 20)
        c.write_bytes(bytes(range(256)) * 4096)
        out = folder.create(folder.debian("disks", """
            seq 1 700000 > /tmp/pattern
            dd if=/tmp/pattern of=/dev/xvda bs=64k conv=fsync 2>/dev/null
            echo 3 > /proc/sys/vm/drop_caches
            echo "@@ SIZE $(blockdev --getsize64 /dev/xvda)"
            echo "@@ PATTERN $(head -c $(stat -c %s /tmp/pattern) /dev/xvda | sha256sum | cut -c1-64)"
            blkdiscard -o 0 -l 1048576 /dev/xvda
            echo "@@ HOLE $(head -c 1048576 /dev/xvda | tr -d '\\0' | wc -c)"
            mke2fs -q /dev/xvdb >/dev/null
            mount -t ext4 /dev/xvdb /mnt
            cp /tmp/pattern /mnt/one; mkdir /mnt/more; for n in $(seq 50); do echo $n > /mnt/more/$n; done
            umount /mnt
            echo 3 > /proc/sys/vm/drop_caches
            mount -t ext4 -o ro /dev/xvdb /mnt
            echo "@@ FILE $(sha256sum /mnt/one | cut -c1-64)"
            echo "@@ FILES $(cat /mnt/more/* | wc -l)"
            umount /mnt
            dd if=/dev/zero of=/dev/xvdc bs=512 count=1 conv=fsync 2>/dev/null && echo "@@ READONLY written" || echo "@@ READONLY refused"
            echo "@@ READ $(sha256sum /dev/xvdc | cut -c1-64)"
            """, type, disk=[f"{a},raw,xvda,w", f"{b},raw,xvdb,w", f"format=raw, vdev=xvdc, access=ro, target={c}"]))
        pattern = "".join(f"{n}\n" for n in range(1, 700001)).encode()
        wanted = hashlib.sha256(pattern).hexdigest()
        check(value(out, "SIZE") == str(64 << 20), "the disk has another size")
        check(value(out, "PATTERN") == wanted, "the disk reads as something else")
        check(a.read_bytes()[1 << 20:len(pattern)] == pattern[1 << 20:], "the file does not hold what was written")
        check(value(out, "HOLE") == "0" and a.stat().st_blocks * 512 < len(pattern) + 65536, "nothing was given back")
        check(value(out, "FILE") == wanted and value(out, "FILES") == "50", "the file system has lost something")
        check(value(out, "READONLY") == "refused", "a read-only disk was written")
        check(value(out, "READ") == hashlib.sha256(c.read_bytes()).hexdigest(), "the read-only disk reads as something else")


def reboot_with_disk(type):
    with Folder() as folder:
        disk = folder.disk("a.img", 8 << 20)
        out = folder.create(folder.debian("again", """
            n=$(head -c 1 /dev/xvda | tr '\\0' 0)
            echo "@@ ROUND $n"
            echo $((n + 1)) | dd of=/dev/xvda conv=fsync 2>/dev/null
            [ $n -lt 2 ] && reboot -f
            """, type, disk=[f"{disk},raw,xvda,w"], on_reboot="restart"))
        check(re.findall(r"@@ ROUND (\d)", out) == ["0", "1", "2"], f"other rounds: {out[-2000:]}")
        check(disk.read_bytes()[:1] == b"3", "the last round did not write")


def frames(path):
    """The frames of a pcap file, each with its time in seconds."""
    data = path.read_bytes()
    magic, major, minor, _, _, snap, link = struct.unpack_from("<IHHiIII", data)
    check((magic, major, minor, link) == (0xA1B2C3D4, 2, 4, 1) and snap >= 65535, "the capture has no head of a pcap file for Ethernet")
    at, result = 24, []
    while at < len(data):
        seconds, microseconds, length, whole = struct.unpack_from("<IIII", data, at)
        check(length == whole and microseconds < 1000000 and at + 16 + length <= len(data), f"a bad record at {at}")
        result.append((seconds + microseconds / 1e6, data[at + 16:at + 16 + length]))
        at += 16 + length
    return result


def checksum(data):
    data = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return total


def check_checksums(packets):
    """Every TCP packet over IPv4 has the right checksums."""
    count = 0
    for _, frame in packets:
        if frame[12:14] == b"\x08\0" and frame[23] == 6:
            end = 14 + struct.unpack_from(">H", frame, 16)[0]
            check(checksum(frame[14:34]) == 0xFFFF, "a wrong IP checksum")
            check(checksum(frame[26:34] + struct.pack(">HH", 6, end - 34) + frame[34:end]) == 0xFFFF, "a wrong TCP checksum")
            count += 1
    check(count > 20, f"only {count} TCP packets")


@test
def paravirtual_and_pvh_domain_talk():
    data = "".join(f"{n}\n" for n in range(1, 700001)).encode()
    with Folder() as folder:
        capture = folder.path / "net.pcap"
        out = folder.create(folder.debian("server", """
            ip link set eth0 up; ip addr add 192.168.7.1/24 dev eth0
            nc -l -p 5000 > /tmp/got
            echo "@@ GOT $(sha256sum /tmp/got | cut -c1-64)"
            """, vif=["mac=00:16:3e:00:00:01"]), folder.debian("client", """
            ip link set eth0 up; ip addr add 192.168.7.2/24 dev eth0
            for n in $(seq 20); do ping -c 1 -W 1 192.168.7.1 >/dev/null && break; done
            echo "@@ PING $(ping -c 5 192.168.7.1 | grep received)"
            seq 1 700000 > /tmp/data
            for n in $(seq 20); do nc 192.168.7.1 5000 < /tmp/data && break; sleep 1; done
            """, "pvh", vif=[""]), options=["--uplink", "none", "--pcap", capture])
        check("5 packets received" in value(out, "PING"), "pings were lost")
        check(value(out, "GOT") == hashlib.sha256(data).hexdigest(), "the data arrived as something else")
        packets = frames(capture)
        times = [time for time, _ in packets]
        check(times == sorted(times), "times go backwards")
        check(any(frame[12:14] == b"\x08\0" and frame[23] == 1 for _, frame in packets), "no ping was recorded")
        check_checksums(packets)
        largest = max(len(frame) for _, frame in packets)
        # How large the sender makes them follows from the time that they take.
        check(largest > 6000, f"no large segment was passed on as it was: the largest has {largest} bytes")


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def domain_reaches_the_host(type):
    with Folder() as folder:
        (folder.path / "www").mkdir()
        data = bytes(hashlib.sha256(str(n).encode()).digest()[0] for n in range(100000)) * 20
        (folder.path / "www/file").write_bytes(data)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietFiles, directory=folder.path / "www"))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        capture = folder.path / "net.pcap"
        try:
            out = folder.create(folder.debian("visitor", f"""
                udhcpc -n -q -i eth0 >/dev/null
                echo "@@ ADDRESS $(ip addr show eth0 | sed -n 's/.*inet \\([0-9./]*\\).*/\\1/p')"
                echo "@@ SERVER $(cat /etc/resolv.conf)"
                ping -c 1 10.0.2.2 >/dev/null && echo "@@ PING answered"
                wget -q -O /tmp/file http://10.0.2.2:{server.server_port}/file
                echo "@@ FILE $(sha256sum /tmp/file | cut -c1-64)"
                # The front end goes and comes back.
                echo vif-0 > /sys/bus/xen/drivers/vif/unbind
                echo vif-0 > /sys/bus/xen/drivers/vif/bind
                for n in $(seq 50); do grep -q eth0 /proc/net/dev && break; sleep 0.1; done
                udhcpc -n -q -i eth0 >/dev/null && echo "@@ AGAIN $(wget -q -O - http://10.0.2.2:{server.server_port}/file | sha256sum | cut -c1-64)"
                """, type, vif=["mac=00:16:3e:00:00:01,bridge=xenbr0"]), options=["--pcap", capture])
        finally:
            server.shutdown()
        check(value(out, "ADDRESS") == "10.0.2.15/24", "another address came")
        check(value(out, "SERVER") == "nameserver 10.0.2.3", "another name server came")
        check(value(out, "PING") == "answered", "the gateway does not answer")
        check(value(out, "FILE") == hashlib.sha256(data).hexdigest(), "the file arrived as something else")
        check(value(out, "AGAIN") == value(out, "FILE"), "the interface did not come back")
        packets = frames(capture)
        check(any(frame[34:38] == b"\0C\0D" for _, frame in packets), "no DHCP answer was recorded")
        check_checksums(packets)


@test
def paravirtual_disks():
    disks("pv")


@test
def pvh_disks():
    disks("pvh")


@test
def paravirtual_reboot_with_disk():
    reboot_with_disk("pv")


@test
def pvh_reboot_with_disk():
    reboot_with_disk("pvh")


@test
def paravirtual_domain_reaches_the_host():
    domain_reaches_the_host("pv")


@test
def pvh_domain_reaches_the_host():
    domain_reaches_the_host("pvh")


@test
def paravirtual_disks_of_several_processors():
    with Folder() as folder:
        disk = folder.disk("a.img", 16 << 20)
        config = folder.debian("several", """
            echo "@@ QUEUES $(ls /sys/block/xvda/mq | wc -l)"
            echo "@@ ORDER $(cat /sys/module/xen_blkfront/parameters/max_ring_page_order)"
            mke2fs -q /dev/xvda >/dev/null; mount -t ext4 /dev/xvda /mnt
            for n in 1 2 3 4; do (seq $n 100000 > /mnt/$n; sync) & done; wait
            umount /mnt; echo 3 > /proc/sys/vm/drop_caches; mount -t ext4 -o ro /dev/xvda /mnt
            echo "@@ SUMS $(cat /mnt/[1-4] | sha256sum | cut -c1-64)"
            umount /mnt
            """, vcpus=4, disk=[f"{disk},raw,xvda,w"])
        config.write_text(config.read_text().replace("xenolith.run", "xen_blkfront.max_ring_page_order=3 xenolith.run"))
        out = folder.create(config)
        data = "".join(f"{n}\n" for first in (1, 2, 3, 4) for n in range(first, 100001)).encode()
        check(value(out, "SUMS") == hashlib.sha256(data).hexdigest(), "files differ")
        check(value(out, "QUEUES") == "4" and value(out, "ORDER") == "3", "not several queues, or no large rings")


@test
def a_disk_belongs_to_one_domain_at_a_time():
    with Folder() as folder, Service() as service:
        disk = folder.disk("a.img", 1 << 20)
        one = folder.debian("one", "sleep 1000000", disk=[f"{disk},raw,xvda,w"])
        two = folder.debian("two", "sleep 1000000", disk=[f"{disk},raw,xvda,w"])
        service.run("create", one)
        service.run("create", two, code=66)
        service.run("destroy", "one")
        service.run("create", two)
        service.run("destroy", "two")
        check(service.state("two") is None, "the domain is still there")


@test
def bad_disks_are_one_sentence():
    with Folder() as folder:
        kernel = folder.path / "kernel"
        kernel.write_bytes(cached("vmlinuz-amd64").read_bytes())
        odd, good = folder.disk("odd.img", 1000), folder.disk("good.img", 4096)
        for expected, disk, says in [
            (66, "/nowhere/disk.img,raw,xvda,w", "bad.cfg, line 4: disk /nowhere/disk.img is not there"),
            (66, f"{folder.path},raw,xvda,w", "is a directory"),
            (66, f"{odd},raw,xvda,w", "not a multiple of 512"),
            (66, "/dev/null,raw,xvda,w", "neither a file nor a block device"),
            (65, f"{good},qcow2,xvda,w", "line 4: disk gives xvda the format qcow2"),
            (65, f"{good},raw,xvda,w\", \"{good},raw,xvdb,r", "line 4: disk gives xvdb the file"),
        ]:
            config = folder.config("bad", f'name = "x"\nkernel = "{kernel}"\n\ndisk = [ "{disk}" ]\n')
            refused(expected, config, command="create", says=says)
