"""Tests of domains that are saved and restored: in the middle of their work, with disks and networks, and from damaged files."""

import hashlib
import http.server
import re
import select
import threading
import time

from devices import Folder, QuietFiles, value
from domains import PROMPT, Service, check_domain_log, debian

from harness import check, refused, test

COUNTER = "n=0; while :; do n=$((n + 1)); [ $((n % 1000)) = 0 ] && echo count $n; done"
# Files in memory whose sums are taken again and again: a page that is lost or old shows.
SUMS = ("for n in 0 1 2 3 4 5 6 7; do dd if=/dev/urandom of=/tmp/f$n bs=64k count=8 2>/dev/null; done; sha256sum /tmp/f* > /tmp/sums; "
        "n=0; while sha256sum -c -s /tmp/sums; do n=$((n + 1)); cp /tmp/f$((n % 8)) /tmp/copy; mv /tmp/copy /tmp/f$((n % 8)); echo sums $n right; done; "
        "echo sums are wrong")


def counts(service, name, pattern, more=3):
    """The numbers that a domain's console shows next; they have to go up one by one."""
    console = service.console(name)
    found = []
    while len(found) < more:
        found.append(int(re.search(pattern + r"\r?\n", console.wait_for(pattern + r"\r?\n", 200)).group(1)))
    console.kill()
    console.wait()
    check(found == sorted(set(found)), f"{name} counts {found}")
    return found[-1]


@test
def domains_are_saved_and_restored_under_load():
    count, sums = r"\bcount (\d+)", r"\bsums (\d+) right"
    loads = {"counter": ("pv", 1, COUNTER, count), "sums": ("pv", 2, SUMS, sums), "shadows": ("pvh", 2, SUMS, sums)}
    with Service("--memory", "2G") as service:
        consoles = {}
        for name, (type, processors, _, _) in loads.items():
            service.run("create", service.config(**debian(name, type=type, vcpus=processors)))
            consoles[name] = service.console(name)
        for console in consoles.values():
            console.wait_for(PROMPT, 300)
        for name, (_, _, load, pattern) in loads.items():
            consoles[name].type(load + "\r")
            consoles[name].wait_for(pattern, 200)
            consoles[name].kill()
            consoles[name].wait()
        files = {name: service.path / f"{name}.save" for name in loads}
        # Twice in a row, in the same hypervisor.
        last = {name: 0 for name in files}
        for _ in range(2):
            for name, file in files.items():
                service.run("save", name, file)
                check(service.state(name) is None, f"{name} still runs after its save")
                service.run("restore", file)
                new = counts(service, name, loads[name][3])
                check(new > last[name], f"{name} began again: {new}")
                last[name] = new
        # A checkpoint, after which the domain runs on; a pause.
        service.run("save", "-c", "counter", files["counter"])
        check(counts(service, "counter", count) > last["counter"], "the counter began again after a checkpoint")
        for name in "sums", "shadows":
            service.run("save", "-p", name, files[name])
            check("p" in service.state(name)[4], f"{name} is not paused")
            service.run("unpause", name)
            check(counts(service, name, sums) > last[name], f"{name} began again after a checkpoint")
        # Refused while it runs: its name is taken.
        service.run("restore", files["sums"], code=65)
        for console in service.consoles:
            check(b"wrong" not in (console.stdout.read() or b""), "a sum is wrong")
        # In a new process, from the checkpoints.
        with Service("--memory", "2G") as second:
            for name, file in files.items():
                second.run("restore", "--paused", file)
                check("p" in second.state(name)[4], f"{name} is not paused")
                second.run("unpause", name)
                check(counts(second, name, loads[name][3]) > 0, name)
            for name in "sums", "shadows":
                console = second.console(name)
                console.type("\x03")
                console.wait_for(PROMPT, 60)
                console.type("dmesg | grep -c -E 'WARNING:|Oops:|BUG:|rcu.*stall'\r")
                console.wait_for(r"\b0\r?\n", 60)
            second.run("destroy", "shadows")
            console = second.console("sums")
            second.run("reboot", "-w", "sums")
            console.wait_for("Linux version", 90)
            console.wait_for(PROMPT, 200)
            second.run("shutdown", "-w", "sums")


