"""Tests of domains: what `xenolith create` does with real kernels and with bad configurations."""

import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

from harness import PROGRAM, ROOT, Skip, cached, check, refused, test

EXPECTED = json.loads((ROOT / "testsuite/bench/expected.json").read_text())


def create(*settings, console=True, timeout=400, options=()):
    """Exit code, standard output and standard error of `xenolith create` with one configuration for each dictionary."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for n, setting in enumerate(settings):
            files.append(pathlib.Path(folder) / f"{n}.cfg")
            files[-1].write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in setting.items()))
        result = subprocess.run([PROGRAM, "create", *(["-c"] if console else []), *options, *files], stdin=subprocess.DEVNULL,
                                capture_output=True, timeout=timeout)
    return result.returncode, result.stdout.decode(errors="replace"), result.stderr.decode(errors="replace")


def debian(name, mode=None, type="pv", **more):
    """A domain with Debian's kernel; without a mode it comes to a shell."""
    return dict(dict(name=name, type=type, kernel=str(cached("vmlinuz-amd64")), ramdisk=str(cached("initrd-amd64.cpio.gz")),
                     memory=256, cmdline="console=hvc0" + (f" xenolith.run={mode}" if mode else "")), **more)


def check_domain_log(log):
    bad = re.compile(r"WARNING:|Oops:|BUG:|Call Trace|rcu.*stall|insecure W\+X", re.IGNORECASE)
    for line in log.splitlines():
        check(not bad.search(line), f"the kernel log says: {line.strip()}")


