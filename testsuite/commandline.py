"""Tests of what a user gets to see when something is wrong: sentences, exit codes, and results that are not lost."""

import os
import pathlib
import resource
import signal
import socket
import struct
import subprocess
import tempfile
import time

from harness import PROGRAM, Skip, cached, check, refused, run, test


def try_bind(listener, port):
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen()
        return True
    except OSError:
        return False


@test
def bad_input_is_one_sentence():
    kernel = cached("vmlinuz-amd64")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)

        def file(name, content):
            (folder / name).write_bytes(content)
            return folder / name

        broken = file("broken", b"\x7fELF" + b"\xff" * 4000)
        garbage = file("garbage", bytes(n * 167 & 0xFF for n in range(5000)))
        empty = file("empty", b"")
        cut = file("cut", kernel.read_bytes()[:100_000])
        huge = file("huge", b"")
        os.truncate(huge, 20 << 30)
        spin = file("spin", b"\xeb\xfe")
        hidden = file("hidden", b"x")
        hidden.chmod(0)
        for expected, arguments in [
            (66, ["--kernel", "/nowhere/vmlinuz"]),
            (65, ["--kernel", broken]),
            (65, ["--kernel", cut]),
            (65, ["--kernel", kernel, "--memory", "4M"]),
            (64, ["--kernel", kernel, "--serial", f"file:{kernel}"]),
            (64, ["--kernel", kernel, "--memory", "1M"]),
            (64, ["--kernel", kernel, "--nonsense"]),
            (64, ["--kernel", kernel, "--cpu", "pentium9"]),
            (64, ["--kernel", kernel, "--cpu", "pentium3"]),
        ]:
            refused(expected, *arguments)
        # What reads a file, with every bad file.
        load = ["--load", f"{spin}@0x7c00", "--max-instructions", "10"]
        readers = [["--kernel"], ["--bios"], ["--restore"], [*load, "--replay"], []]
        for option in readers:
            for bad in (broken, garbage, empty, cut) if option != [] else (broken, garbage, empty):
                refused(65, *option, bad)
            refused(65, *option, huge)
            refused(66, *option, folder)
            refused(66, *option, "/nowhere/file")
            refused(64, *option, "")
            if os.geteuid() != 0:
                refused(66, *option, hidden)
        refused(65, "--kernel", "/dev/zero")
        refused(65, "--bios", file("rom", bytes(65536)), "--vgabios", garbage)
        for option in ["--initrd"], ["--module"]:
            refused(66, "--kernel", kernel, *option, "/nowhere/file")
            refused(66, "--kernel", kernel, *option, folder)
        refused(65, "--kernel", kernel, "--initrd", huge)
        # Files to write where nothing can be written: found out before the run, and files that are there are kept.
        kept = file("kept", b"kept")
        for option in "--stats", "--record", "--save-on-exit", "--screenshot":
            refused(66, *load, option, "/nowhere/file")
            refused(66, *load, option, folder, says="directory")
            refused(65, "--kernel", broken, option, kept)
            check(kept.read_bytes() == b"kept", f"{option} destroyed a file before the run")
        # Numbers.
        numbers = ["", " ", "x", "1.5.2", "99999999999999999999999", "½", "0x", "1e400"]
        for option in "--memory", "--cpus", "--max-instructions", "--timeout", "--entry", "--debug-exit":
            for number in numbers:
                refused(64, "--load", f"{spin}@0x7c00", f"{option}={number}")
            refused(64, "--load", f"{spin}@0x7c00", f"{option}=-1")
            refused(64, "--load", f"{spin}@0x7c00", option, "-1", says="-1" if option != "--timeout" else "from 0 to")
        for option, number in [("--memory", "0"), ("--memory", "4097K"), ("--memory", "1T"), ("--memory", "99999999G"),
                               ("--cpus", "0"), ("--cpus", "65"), ("--timeout", "inf"), ("--timeout", "nan"),
                               ("--timeout", "1e300"), ("--entry", "0x100000000"), ("--debug-exit", "65536"),
                               ("--screenshot", "a.png@zz"), ("--set", "eax"), ("--set", "eip=1"), ("--set", "eax=-1"), ("--load", "@0"), ("--load", "f@"),
                               ("--display", "vnc"), ("--display", "vnc=:x"), ("--display", "vnc=:70000"),
                               ("--display", "vnc=no.such.host.invalid:1"), ("--serial", "tcp:localhost"),
                               ("--serial", "tcp:localhost:99999"), ("--serial", "tcp:no.such.host.invalid:1"),
                               ("--serial", "unix:" + "x" * 200), ("--serial", "pigeon"), ("--debugcon", "tcp:h:1")]:
            refused(64, *load, f"{option}={number}")
        for address in "0xa0000", "0xfec00000", "0xffffffffffffffff":
            refused(65, "--load", f"{spin}@{address}", says="must lie elsewhere")
        refused(65, "--load", f"{spin}@0x100000000", says="--memory")
        refused(64, spin, "--offset", "2", command="disassemble", says="2 bytes")
        refused(64, "--replay", "", command="conform host", says="code=")
        refused(64, "--mode", "long64", "--cpu", "386", command="conform fuzz", says="long64")
        refused(64, "--set", "eax=1", says="--set belongs to")
        refused(64, "--set", "eax")
        refused(64, "--nonsense", command="disassemble", says="see xenolith disassemble --help")
        # What the host refuses.
        limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (2_000_000 << 10,) * 2)
        refused(65, *load, "--memory", "4G", preexec_fn=limit, says="address space")
        screenless = {name: value for name, value in os.environ.items()
                      if name not in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")}
        refused(66, *load, "--display", "sdl", env=screenless)
        # Endpoints that fail.
        with socket.socket() as taken, socket.socket() as vnc:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            refused(66, *load, "--serial", f"tcp:127.0.0.1:{taken.getsockname()[1]},server")
            display = next(n for n in range(500, 600) if try_bind(vnc, 5900 + n))
            refused(64, *load, "--display", f"vnc=127.0.0.1:{display}")
        refused(66, *load, "--serial", "tcp:127.0.0.1:1")
        refused(66, *load, "--serial", f"unix:{folder}/none")
        refused(66, *load, "--serial", f"unix:{spin}/x,server")
        refused(66, *load, "--serial", "file:/nowhere/out")


@test
def lost_output_is_said():
    """What cannot be written to standard output is never lost in silence."""
    with tempfile.TemporaryDirectory() as folder, open("/dev/full", "wb") as full:
        spin, talker = pathlib.Path(folder) / "spin", pathlib.Path(folder) / "talker"
        spin.write_bytes(b"\xeb\xfe")
        talker.write_bytes(bytes.fromhex("baf803 b041 ee ebfd"))  # mov dx,3F8h; mov al,'A'; again: out dx,al; jmp again
        for command, arguments in [
            ("disassemble", [spin]), ("", ["--help"]), ("", ["--version"]), ("run", ["--help"]), ("run", ["--cpu", "help"]),
            ("run", ["--load", f"{spin}@0x7c00", "--max-instructions", 10, "--quiet", "--stats", "-"]),
            ("run", ["--load", f"{talker}@0x7c00", "--timeout", "60"]),
            ("run", ["--load", f"{talker}@0x7c00", "--timeout", "60", "--quiet"]),
        ]:
            refused(70, *arguments, command=command, stdout=full, says="No space left")
            refused(70, *arguments, command=command, stdout=None, preexec_fn=lambda: os.close(1), says="it is closed")
        refused(70, "--load", f"{talker}@0x7c00", "--timeout", "60", "--serial", "file:/dev/full", says="No space left")


@test
def results_are_kept_when_others_fail():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "spin").write_bytes(b"\xeb\xfe")
        load = ["--load", f"{folder}/spin@0x7c00", "--max-instructions", "100"]
        state = folder / "state"
        result = subprocess.run([PROGRAM, "run", *load, "--save-on-exit", state, "--stats", "/dev/full", "--screenshot", "/dev/full"],
                                stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        check(result.returncode == 70 and b"No space left" in result.stderr, f"exit code {result.returncode}: {result.stderr}")
        again = ["--restore", state, "--max-instructions", "100"]
        code, _, err = run(*again)
        check(code == 104, f"the state was lost with the statistics: exit code {code}: {err}")
        refused(64, *load, "--stats", state, "--save-on-exit", state, says="twice")
        noise = folder / "noise"
        noise.write_bytes(os.urandom(400_000))
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 10,) * 2)
        before = sorted(path.name for path in folder.iterdir())
        for path in state, folder / "new":
            refused(70, "--load", f"{noise}@0x10000", *load, "--quiet", "--save-on-exit", path, preexec_fn=limit, says="too large")
        check(sorted(path.name for path in folder.iterdir()) == before, "a part of a state is left")
        check(run(*again)[0] == 104, "the old state is damaged")
        # A disk without room for the new state keeps the old one.
        disk = folder / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", disk], capture_output=True).returncode:
            raise Skip("no file system can be mounted for the test of a full disk")
        try:
            kept = disk / "state"
            kept.write_bytes(state.read_bytes())
            before = kept.read_bytes()
            refused(70, "--load", f"{noise}@0x10000", *load, "--quiet", "--save-on-exit", kept, says="No space left")
            check(kept.read_bytes() == before and [path.name for path in disk.iterdir()] == ["state"], "the old state is damaged")
            # Of one that was not there nothing is left.
            refused(70, "--load", f"{noise}@0x10000", *load, "--quiet", "--save-on-exit", disk / "new", says="No space left")
            check([path.name for path in disk.iterdir()] == ["state"], "a part of the new state is left")
        finally:
            subprocess.run(["umount", disk], check=True)