@test
def damaged_saved_domains_are_one_sentence():
    with Service("--memory", "1G") as service:
        service.run("create", service.config(**debian("guest", memory=128)))
        file = service.path / "guest.save"
        refused(65, "--socket", service.socket, "guest", file, command="save", says="has not said that it can suspend")
        console = service.console("guest")
        console.wait_for(PROMPT, 200)
        refused(66, "--socket", service.socket, "guest", service.path, command="save", says="is a directory")
        refused(66, "--socket", service.socket, "nobody", file, command="save", says="no domain nobody")
        console.type("echo $((6 * 7))\r")
        console.wait_for(r"\b42\b", 60)
        service.run("save", "guest", file)
        whole = file.read_bytes()
        bad = service.path / "bad.save"
        for says, content in [("no saved domain", b""), ("no saved domain", b"x" * 100), ("not complete", whole[:-1]), ("ends too early", whole[:30]),
                              ("damaged", whole + b"x"), ("damaged", whole[:5000] + b"x" + whole[5001:]), ("another version", whole[:16] + b"\x09" + whole[17:])]:
            bad.write_bytes(content)
            refused(65, "--socket", service.socket, bad, command="restore", says="bad.save: ")
            refused(65, "--socket", service.socket, bad, command="restore", says=says)
        refused(66, "--socket", service.socket, service.path / "absent", command="restore", says="cannot be opened")
        # Without a service it is hosted here.
        refused(65, bad, command="restore", says="another version")
        check(service.run("list").count("\n") == 1, "something stayed of what was refused")


RECORD = 64 << 10
# Records that a writer has room for; then it begins again.
SLOTS = 24
# Writers that wait for their data to be on the disk, each with its part of it, and one that fills the rest by the page cache.
# What is read back is not the cache's.
LOAD = """
    record() { yes "writer $1 record $2" | head -c %(record)d; }
    writer() {
        n=0
        while [ ! -e /tmp/stop ]; do
            record $1 $n | dd of=/dev/xvda bs=%(record)d seek=$(($1 * %(slots)d + n %% %(slots)d)) conv=notrunc,fsync iflag=fullblock 2>/dev/null \\
                && echo "@@ ACK $1 $n" || echo "@@ BAD write $1 $n"
            if [ $((n %% 8)) = 7 ]; then
                back=$((n - 5))
                dd if=/dev/xvda bs=%(record)d skip=$(($1 * %(slots)d + back %% %(slots)d)) count=1 iflag=direct 2>/dev/null > /tmp/read$1
                record $1 $back | cmp -s - /tmp/read$1 || echo "@@ BAD read $1 $back"
            fi
            n=$((n + 1))
        done
        echo "@@ LAST $1 $((n - 1))"
    }
    flood() {
        while [ ! -e /tmp/stop ]; do
            dd if=/tmp/flood of=/dev/xvda bs=1M seek=%(flood)d conv=notrunc 2>/dev/null
        done
    }
    head -c 4194304 /dev/urandom > /tmp/flood
    ip link set eth0 up; udhcpc -n -q -i eth0 >/dev/null
    for w in 0 1 2 3; do writer $w & done
    flood &
    echo "@@ BEGUN $(nproc)"
    while read line; do
        [ "$line" = stop ] && break
        eval "$line"
    done
    touch /tmp/stop
    wait
    sync
    echo 3 > /proc/sys/vm/drop_caches
    echo "@@ SUM $(sha256sum /dev/xvda | cut -c1-64)"
    """ % dict(record=RECORD, slots=SLOTS, flood=4 * SLOTS * RECORD >> 20)


