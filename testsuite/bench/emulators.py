"""How each emulator is started on a guest, and its serial line and processor time observed."""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field

END_GRACE_SECONDS = 20


@dataclass
class Guest:
    """What an emulator boots. A disk image or ISO holds the same bytes for emulators that only boot media."""
    name: str
    kernel: str
    medium: str
    bits: int = 64
    initrd: str = None
    append: str = None
    megabytes: int = 64
    # By emulator: the CPU model in its own words; each has its default.
    cpu: dict = field(default_factory=dict)
    processors: int = 1

    @property
    def bare(self):
        return self.initrd is None


@dataclass
class Stamp:
    """A line of the serial console and the processor seconds the emulator had used when it came."""
    text: str
    seconds: float


@dataclass
class Run:
    stamps: list = field(default_factory=list)
    console: str = ""
    seconds: float = 0.0
    peak_bytes: int = 0
    failure: str = None


class Emulator:
    name = ""

    def runs(self, guest):
        """Whether the emulator has a place for such a guest."""
        return True

    def is_comparable(self, stage):
        """Whether the lines that mark a stage come when they come elsewhere."""
        return True

    # Option that gives its path, if it is not its own name.
    program = None

    def __init__(self, path):
        self.path = shutil.which(path) or path

    def missing(self):
        return None if os.access(self.path, os.X_OK) else f"{self.path} is not an executable"

    def version(self):
        result = subprocess.run([self.path, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return (result.stdout or result.stderr).strip().split("\n")[0]

    def command(self, guest, work):
        """The command line; None in place of standard output's serial line means a FIFO named serial in `work`."""
        raise NotImplementedError

    serial_fifo = False

    def run(self, guest, is_stamp, is_last, timeout, environment=None):
        """Runs a guest to the line `is_last` accepts, and on to the emulator's own end."""
        with tempfile.TemporaryDirectory(prefix="xenolith-bench-") as work:
            fifo = os.path.join(work, "serial")
            if self.serial_fifo:
                os.mkfifo(fifo)
                # Open for writing too: the emulator must not block on opening, nor its closing end our reading early.
                serial = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
            log = open(os.path.join(work, "log"), "w+b")
            child = subprocess.Popen(self.command(guest, work), cwd=work, stdin=subprocess.DEVNULL, stderr=log,
                                     stdout=log if self.serial_fifo else subprocess.PIPE, start_new_session=True)
            if not self.serial_fifo:
                serial = child.stdout.fileno()
            try:
                run = _observe(child, serial, is_stamp, is_last, timeout)
                if run.failure:
                    log.seek(0)
                    tail = log.read()[-400:].decode(errors="replace").strip().split("\n")[-3:]
                    run.failure += "".join(f"\n    {line}" for line in tail if line)
                return run
            finally:
                if child.returncode is None:
                    os.killpg(child.pid, signal.SIGKILL)
                    os.waitpid(child.pid, 0)
                    child.returncode = -signal.SIGKILL
                log.close()
                os.close(serial) if self.serial_fifo else child.stdout.close()


def _observe(child, serial, is_stamp, is_last, timeout):
    run = Run()
    clock = _ProcessorClock(child.pid)
    reader = _LineReader(serial)
    finished, deadline = False, time.monotonic() + timeout
    console = []

    def take(wait):
        nonlocal finished, deadline
        lines = reader.lines(wait)
        for text in lines or ():
            console.append(text)
            if is_stamp(text):
                run.stamps.append(Stamp(text, clock.seconds()))
            if is_last(text):
                finished, deadline = True, min(deadline, time.monotonic() + END_GRACE_SECONDS)
        return lines is not None

    while True:
        if not take(0.2) and os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            while take(0):  # What came between the last look and the end.
                pass
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            run.seconds = usage.ru_utime + usage.ru_stime
            run.peak_bytes = usage.ru_maxrss * 1024
            if not finished:
                run.failure = f"ended with exit code {child.returncode} before its last stage"
            break
        if time.monotonic() > deadline:
            if not finished:
                run.failure = f"did not reach its last stage in {timeout:g} seconds"
            run.seconds = clock.seconds()
            run.peak_bytes = _peak_bytes(child.pid)
            break
    run.console = "\n".join([*console, reader.rest()])
    return run


class _LineReader:
    """Whole lines of a serial line's pipe."""

    def __init__(self, descriptor):
        self.descriptor = descriptor
        self.pending = b""
        self.ended = False

    def lines(self, wait):
        """The lines that came within `wait` seconds; None if nothing came."""
        if self.ended:
            time.sleep(wait)
            return None
        if not select.select([self.descriptor], [], [], wait)[0]:
            return None
        data = os.read(self.descriptor, 65536)
        self.ended = not data
        if self.ended:
            return None
        *lines, self.pending = (self.pending + data).split(b"\n")
        return [line.decode(errors="replace").rstrip("\r") for line in lines]

    def rest(self):
        return self.pending.decode(errors="replace")


class _ProcessorClock:
    """Host processor time of all threads of a child, ended ones too, in seconds.

    The child's CPU-time clock (clock_getcpuclockid(3), whose encoding Linux's
    posix-timers.h gives) has nanoseconds and still answers for a child that has
    ended and is not yet waited for.
    """

    def __init__(self, pid):
        self.identifier = (~pid << 3) | 2

    def seconds(self):
        return time.clock_gettime(self.identifier)


def _peak_bytes(pid):
    with open(f"/proc/{pid}/status") as file:
        match = re.search(r"^VmHWM:\s+(\d+) kB", file.read(), re.M)
    return int(match.group(1)) * 1024 if match else 0


class Xenolith(Emulator):
    name = "xenolith"

    def __init__(self, path, options=()):
        super().__init__(path)
        self.options = options

    def command(self, guest, work):
        command = [self.path, "run", "--kernel", guest.kernel, "--memory", f"{guest.megabytes}M",
                   "--display", "none", "--serial", "stdio", "--cpus", str(guest.processors), *self.options]
        if self.name in guest.cpu:
            command += ["--cpu", guest.cpu[self.name]]
        if guest.bare:
            return command + ["--debug-exit", "0xf4"]
        return command + ["--initrd", guest.initrd, "--append", guest.append]


class Domain(Xenolith):
    """The same Debian as a domain of Xenolith's hypervisor."""
    program = "xenolith"
    settings = {}

    def __init__(self, path):
        super().__init__(path)

    def runs(self, guest):
        return guest.name == "debian-amd64"

    def is_comparable(self, stage):
        # The console of a domain begins late and tells then what came before.
        return not stage.group.endswith((" load", " boot"))

    def command(self, guest, work):
        append = " ".join(word for word in guest.append.split() if not word.startswith(("console=", "earlyprintk=")))
        settings = {"name": guest.name, "kernel": guest.kernel, "ramdisk": guest.initrd, "memory": guest.megabytes,
                    "vcpus": guest.processors, "cmdline": f"console=hvc0 {append}", **self.settings}
        config = os.path.join(work, "domain.cfg")
        with open(config, "w") as file:
            file.writelines(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
        # A hypervisor that runs as a service would take the domain over.
        return [self.path, "create", "-c", "--quiet", "--socket", os.path.join(work, "socket"), config]


class Paravirtual(Domain):
    name = "pv"
    settings = {"type": "pv"}


class Shadowed(Domain):
    name = "pvh"
    settings = {"type": "pvh", "hap": 0}


class Nested(Domain):
    name = "nested"
    settings = {"type": "pvh", "hap": 1}


class Qemu(Emulator):
    name = "qemu"

    def command(self, guest, work):
        # For 32-bit guests the emulator built for them is the faster one.
        narrow = self.path.replace("qemu-system-x86_64", "qemu-system-i386")
        path = narrow if guest.bits == 32 and os.access(narrow, os.X_OK) else self.path
        command = [path, "-accel", "tcg,thread=single", "-m", str(guest.megabytes), "-display", "none", "-nic", "none",
                   "-monitor", "none", "-serial", "stdio", "-no-reboot", "-smp", str(guest.processors), "-kernel", guest.kernel]
        if self.name in guest.cpu:
            command += ["-cpu", guest.cpu[self.name]]
        if guest.bare:
            return command + ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
        return command + ["-initrd", guest.initrd, "-append", guest.append]


class Bochs(Emulator):
    name = "bochs"
    serial_fifo = True

    def __init__(self, path):
        super().__init__(path)
        self._help = self._features = None

    def missing(self):
        if reason := super().missing():
            return reason
        roms = [f"{self.share()}/BIOS-bochs-latest", self.vga_bios()]
        absent = next((rom for rom in roms if not os.path.exists(rom)), None)
        return absent and f"Bochs's {absent} is not there (Debian: packages bochsbios and vgabios)"

    def vga_bios(self):
        names = [f"{self.share()}/VGABIOS-lgpl-latest{suffix}" for suffix in (".bin", "")]
        return next((name for name in names if os.path.exists(name)), names[-1])

    def _ask(self, *options):
        result = subprocess.run([self.path, "--help", *options], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return result.stdout + result.stderr

    def version(self):
        match = re.search(r"Bochs x86 Emulator (\S+)", self._ask())
        return match.group(0) if match else "Bochs"

    def share(self):
        """The folder of its BIOS and VGA BIOS, beside its own bin folder."""
        beside = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(self.path))), "share", "bochs")
        return next((d for d in (beside, "/usr/share/bochs") if os.path.isdir(d)), beside)

    def display(self):
        """A display library that needs no screen: Debian builds them as plugins and leaves `nogui` out."""
        plugins = "/usr/lib/x86_64-linux-gnu/bochs/plugins"
        if os.path.realpath(self.path) == "/usr/bin/bochs" and not os.path.exists(f"{plugins}/libbx_nogui_gui.so"):
            return 'rfb, options="timeout=0"'
        return "nogui"

    def model(self, guest):
        """The first of the guest's models that this build knows."""
        names = guest.cpu[self.name].split()
        known = self._ask("cpu").split()
        return next((name for name in names if name in known), names[-1])

    def command(self, guest, work):
        # A run that was killed leaves its disk image locked.
        with contextlib.suppress(FileNotFoundError):
            os.remove(guest.medium + ".lock")
        medium = (f'ata0-master: type=disk, path="{guest.medium}", mode=flat\nboot: disk' if guest.bare else
                  f'ata0-master: type=cdrom, path="{guest.medium}", status=inserted\nboot: cdrom')
        with open(os.path.join(work, "bochsrc"), "w") as file:
            # Programs that test a processor ask for a model and want its faults; Linux reads a register that Bochs does not have.
            asked = self.name in guest.cpu
            model = f"model={self.model(guest)}, ignore_bad_msrs=0, " if asked else ""
            file.write(f"""\
config_interface: textconfig
display_library: {self.display()}
memory: guest={guest.megabytes}, host={guest.megabytes}
plugin_ctrl: speaker=0
cpu: {model}count={guest.processors}, ips=100000000, reset_on_triple_fault=0
romimage: file={self.share()}/BIOS-bochs-latest
vgaromimage: file={self.vga_bios()}
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
{medium}
com1: enabled=1, mode=file, dev={work}/serial
clock: sync=none
log: {work}/bochs.log
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
""")
        command = [self.path, "-q", "-f", os.path.join(work, "bochsrc")]
        self._help = self._help or self._ask()
        if "-rc filename" in self._help:
            # A build with the debugger stops at its prompt before the first instruction.
            with open(os.path.join(work, "continue"), "w") as file:
                file.write("continue\n")
            command += ["-rc", os.path.join(work, "continue")]
        return command


PEERS = {peer.name: peer for peer in (Xenolith, Qemu, Bochs, Paravirtual, Shadowed, Nested)}