@test
def nobody_reads_but_the_run_ends():
    """A pipe that stays full delays neither --timeout nor a signal."""
    with tempfile.TemporaryDirectory() as folder:
        talker = pathlib.Path(folder) / "talker"
        talker.write_bytes(bytes.fromhex("baf803 b041 ee ebfd"))  # mov dx,3F8h; mov al,'A'; again: out dx,al; jmp again
        for arguments, interrupts, expected in [(["--timeout", "2"], False, 103), ([], True, 130)]:
            reader, writer = os.pipe()
            process = subprocess.Popen([PROGRAM, "run", "--load", f"{talker}@0x7c00", *arguments], stdin=subprocess.DEVNULL,
                                       stdout=writer, stderr=subprocess.PIPE)
            os.close(writer)
            time.sleep(3)
            if interrupts:
                process.terminate()
            try:
                code = process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise AssertionError(f"{arguments}: still running") from None
            finally:
                os.close(reader)
            check(code == expected, f"{arguments}: exit code {code} for {expected}: {process.stderr.read()}")


@test
def pipes_without_a_reader_delay_no_end():
    """Results that nobody fetches hold up neither the others nor, after --timeout or a signal, the end."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        spin, fifo, state = folder / "spin", folder / "fifo", folder / "state"
        spin.write_bytes(b"\xeb\xfe")
        os.mkfifo(fifo)
        load = ["--load", f"{spin}@0x7c00"]
        refused(103, *load, "--quiet", "--timeout", "1", "--stats", fifo, "--save-on-exit", state, says="nobody reads it")
        check(state.exists(), "the state was not saved")
        refused(66, *load, "--timeout", "1", "--serial", f"file:{fifo}", says="nobody reads it")
        reader, full = os.pipe()
        os.set_blocking(full, False)
        while True:
            try:
                os.write(full, b"x" * 4096)
            except BlockingIOError:
                break
        os.set_blocking(full, True)
        state.unlink()
        refused(103, *load, "--quiet", "--timeout", "1", "--stats", "-", "--save-on-exit", state, stdout=full, says="nobody reads it")
        check(state.exists(), "the state was not saved")
        os.close(reader)
        os.close(full)
        # Without --timeout a reader may take its time; a signal ends the wait, before and behind the end of the guest's run.
        for bound in [], ["--max-instructions", "10"]:
            process = subprocess.Popen([PROGRAM, "run", *load, "--quiet", "--stats", fifo, *bound], stdin=subprocess.DEVNULL,
                                       stderr=subprocess.PIPE)
            try:
                time.sleep(2)
                check(process.poll() is None, "nobody was waited for")
                process.send_signal(signal.SIGINT)
                check(process.wait(timeout=20) == 130, f"{bound}: exit code {process.returncode}: {process.stderr.read()}")
            finally:
                process.kill()
        process = subprocess.Popen([PROGRAM, "run", *load, "--quiet", "--stats", fifo, "--max-instructions", "10"], stdin=subprocess.DEVNULL)
        try:
            time.sleep(1)
            check('"instructions": 10,' in fifo.read_text(), "the reader got something else")
            check(process.wait(timeout=20) == 104, f"exit code {process.returncode}")
        finally:
            process.kill()


@test
def kernels_run_or_say_what_memory_they_need():
    """Of any size of memory the kernel either fits, or one sentence says that it does not."""
    for name in "amd64", "686", "686-pae":
        kernel = cached(f"vmlinuz-{name}")
        preferred, size = struct.unpack_from("<QI", kernel.read_bytes(), 0x258)
        least = (preferred + size >> 20) + 1
        for megabytes in {4, 17, 33, 64, 66, least - 8, least - 2, least - 1}:
            if megabytes < least:
                refused(65, "--kernel", kernel, "--memory", f"{megabytes}M", says="--memory")
        for megabytes in range(least, least + 4):
            code, _, err = run("--kernel", kernel, "--memory", f"{megabytes}M", "--serial", "null", "--max-instructions", "30M")
            check(code == 104, f"{name} with {megabytes}M: exit code {code}: {err}")


@test
def help_has_examples():
    for command in "run", "disassemble", "conform", "conform moo", "conform host", "conform rom", "conform fuzz":
        result = subprocess.run([PROGRAM, *command.split(), "--help"], capture_output=True, text=True, timeout=60)
        check(result.returncode == 0 and f"xenolith {command} " in result.stdout.split("Examples:")[-1] and "Examples:" in result.stdout, command)