def record(writer, number):
    line = f"writer {writer} record {number}\n".encode()
    return (line * (RECORD // len(line) + 1))[:RECORD]


class Listener:
    """Everything that a domain has written to its consoles, one process after the other."""

    def __init__(self):
        self.log = ""

    def attach(self, service, name):
        self.console = service.console(name)
        return self

    def listen(self, until, seconds):
        """Reads until a condition holds."""
        end = time.time() + seconds
        while not until():
            check(time.time() < end, f"it takes more than {seconds} s: … {self.log[-1500:]}")
            if select.select([self.console.stdout], [], [], 0.2)[0]:
                new = self.console.stdout.read()
                if not new:
                    return
                self.log += new.decode(errors="replace")

    def rest(self):
        """What comes until the console ends."""
        self.listen(lambda: False, 60)
        self.console.wait()

    def acknowledged(self):
        """The last record of each writer that is on the disk."""
        last = {}
        # The kernel's own messages may begin on the same line.
        for line in re.finditer(r"@@ ACK (\d) (\d+)(?:\r?\n|\[ )", self.log):
            writer, number = line.groups()
            check(int(number) == last.get(int(writer), -1) + 1,
                  f"writer {writer} goes from {last.get(int(writer))} to {number}: … {self.log[max(0, line.start() - 600):line.end()]!r}")
            last[int(writer)] = int(number)
        return last

    def more(self, count):
        """Waits until every writer has written more records."""
        before = self.acknowledged()
        self.listen(lambda: all(self.acknowledged().get(w, -1) >= before.get(w, -1) + count for w in range(4)), 600)

    def ask(self, command, pattern, seconds=60):
        at = len(self.log)
        self.console.type(command + "\r")
        self.listen(lambda: re.search(pattern, self.log[at:]), seconds)
        return re.search(pattern, self.log[at:])


def check_image(disk, last, unknown):
    """Every slot holds the newest record that was acknowledged for it; the next ones after the last may be on their way."""
    data = disk.read_bytes()
    for writer in range(4):
        for slot in range(min(SLOTS, last[writer] + 1)):
            newest = last[writer] - (last[writer] - slot) % SLOTS
            if (slot - last[writer] - 1) % SLOTS < unknown:
                continue
            at = (writer * SLOTS + slot) * RECORD
            check(data[at:at + RECORD] == record(writer, newest), f"the disk has lost record {newest} of writer {writer}: {data[at:at + 40]}")


def saved_under_load(type, vcpus):
    with Folder() as folder:
        (folder.path / "www").mkdir()
        content = bytes(range(256)) * 4096
        (folder.path / "www/file").write_bytes(content)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: QuietFiles(*a, directory=folder.path / "www"))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        disk, file = folder.disk("a.img", 4 * SLOTS * RECORD + (4 << 20)), folder.path / "loaded.save"
        config = folder.debian("loaded", LOAD, type, vcpus=vcpus, disk=[f"{disk},raw,xvda,w"], vif=["mac=00:16:3e:00:00:01"])
        listener = Listener()

        def reaches_the_host():
            check(listener.ask("ping -c 1 -W 5 10.0.2.2 >/dev/null && echo pinged || echo 'no ping'", r"\r?\n(pinged|no ping)\r?\n")[1] == "pinged",
                  "the gateway does not answer")
            found = listener.ask(f"echo file $(wget -q -O - http://10.0.2.2:{server.server_port}/file | sha256sum)", r"\nfile (\w+)")
            check(found[1] == hashlib.sha256(content).hexdigest(), "a file arrived as something else")

        try:
            with Service("--memory", "1G") as service:
                service.run("create", config)
                listener.attach(service, "loaded").listen(lambda: "@@ BEGUN" in listener.log, 600)
                check(value(listener.log, "BEGUN") == str(vcpus), "not all processors came up")
                listener.more(SLOTS + 4)
                reaches_the_host()
                # A checkpoint: it goes on with the same rings.
                service.run("save", "-c", "loaded", file)
                listener.more(10)
                service.run("save", "loaded", file)
                listener.rest()
            check_image(disk, listener.acknowledged(), 4)
            for _ in range(2):
                with Service("--memory", "1G") as service:
                    service.run("restore", file)
                    listener.attach(service, "loaded").more(12)
                    reaches_the_host()
                    service.run("save", "loaded", file)
                    listener.rest()
                check_image(disk, listener.acknowledged(), 4)
            with Service("--memory", "1G") as service:
                service.run("restore", file)
                listener.attach(service, "loaded").more(10)
                listener.console.type("stop\r")
                listener.rest()
            log = listener.log
            last = {int(w): int(n) for w, n in re.findall(r"@@ LAST (\d) (\d+)", log)}
            check(last == listener.acknowledged() and len(last) == 4, f"the writers ended at {last}, and said {listener.acknowledged()}")
            check_image(disk, last, 0)
            check(value(log, "SUM") == hashlib.sha256(disk.read_bytes()).hexdigest(), "the guest reads something else than the disk holds")
        finally:
            server.shutdown()
    check_domain_log(log)
    check("@@ BAD" not in log and "I/O error" not in log, f"the guest lost something: {re.findall('.*(?:BAD|I/O error).*', log)[:5]}")


@test
def paravirtual_domain_saved_while_it_writes():
    saved_under_load("pv", 1)


@test
def paravirtual_domain_with_four_processors_saved_while_it_writes():
    saved_under_load("pv", 4)


@test
def pvh_domain_saved_while_it_writes():
    saved_under_load("pvh", 2)
