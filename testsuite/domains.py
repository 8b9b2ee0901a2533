"""Tests of domains: what `xenolith create` does with real kernels and with bad configurations."""

import json
import pathlib
import re
import subprocess
import tempfile

from harness import PROGRAM, ROOT, cached, check, refused, test

EXPECTED = json.loads((ROOT / "testsuite/bench/expected.json").read_text())


def create(*settings, console=True, timeout=400):
    """Exit code, standard output and standard error of `xenolith create` with one configuration for each dictionary."""
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for n, setting in enumerate(settings):
            files.append(pathlib.Path(folder) / f"{n}.cfg")
            files[-1].write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in setting.items()))
        result = subprocess.run([PROGRAM, "create", *(["-c"] if console else []), *files], stdin=subprocess.DEVNULL,
                                capture_output=True, timeout=timeout)
    return result.returncode, result.stdout.decode(errors="replace"), result.stderr.decode(errors="replace")


def debian(name, mode, **more):
    return dict(name=name, type="pv", kernel=str(cached("vmlinuz-amd64")), ramdisk=str(cached("initrd-amd64.cpio.gz")),
                memory=256, cmdline=f"console=hvc0 xenolith.run={mode}", **more)


def check_domain_log(log):
    bad = re.compile(r"WARNING:|Oops|BUG:|Call Trace|rcu.*stall|insecure W\+X", re.IGNORECASE)
    for line in log.splitlines():
        check(not bad.search(line), f"the kernel log says: {line.strip()}")


@test
def paravirtual_debian_workloads():
    code, out, err = create(debian("debian", "workloads"))
    check(code == 0, f"exit code {code}: {err}")
    check_domain_log(out)
    check("Hypervisor detected: Xen PV" in out, "the kernel does not know that it runs on Xen")
    results = dict(re.findall(r"@@ RESULT (\S+) (.+?)\s*$", out, re.MULTILINE))
    check(results == EXPECTED["debian"], f"results differ: {results}")


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
def bad_configurations_are_one_sentence():
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "bad.cfg"
        nonsense = pathlib.Path(folder) / "nonsense"
        nonsense.write_bytes(b"not a kernel")
        for expected, text, says in [
            (65, 'name = "x"\nkernel = "k"\nmemory = "much"\n', "bad.cfg, line 3: memory"),
            (65, 'name = "x\n', "bad.cfg, line 1"),
            (65, 'name = "x"\n', "kernel"),
            (66, 'name = "x"\n\nkernel = "/nowhere/vmlinuz"\n', "bad.cfg, line 3: kernel /nowhere/vmlinuz"),
            (65, f'name = "x"\nkernel = "{nonsense}"\n', "no kernel that a domain can start"),
            (65, f'name = "x"\ntype = "pvh"\nkernel = "{nonsense}"\n', '"pvh"'),
        ]:
            config.write_text(text)
            refused(expected, config, command="create", says=says)
        refused(66, pathlib.Path(folder) / "absent.cfg", command="create", says="absent.cfg cannot be opened")
        refused(64, "--cpu", "386", config, command="create", says="64-bit")
        refused(64, command="create", says="config")
