"""Builds the bare-metal programs: a multiboot ELF file and a bootable disk image of each, both word sizes."""

import os
import platform
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = os.path.join(HERE, "programs")
PROGRAMS = ("integer", "calls", "sieve", "rep", "chase", "string", "x87", "sse2", "paging", "smc", "quicksort", "sha256",
            "list", "traps")
WORD_SIZES = ("32", "64")

FLAGS = ["-O2", "-std=gnu11", "-Wall", "-Wextra", "-ffreestanding", "-fno-pic", "-no-pie", "-fno-stack-protector",
         "-fno-tree-vectorize", "-fno-asynchronous-unwind-tables", "-fcf-protection=none", "-ffp-contract=off"]
WORD_FLAGS = {"32": ["-m32", "-march=i686"], "64": ["-m64", "-mno-red-zone"]}
GENERAL_FLAGS = ["-mgeneral-regs-only"]
# Trap handlers save no vector registers, so only the programs about them use them.
PROGRAM_FLAGS = {"x87": {"32": ["-mfpmath=387"], "64": []},
                 "sse2": {"32": ["-msse2", "-mfpmath=sse"], "64": []}}
# One cylinder of 16 heads and 63 sectors: Bochs wants a whole number of them.
DISK_UNIT = 16 * 63 * 512


class BuildError(Exception):
    """One sentence for the user."""


def tool(name):
    """gcc or objcopy for x86; on other hosts Debian's cross tools."""
    candidates = [os.environ["XENOLITH_CC"]] if name == "gcc" and "XENOLITH_CC" in os.environ else []
    candidates += [name] if platform.machine() in ("x86_64", "i686") else []
    found = next((c for c in [*candidates, f"x86_64-linux-gnu-{name}"] if shutil.which(c)), None)
    if found is None:
        raise BuildError(f"No {name} for x86: install gcc and binutils (x86 hosts) or gcc-x86-64-linux-gnu (others).")
    return found


def run(command):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise BuildError(f"{os.path.basename(command[0])} failed on {command[-1]}:\n{result.stderr}")


def build(program, bits, output):
    """Paths (elf, disk image) of a program, rebuilt when a source is newer."""
    os.makedirs(output, exist_ok=True)
    name = f"{program}-{bits}"
    base = os.path.join(output, name)
    elf, disk = base + ".elf", base + ".img"
    inputs = [os.path.join(SOURCES, name) for name in
              (f"{program}.c", "machine.c", "machine.h", "boot.S", "console.c", "console.h", "sector.S", "link.ld")]
    if is_current([elf, disk], [*inputs, os.path.abspath(__file__)]):
        return elf, disk

    objects = []
    for source in (f"{program}.c", "machine.c", "console.c", "boot.S"):
        own = PROGRAM_FLAGS.get(program, {}).get(bits) if source == f"{program}.c" else None
        objects.append(compile_source(os.path.join(SOURCES, source), name, bits, base, GENERAL_FLAGS if own is None else own))
    return link(objects, os.path.join(SOURCES, "link.ld"), bits, base)


def is_current(outputs, inputs):
    """Whether every output is there and newer than all inputs."""
    newest = max(map(os.path.getmtime, inputs))
    return all(os.path.exists(p) and os.path.getmtime(p) >= newest for p in outputs)


def compile_source(source, name, bits, base, more):
    """Path of the object file of a C or assembly source of the program `name`, whose files begin with `base`."""
    path = f"{base}.{os.path.basename(source)}.o"
    run([tool("gcc"), *FLAGS, *WORD_FLAGS[bits], f'-DNAME="{name}"', *more, "-c", "-o", path, source])
    return path


def link(objects, script, bits, base):
    """Paths (elf, disk image) of the program that the objects make; the objects are removed."""
    gcc, objcopy = tool("gcc"), tool("objcopy")
    elf, disk = base + ".elf", base + ".img"
    linked = base + ".linked"
    run([gcc, *WORD_FLAGS[bits], "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none,-z,noexecstack,-z,max-page-size=4096",
         "-Wl,--no-warn-rwx-segments", "-T", script, "-o", linked, *objects])
    # Multiboot loaders take 32-bit ELF files only, whatever mode the program enters later.
    run([objcopy, "-O", "elf32-i386", linked, elf])
    flat = base + ".bin"
    run([objcopy, "-O", "binary", linked, flat])
    with open(flat, "rb") as file:
        image = file.read()
    image += b"\0" * (-len(image) % 512)

    sector_object, sector = base + ".sector.o", base + ".sector"
    run([gcc, "-m32", f"-DIMAGE_SECTORS={len(image) // 512}", "-c", "-o", sector_object, os.path.join(SOURCES, "sector.S")])
    run([gcc, "-m32", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none,-z,noexecstack,-Ttext=0x7C00", "-o", sector + ".elf",
         sector_object])
    run([objcopy, "-O", "binary", "-j", ".text", sector + ".elf", sector])
    with open(sector, "rb") as file:
        boot = file.read()
    if len(boot) != 512:
        raise BuildError(f"The boot sector is {len(boot)} bytes long, not 512.")
    content = boot + image
    with open(disk, "wb") as file:
        file.write(content + b"\0" * (-len(content) % DISK_UNIT))
    for leftover in (*objects, linked, flat, sector_object, sector + ".elf", sector):
        os.remove(leftover)
    return elf, disk