class Service:
    """A running hypervisor on sockets of its own, and the commands that reach it."""

    def __init__(self, *options):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name)
        self.socket = self.path / "control.sock"
        self.store = self.path / "control-xenstore.sock"
        self.options = options
        self.consoles = []

    def __enter__(self):
        self.process = subprocess.Popen([PROGRAM, "hypervisor", "--socket", self.socket, *map(str, self.options)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.wait_until("socket", 20, self.socket.exists)
        return self

    def __exit__(self, *_):
        for console in self.consoles:
            console.kill()
            console.wait()
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()

    def wait_until(self, what, seconds, condition):
        end = time.time() + seconds
        while not (found := condition()):
            check(self.process.poll() is None, f"the hypervisor ended: {self.process.stderr.read() if self.process.poll() else ''}")
            check(time.time() < end, f"no {what} in {seconds} s")
            time.sleep(0.1)
        return found

    def run(self, command, *arguments, code=0, timeout=120):
        """Standard output of a command."""
        result = subprocess.run([PROGRAM, command, "--socket", self.socket, *map(str, arguments)], stdin=subprocess.DEVNULL,
                                capture_output=True, timeout=timeout)
        check(result.returncode == code, f"{command} {arguments}: exit code {result.returncode}: {result.stderr.decode()}")
        return result.stdout.decode(errors="replace")

    def config(self, **settings):
        file = self.path / f"{settings['name']}.cfg"
        file.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
        return file

    def state(self, name):
        """Columns of the domain's line in `list`, or None."""
        lines = [line.split() for line in self.run("list").splitlines()[1:]]
        return next((line for line in lines if line[0] == name), None)

    def seconds(self, name):
        """Processor time that a domain had, exactly: `list` rounds it."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            connection.sendall(json.dumps({"version": 1, "id": 1, "request": {"list": {"domain": name}}}).encode() + b"\n")
            answer = json.loads(connection.makefile().readline())
        return answer["answer"]["domains"]["_0"][0]["time"] / 1e9

    def console(self, domain):
        console = Console([PROGRAM, "console", "--socket", self.socket, domain])
        self.consoles.append(console)
        return console


class Console(subprocess.Popen):
    """A domain's console on pipes."""

    def __init__(self, command):
        super().__init__(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.text = ""
        os.set_blocking(self.stdout.fileno(), False)

    def wait_for(self, pattern, seconds):
        """Reads until the pattern comes; returns and forgets what was before its end."""
        end = time.time() + seconds
        while not (found := re.search(pattern, self.text)):
            check(time.time() < end, f"no {pattern} in {seconds} s: … {self.text[-300:]}")
            if select.select([self.stdout], [], [], 0.2)[0]:
                new = self.stdout.read()
                check(new, f"the console ended without {pattern}: … {self.text[-300:]}")
                self.text += new.decode(errors="replace")
        text, self.text = self.text[:found.end()], self.text[found.end():]
        return text

    def type(self, text):
        self.stdin.write(text.encode())
        self.stdin.flush()


# The shell asks the terminal for the cursor's position behind its prompt.
PROMPT = r"# (\x1b\[6n)?$"


def debian_workloads(**settings):
    """All workloads in a domain, with their results; standard output and standard error."""
    code, out, err = create(debian("debian", "workloads", **settings))
    check(code == 0, f"exit code {code}: {err}")
    check_domain_log(out)
    results = dict(re.findall(r"@@ RESULT (\S+) (.+?)\s*$", out, re.MULTILINE))
    check(results == EXPECTED["debian"], f"results differ: {results}")
    return out, err


@test
def paravirtual_debian_workloads():
    out, _ = debian_workloads()
    check("Hypervisor detected: Xen PV" in out, "the kernel does not know that it runs on Xen")


@test
def pvh_debian_workloads_by_shadow_page_tables():
    out, err = debian_workloads(type="pvh", vcpus=2)
    check("Booting kernel on Xen PVH" in out, "the kernel does not know that it runs on Xen")
    check("Brought up 1 node, 2 CPUs" in out, "not all processors started")
    counts = re.search(r"shadow page tables: (\d+) fills, (\d+) pages made, (\d+) of larger pages, (\d+) stores to tables seen, "
                       r"(\d+) entries dropped, (\d+) tables out of sync", err)
    check(counts and all(int(n) > 100 for n in counts.groups()), f"shadow page tables were not used: {err}")


@test
def pvh_debian_workloads_by_nested_translation():
    _, err = debian_workloads(type="pvh", hap=1)
    check("shadow page tables" not in err, "there are shadow page tables")


@test
def hypervisor_traces_tell_names_and_are_json():
    with tempfile.TemporaryDirectory() as folder:
        for form, kinds in (("trace.jsonl", ""), ("trace.txt", ",hypercall,shadow")):
            path = pathlib.Path(folder) / form
            code, _, err = create(debian("debian", "boot", type="pvh"), options=["--trace", f"{path}{kinds}"])
            check(code == 0, f"exit code {code}: {err}")
            lines = path.read_text().splitlines()
            if kinds:
                check({line.split()[2] for line in lines} == {"hypercall", "shadow"}, "other kinds than those asked for, or not all of them")
                check(any(" d1v0 hypercall sched_op op=shutdown reason=poweroff" in line or "hypercall event_channel_op op=send port=" in line
                          for line in lines), "no hypercall with its arguments by name")
            else:
                records = [json.loads(line) for line in lines]
                ops = {r["op"] for r in records if "op" in r}
                check("set_evtchn_upcall_vector" in ops and all(isinstance(op, str) for op in ops), f"operations without a name: {ops}")
                check({r["kind"] for r in records} >= {"hypercall", "switch", "shadow", "event"}, "a kind of record is missing")
                times = [r["ns"] for r in records]
                check(times == sorted(times), "times go back")
        refused(64, "--trace", "x.txt,hypercalls", "x.cfg", command="create", says="hypercalls is no kind of record")


@test
def two_paravirtual_debians_at_once():
    code, out, err = create(debian("one", "boot", vcpus=2), debian("two", "boot"))
    check(code == 0, f"exit code {code}: {err}")
    for name in ("one", "two"):
        log = "".join(line + "\n" for line in out.splitlines() if line.startswith(f"{name}: "))
        check_domain_log(log)
        check("@@ STAGE boot end" in log, f"domain {name} did not come to its end")
    check("one: " in out and re.search(r"one: .*Brought up 1 node, 2 CPUs", out), "not all processors started")


@test
def eight_domains_share_and_do_not_disturb_each_other():
    weights = {f"d{n}": weight for n, weight in enumerate((128, 256, 256, 512, 128, 256, 256, 512))}
    with Service() as service:
        for n, (name, weight) in enumerate(weights.items()):
            settings = debian(name, type="pv" if n % 2 == 0 else "pvh", cpu_weight=weight)
            service.run("create", service.config(**{**settings, "memory": 128, "cmdline": "console=hvc0 mitigations=off"}))
        consoles = {name: service.console(name) for name in weights}
        for console in consoles.values():
            console.wait_for(PROMPT, 240)
        for console in consoles.values():
            console.type("while :; do :; done &\n")
            console.wait_for(PROMPT, 60)

        def shares(names):
            """Parts of the processor's time that each of these had since the last call."""
            before = {name: service.seconds(name) for name in names}
            end = time.time() + 300
            while sum(service.seconds(name) - before[name] for name in names) < 4:
                check(time.time() < end, "the domains do not go on")
                time.sleep(1)
            used = {name: service.seconds(name) - before[name] for name in names}
            return {name: t / sum(used.values()) for name, t in used.items()}

        for name, share in shares(weights).items():
            wanted = weights[name] / sum(weights.values())
            check(abs(share - wanted) < 0.05 * wanted, f"{name} has {share:.4f} of the processor, its weight is worth {wanted:.4f}")
        # One crashes, one is destroyed; the others go on, with the same shares of what there is.
        consoles["d0"].type("echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger\n")
        service.run("destroy", "d3")
        service.wait_until("end of the domain that crashed", 60, lambda: service.state("d0") is None)
        rest = {name: weight for name, weight in weights.items() if name not in ("d0", "d3")}
        for name, share in shares(rest).items():
            wanted = rest[name] / sum(rest.values())
            check(abs(share - wanted) < 0.05 * wanted, f"{name} has {share:.4f} of the processor, its weight is worth {wanted:.4f}")
        for name in rest:
            consoles[name].type("echo $((6 * 7))\n")
            consoles[name].wait_for("42\r\n", 60)


@test
def bad_configurations_are_one_sentence():
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "bad.cfg"
        nonsense = pathlib.Path(folder) / "nonsense"
        nonsense.write_bytes(b"not a kernel")
        pipe = pathlib.Path(folder) / "pipe"
        os.mkfifo(pipe)
        for expected, text, says in [
            (65, 'name = "x"\nkernel = "k"\nmemory = "much"\n', "bad.cfg, line 3: memory"),
            (65, 'name = "x\n', "bad.cfg, line 1"),
            (65, 'name = "x"\n', "kernel"),
            (66, 'name = "x"\n\nkernel = "/nowhere/vmlinuz"\n', "bad.cfg, line 3: kernel /nowhere/vmlinuz"),
            (65, f'name = "x"\nkernel = "{nonsense}"\n', "no kernel that a domain can start"),
            (65, f'name = "x"\ntype = "pvh"\nkernel = "{nonsense}"\n', "no kernel that a domain can start"),
            (65, f'name = "x"\ntype = "hvm"\nkernel = "{nonsense}"\n', 'bad.cfg, line 2: type: '),
            (66, f'name = "x"\nkernel = "{pipe}"\n', "bad.cfg, line 2: kernel "),
            (66, f'name = "x"\nkernel = "{nonsense}"\nramdisk = "{pipe}"\n', "bad.cfg, line 3: ramdisk "),
        ]:
            config.write_text(text)
            refused(expected, config, command="create", says=says)
        refused(66, pathlib.Path(folder) / "absent.cfg", command="create", says="absent.cfg cannot be opened")
        refused(64, "--cpu", "386", config, command="create", says="64-bit")
        refused(64, command="create", says="config")


@test
def life_of_a_domain_under_the_service():
    with Service("--memory", "2G") as service:
        config = service.config(**debian("guest"))
        check(service.run("list") == "Name                                        ID   Mem VCPUs\tState\tTime(s)\n", "an empty list has only its head")
        service.run("create", "--paused", config)
        check(service.state("guest")[:5] == ["guest", "1", "256", "1", "--p---"], f"{service.state('guest')}")
        service.run("create", config, code=65)
        service.run("unpause", "guest")
        console = service.console("guest")
        check_domain_log(console.wait_for(PROMPT, 200))
        console.type("echo $((6 * 7))\r")
        console.wait_for(r"\b42\b", 60)
        # A paused guest is silent, and goes on where it was.
        service.run("pause", "1")
        check("p" in service.state("guest")[4], "not paused")
        console.type("echo $((43 * 2))\r")
        time.sleep(1)
        check(not select.select([console.stdout], [], [], 0)[0] or b"86" not in (console.stdout.read() or b""), "a paused guest answers")
        service.run("unpause", "1")
        console.wait_for(r"\b86\b", 60)
        check(re.search(r"^guest +1 +0 +0 ", service.run("vcpu-list", "guest"), re.MULTILINE), "vcpu-list")
        service.run("vcpu-pin", "guest", "all", "0")
        service.run("vcpu-pin", "guest", 0, "7", code=64)
        service.run("vcpu-pin", "guest", 5, "0", code=64)
        check("all / all" in service.run("vcpu-list", "guest"), "vcpu-pin to all there are")
        service.run("sched-credit", "-d", "guest", "-w", 512, "-c50")
        check(service.run("sched-credit").splitlines()[1].split() == ["guest", "1", "512", "50"], "sched-credit")
        service.run("sched-credit", "-d", "guest", "-w", 0, code=64)
        service.run("sched-credit", "-d", "guest", "-c", 0)
        check("guest" in service.run("top", "--batch", "-n", 2, "-d", 0.1), "top")
        # A second one beside it, and the end of both.
        service.run("create", service.config(**debian("other")))
        console.type("echo $((88 - 1))\r")
        console.wait_for(r"\b87\b", 60)
        service.run("destroy", "other")
        check(service.state("other") is None, "a destroyed domain is still there")
        service.run("reboot", "-w", "guest")
        check(service.state("guest")[1] == "3", f"the new beginning is another domain: {service.state('guest')}")
        console.wait_for(r"Linux version", 120)
        console.wait_for(PROMPT, 200)
        service.run("shutdown", "--wait", "guest")
        check(service.state("guest") is None, "a domain that was switched off is still there")
        check(console.wait(timeout=20) == 0, f"exit code {console.returncode} of the console")
        service.process.send_signal(signal.SIGTERM)
        check(service.process.wait(timeout=20) == 130 and not service.socket.exists(), "the service has not gone without a trace")


@test
def requests_that_ask_too_much_disturb_nobody():
    """Memory that no machine has, and files that make who opens them wait."""
    with Service("--memory", "1G") as service:
        service.run("create", service.config(**debian("guest")))
        console = service.console("guest")
        console.wait_for(PROMPT, 200)
        pipe = service.path / "pipe"
        os.mkfifo(pipe)
        for type in "pv", "pvh":
            for memory in 2000, 1 << 24:
                refused(65, "--socket", service.socket, service.config(**debian("huge", type=type, memory=memory)), command="create",
                        says="line 5: memory: the machine has no")
        refused(66, "--socket", service.socket, service.config(**dict(debian("x"), kernel=str(pipe))), command="create", says="line 3: kernel ")
        refused(66, "--socket", service.socket, pipe, command="restore", says="is no regular file")
        for command in "save", "dump-core":
            refused(66, "--socket", service.socket, "guest", pipe, command=command, says="it is no regular file")
        clients = []
        for _ in range(300):
            clients.append(socket.socket(socket.AF_UNIX))
            clients[-1].connect(str(service.socket))
        refused(66, "--socket", service.socket, command="list", says="takes no more")
        for client in clients:
            client.close()
        console.type("echo $((6 * 7))\r")
        console.wait_for(r"\b42\b", 60)


@test
def what_cannot_be_written_holds_nobody_up():
    with tempfile.TemporaryDirectory() as folder:
        kernel = pathlib.Path(folder) / "crash"
        kernel.write_bytes(crashing_kernel())
        config = pathlib.Path(folder) / "crash.cfg"
        config.write_text(f'name = "crash"\nkernel = "{kernel}"\nmemory = 8\n')
        # Standard error is a pipe that is full.
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        try:
            while True:
                os.write(writer, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(writer, True)
        control = pathlib.Path(folder) / "control.sock"
        process = subprocess.Popen([PROGRAM, "hypervisor", "--socket", control], stdin=subprocess.DEVNULL, stderr=writer)
        try:
            while not control.exists():
                time.sleep(0.1)
            for command in ["create", config], ["dmesg"], ["list"]:
                result = subprocess.run([PROGRAM, command[0], "--socket", control, *command[1:]], stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
                check(result.returncode == 0, f"{command}: {result.stderr}")
        finally:
            process.kill()
            process.wait()
            os.close(reader)
            os.close(writer)
        # What was asked for and cannot be written is said, and is no success.
        code, _, err = create(dict(name="crash", kernel=str(kernel), memory=8), options=["--trace", "/dev/full"])
        check("/dev/full cannot be written: No space left on device" in err, err)
        with open("/dev/full", "wb") as full:
            result = subprocess.run([PROGRAM, "create", "-c", config], stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, timeout=60)
        check(result.returncode == 101, f"nothing was to be written: {result.returncode}")
        pipe = pathlib.Path(folder) / "pipe"
        os.mkfifo(pipe)
        code, _, err = create(dict(name="crash", kernel=str(kernel), memory=8), options=["--timeout", "2", "--trace", pipe], timeout=60)
        check(code == 66 and "nobody reads it" in err, f"{code}: {err}")


@test
def a_domain_grows():
    """Processors and memory that a configuration allows, and that commands give and take."""
    with Service("--memory", "2G", "--cpus", 2) as service:
        service.run("create", service.config(**debian("guest", memory=192, maxmem=320, vcpus=1, maxvcpus=3)))
        console = service.console("guest")
        check_domain_log(console.wait_for(PROMPT, 200))

        def becomes(command, expected):
            for _ in range(40):
                console.type(f"echo is $({command}) so\r")
                if re.search(rf"is {expected} so", console.wait_for(r"is \d+ so", 60)):
                    return
                time.sleep(0.5)
            check(False, f"{command} does not become {expected}")

        becomes("nproc", 1)
        check(service.state("guest")[2:4] == ["192", "1"], f"{service.state('guest')}")
        for count in 3, 2:
            service.run("vcpu-set", "guest", count)
            # The driver makes a processor present; who is told of that brings it up.
            console.type("for n in 1 2; do echo 1 > /sys/devices/system/cpu/cpu$n/online; done 2>/dev/null\r")
            becomes("nproc", count)
            check(service.state("guest")[3] == str(count), f"{service.state('guest')}")
        for memory in 320, 160:
            service.run("mem-set", "guest", f"{memory}M")
            service.wait_until(f"{memory} MiB", 60, lambda: abs(int(service.state("guest")[2]) - memory) <= 2)
        service.run("vcpu-set", "guest", 4, code=64)
        service.run("mem-set", "guest", "321M", code=64)
        # What was given and taken, and what commands changed, is so after a restore.
        service.run("vcpu-pin", "guest", 1, 1)
        service.run("sched-credit", "-d", "guest", "-w", 512)
        service.run("save", "guest", service.path / "guest.save")
        service.run("restore", service.path / "guest.save")
        check(service.run("sched-credit").splitlines()[1].split()[2] == "512", "the weight is another one")
        listed = service.run("vcpu-list", "guest")
        check(re.search(r"^guest +2 +1 .* 1 / all$", listed, re.MULTILINE) and re.search(r"^guest +2 +0 .* all / all$", listed, re.MULTILINE), listed)
        console = service.console("guest")
        becomes("nproc", 2)
        service.run("mem-set", "guest", "320M")
        service.wait_until("320 MiB", 60, lambda: abs(int(service.state("guest")[2]) - 320) <= 2)
        console.type("dmesg\r")
        check_domain_log(console.wait_for(PROMPT, 60))


@test
def commands_without_a_service_or_a_domain():
    with Service("--quiet", "--memory", "1G") as service:
        for command in "console", "pause", "unpause", "shutdown", "reboot", "destroy", "list", "vcpu-list":
            refused(66, "--socket", service.socket, "nobody", command=command, says="there is no domain nobody")
        refused(66, "--socket", service.socket, "-d", "nobody", command="sched-credit", says="there is no domain nobody")
        refused(64, "--socket", service.socket, command="hypervisor", says=f"{service.socket} already")
        refused(64, "--socket", service.socket, "--memory", "1G", service.config(name="x"), command="create", says="--memory comes too late")
        refused(66, "--socket", service.socket, service.config(name="x", kernel="kernel"), command="create", says="x.cfg, line 2: kernel ")
        refused(66, "--socket", "/" + "x" * 200, command="hypervisor", says="longer than the system allows")
        refused(66, "--socket", service.path / "other.sock", command="list", says="no hypervisor runs")
        refused(66, "--socket", service.config(name="y"), command="hypervisor", says="is no socket")
        # A socket that its server left behind.
        service.process.kill()
        service.process.wait()
        check(service.socket.exists(), "a killed server leaves its socket")
        refused(66, "--socket", service.socket, command="list", says="no hypervisor runs")
        with Service() as second:
            second.run("list")


def crashing_kernel():
    """An ELF file of a paravirtual kernel that executes nothing but UD2: a crash, for it has no handlers."""
    base, header = 0x100000, 64 + 2 * 56
    def note(kind, value):
        return struct.pack("<III", 4, len(value), kind) + b"Xen\0" + value + bytes(-len(value) % 4)
    notes = (note(6, b"crash\0") + note(8, b"generic\0") + note(5, b"xen-3.0\0") + note(3, struct.pack("<Q", 0)) + note(1, struct.pack("<Q", base)))
    code = b"\x0f\x0b"
    elf = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, base, 64, 0, 0, 64, 56, 2, 64, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 7, header, base, base, len(code), len(code), 4096)
    noted = struct.pack("<IIQQQQQQ", 4, 4, header + len(code), 0, 0, len(notes), len(notes), 4)
    return elf + load + noted + code + notes


@test
def ends_are_dealt_with():
    """Crash loops, and domains that are kept."""
    with tempfile.TemporaryDirectory() as folder, Service("--memory", "1G", "--core-folder", folder) as service:
        file = pathlib.Path(folder) / "crash"
        file.write_bytes(crashing_kernel())
        service.run("create", service.config(name="loop", kernel=str(file), memory=8, on_crash="restart"))
        service.wait_until("end of the crash loop", 60, lambda: service.state("loop") is None)
        service.run("create", service.config(name="kept", kernel=str(file), memory=8, on_crash="preserve"))
        service.wait_until("crash", 60, lambda: service.state("kept")[4] == "----c-")
        check("kept crashed" in service.run("dmesg"), "the hypervisor's messages say nothing about it")
        service.run("pause", "kept", code=65)
        service.run("destroy", "kept")
        check(service.state("kept") is None, "a kept domain cannot be destroyed")
        service.run("create", service.config(name="renamed", kernel=str(file), memory=8, on_crash="rename-restart"))
        service.wait_until("end of the crash loop", 60, lambda: service.state("renamed") is None)
        names = [line.split()[0] for line in service.run("list").splitlines()[1:]]
        check(names == ["renamed-1", "renamed-2", "renamed-3"], f"kept: {names}")
        service.run("dump-core", "renamed-1", service.path / "asked.core")
        service.run("create", service.config(name="dumped", kernel=str(file), memory=8, on_crash="coredump-destroy"))
        service.wait_until("end of the crash", 60, lambda: service.state("dumped") is None)
        for core in service.path / "asked.core", pathlib.Path(folder) / "dumped.core":
            content = core.read_bytes()
            check(content[:4] == b"\x7fELF" and len(content) > 8 << 20, f"{core} is no core file")
            if shutil.which("readelf"):
                listed = subprocess.run(["readelf", "-W", "-h", "-S", core], capture_output=True, text=True)
                check("CORE (Core file)" in listed.stdout and ".xen_pages" in listed.stdout and not listed.stderr, f"{listed}")


def xenstore(service, tool, *arguments, code=0):
    """Standard output of one of Xen's tools."""
    if not shutil.which(f"xenstore-{tool}"):
        raise Skip("xenstore-utils is not installed")
    result = subprocess.run([f"xenstore-{tool}", *map(str, arguments)], env=dict(os.environ, XENSTORED_PATH=str(service.store)),
                            capture_output=True, text=True, timeout=60)
    check(result.returncode == code, f"xenstore-{tool} {arguments}: exit code {result.returncode}: {result.stderr}")
    return result.stdout


@test
def xen_tools_reach_the_store():
    with Service("--memory", "1G") as service:
        check(xenstore(service, "ls") == 'tool = ""\n xenstored = ""\n', "a new store is not as Xen's")
        xenstore(service, "write", "/test/a", 1, "/test/b", "two words")
        check(xenstore(service, "read", "/test/a", "/test/b") == "1\ntwo words\n", "read")
        check(xenstore(service, "list", "/test") == "a\nb\n", "list")
        xenstore(service, "exists", "/test/a")
        xenstore(service, "exists", "/test/c", code=1)
        xenstore(service, "chmod", "/test/a", "n0", "r5")
        check("(n0,r5)" in xenstore(service, "ls", "-p", "/test"), "chmod")
        # Several at once, and one that watches.
        watch = subprocess.Popen(["xenstore-watch", "-n", "4", "/test"], env=dict(os.environ, XENSTORED_PATH=str(service.store)), stdout=subprocess.PIPE)
        check(watch.stdout.readline() == b"/test\n", "a new watch fires once")
        writers = [subprocess.Popen(["xenstore-write", f"/many/{n}", str(n)], env=dict(os.environ, XENSTORED_PATH=str(service.store))) for n in range(20)]
        check(all(writer.wait(timeout=60) == 0 for writer in writers), "one of many writers failed")
        check(len(xenstore(service, "list", "/many").split()) == 20, "not all writers' nodes are there")
        xenstore(service, "write", "/test/a", 2)
        xenstore(service, "rm", "/test/b")
        xenstore(service, "write", "/test/d/e", 3)
        heard = watch.communicate(timeout=60)[0]
        check(heard == b"/test/a\n/test/b\n/test/d\n" or heard == b"/test/a\n/test/b\n/test/d/e\n", f"the watch heard {heard}")
        # A domain hears of what a tool writes.
        service.run("create", service.config(**debian("guest")))
        console = service.console("guest")
        console.wait_for(PROMPT, 200)
        check('name = "guest"' in xenstore(service, "ls", "/local/domain/1"), "the domain's nodes")
        xenstore(service, "write", "/local/domain/1/control/sysrq", "h")
        console.wait_for("sysrq: HELP", 60)
        xenstore(service, "write", "/local/domain/1/control/shutdown", "poweroff")
        service.wait_until("end of the domain", 60, lambda: service.state("guest") is None)
        xenstore(service, "ls", "/local/domain/1", code=1)


@test
def the_store_survives_bad_clients():
    with Service("--memory", "1G") as service:
        def connect():
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(service.store))
            client.settimeout(20)
            return client
        # Nonsense ends its connection.
        client = connect()
        client.sendall(b"\xff" * 64)
        check(client.recv(100) == b"", "nonsense is answered")
        # Requests without an end, and nobody who reads the answers: the client has to wait, nobody else.
        greedy = connect()
        greedy.setblocking(False)
        request = struct.pack("<IIII", 1, 1, 0, 2) + b"/\0"
        sent = 0
        for _ in range(4000):
            try:
                sent += greedy.send(request * 100)
            except BlockingIOError:
                break
        else:
            check(False, f"{sent} bytes were taken from a client that reads nothing")
        # Half a message, for ever.
        half = connect()
        half.sendall(request[:9])
        client = connect()
        client.sendall(request)
        check(client.recv(100).endswith(b"tool\0"), "a client among bad ones is not answered")
        control = socket.socket(socket.AF_UNIX)
        control.connect(str(service.socket))
        control.sendall(b"nonsense\n" + b'{"version":1,"id":3,"request":{"list":{}}}\n')
        answers = b""
        while answers.count(b"\n") < 2:
            answers += control.recv(1000)
        check(b"does not speak" in answers and b'"id":3' in answers.splitlines()[1], f"{answers}")
        service.run("list")
