"""What tests that run the program have in common."""

import os
import pathlib
import re
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("XENOLITH", str(ROOT / ".build/release/xenolith"))
CACHE = pathlib.Path(os.environ.get("XENOLITH_CACHE", ROOT / "testsuite/.cache"))
TESTS = {}
# A hypervisor of the user's own is none of the tests' business.
RUNTIME = tempfile.TemporaryDirectory()
os.environ["XDG_RUNTIME_DIR"] = RUNTIME.name


class Skip(Exception):
    pass


def test(function):
    TESTS[function.__name__] = function
    return function


def run(*arguments, timeout=600, stdin=subprocess.DEVNULL):
    """Exit code, standard output and standard error of `xenolith run`."""
    result = subprocess.run([PROGRAM, "run", *map(str, arguments)], stdin=stdin, capture_output=True, timeout=timeout)
    return result.returncode, result.stdout.decode(errors="replace"), result.stderr.decode(errors="replace")


def cached(name, fetch="testsuite/guests/fetch"):
    """A file of the cache."""
    if not (CACHE / name).exists():
        raise Skip(f"{fetch} has not been run")
    return CACHE / name


def guest(kernel, mode, *more):
    userland = "amd64" if kernel == "amd64" else "i386"
    append = "console=ttyS0" + (f" xenolith.run={mode}" if mode else " quiet")
    return ["--kernel", cached(f"vmlinuz-{kernel}"), "--initrd", cached(f"initrd-{userland}.cpio.gz"), "--append", append,
            "--memory", "256M", "--serial", "stdio", "--display", "none", *more]


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def refused(expected, *arguments, command="run", says="", **how):
    """The program ends with this code and one sentence."""
    how = dict(dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL), **how)
    result = subprocess.run([PROGRAM, *command.split(), *map(str, arguments)], stderr=subprocess.PIPE, timeout=60, **how)
    text = result.stderr.decode(errors="replace")
    check(result.returncode == expected, f"{arguments}: exit code {result.returncode} for {expected}: {text}")
    check(re.fullmatch(r"xenolith: .+\n", text), f"{arguments}: not one sentence: {text}")
    check(expected != 64 or re.search(r" \(see xenolith( \w+)* --help\)$", text), f"{arguments}: no hint: {text}")
    check(says in text, f"{arguments}: nothing about {says}: {text}")
