"""The benchmark's guests and the stages their serial lines mark."""

import glob
import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass

import build
from emulators import Guest

HERE = os.path.dirname(os.path.abspath(__file__))
WORKLOADS = ("sha256sum", "gzip", "bzip2", "awk", "forkexec", "shell", "integer", "sieve", "crc", "sort", "nbody", "matrix")
DEBIAN = {"amd64": ("amd64", 64), "686": ("i386", 32), "686-pae": ("i386", 32)}
DEFAULT_DEBIAN = ("amd64", "686-pae")
# The early console makes the kernel's first line appear when it starts; without
# mitigations every emulator runs the same code whatever CPU it claims to be.
APPEND = "console=ttyS0 earlyprintk=ttyS0,115200 mitigations=off xenolith.run=workloads"
ISOLINUX_FILES = {"isolinux.bin": ("/usr/lib/ISOLINUX/isolinux.bin", "isolinux"),
                  "ldlinux.c32": ("/usr/lib/syslinux/modules/bios/ldlinux.c32", "syslinux-common")}


class GuestError(Exception):
    """One sentence for the user."""


@dataclass
class Stage:
    name: str       # as shown: guest/stage, or the guest itself where it has one stage
    group: str      # stages of a group share a geometric mean
    begin: str      # pattern of the line that begins it; None: the emulator's start
    end: str


def bare_names():
    for program in build.PROGRAMS:
        for bits in build.WORD_SIZES:
            yield f"{program}-{bits}"


def all_names():
    return [*bare_names(), *(f"debian-{name}" for name in DEBIAN)]


def default_names():
    return [*bare_names(), *(f"debian-{name}" for name in DEFAULT_DEBIAN)]


def stages(name):
    """The stages of a guest, in the order of their end."""
    if not name.startswith("debian-"):
        bits = name.rsplit("-", 1)[1]
        return [Stage(name, f"bare metal, {bits}-bit", rf"@@ BEGIN {name}$", rf"@@ END {name}$")]
    result = [Stage(f"{name}/load", f"{name} load", None, r"Linux version "),
              Stage(f"{name}/boot", f"{name} boot", r"Linux version ", r"@@ STAGE boot end")]
    result += [Stage(f"{name}/{w}", f"{name} workloads", rf"@@ STAGE {w} begin", rf"@@ STAGE {w} end") for w in WORKLOADS]
    return result


def last_line(name):
    return re.compile(stages(name)[-1].end)


def prepare(name, cache, need_medium, append):
    """The guest's files, built or fetched before."""
    if not name.startswith("debian-"):
        program, bits = name.rsplit("-", 1)
        elf, disk = build.build(program, bits, os.path.join(cache, "bench"))
        return Guest(name, elf, disk, bits=int(bits))
    flavour = name.removeprefix("debian-")
    architecture, bits = DEBIAN[flavour]
    kernel, initrd = f"{cache}/vmlinuz-{flavour}", f"{cache}/initrd-{architecture}.cpio.gz"
    for path in (kernel, initrd):
        if not os.path.exists(path):
            raise GuestError(f"{path} is missing: run testsuite/guests/fetch first.")
    medium = debian_iso(cache, flavour, kernel, initrd, append) if need_medium else None
    return Guest(name, kernel, medium, bits, initrd, append, 256)


def debian_iso(cache, flavour, kernel, initrd, append):
    """A bootable CD of kernel, initrd and command line, for emulators without direct boot."""
    if not shutil.which("xorriso"):
        raise GuestError("xorriso is missing: Bochs boots Debian from a CD made with it; install the package xorriso.")
    for path, package in ISOLINUX_FILES.values():
        if not os.path.exists(path):
            raise GuestError(f"{path} is missing: install the package {package}.")
    digest = hashlib.sha256(append.encode())
    for path in (kernel, initrd):
        with open(path, "rb") as file:
            digest.update(file.read())
    iso = os.path.join(cache, "iso", f"debian-{flavour}-{digest.hexdigest()[:12]}.iso")
    if os.path.exists(iso):
        return iso
    tree = os.path.join(cache, "iso", f"tree-{flavour}")
    for old in glob.glob(os.path.join(cache, "iso", f"debian-{flavour}-[0-9a-f]*.iso")):
        os.remove(old)
    shutil.rmtree(tree, ignore_errors=True)
    os.makedirs(os.path.join(tree, "isolinux"))
    for name, (path, _) in ISOLINUX_FILES.items():
        shutil.copy(path, os.path.join(tree, "isolinux", name))
    shutil.copy(kernel, os.path.join(tree, "vmlinuz"))
    shutil.copy(initrd, os.path.join(tree, "initrd.gz"))
    with open(os.path.join(tree, "isolinux", "isolinux.cfg"), "w") as file:
        file.write(f"default linux\nprompt 0\ntimeout 0\nlabel linux\n  kernel /vmlinuz\n  initrd /initrd.gz\n  append {append}\n")
    result = subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", iso + ".part", "-b", "isolinux/isolinux.bin",
                             "-c", "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", "-R", tree],
                            capture_output=True, text=True)
    if result.returncode != 0:
        raise GuestError(f"xorriso could not make {iso}:\n{result.stderr}")
    os.replace(iso + ".part", iso)
    shutil.rmtree(tree)
    return iso
