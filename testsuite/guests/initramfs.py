"""The initramfs images of the test guests: busybox, an init, the workload programs and, if wanted, kernel drivers."""

import os
import platform
import re
import shutil
import subprocess

import apt
import cpio

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM_FLAGS = ["-O2", "-std=c11", "-Wall", "-Wextra", "-ffreestanding", "-fno-pic", "-no-pie", "-static", "-nostdlib",
                 "-fno-stack-protector", "-ffp-contract=off", "-fno-asynchronous-unwind-tables", "-fcf-protection=none",
                 "-Wl,--build-id=none,-z,noexecstack,-z,noseparate-code,-s"]
ARCHITECTURE_FLAGS = {"amd64": ["-m64"], "i386": ["-m32", "-march=i686", "-mfpmath=387"]}
# What the emulated machine and the hypervisor offer, and file systems to try them with.
DRIVERS = ("virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_rng", "virtio_balloon", "virtio_scsi",
           "ata_generic", "ata_piix", "ahci", "sd_mod", "sr_mod", "floppy", "e1000", "8139cp", "psmouse", "mousedev", "evdev",
           "xen_blkfront", "xen_netfront", "af_packet", "loop", "ext4", "crc32c_generic", "isofs", "vfat", "nls_cp437",
           "nls_ascii", "nls_iso8859_1")


def compiler():
    """A GCC that makes x86 programs; on other hosts Debian's cross compiler."""
    names = [os.environ["XENOLITH_CC"]] if "XENOLITH_CC" in os.environ else []
    names += ["gcc"] if platform.machine() in ("x86_64", "i686") else []
    found = next((name for name in [*names, "x86_64-linux-gnu-gcc"] if shutil.which(name)), None)
    if found is None:
        raise apt.AptError("No x86 GCC: install the package gcc (x86 hosts) or gcc-x86-64-linux-gnu (others), or set XENOLITH_CC.")
    return found


def build_programs(cache, architecture):
    """Paths of the workload programs, compiled where sources are newer."""
    sources = os.path.join(HERE, "programs")
    output = os.path.join(cache, "programs", architecture)
    os.makedirs(output, exist_ok=True)
    programs = []
    for source in sorted(name for name in os.listdir(sources) if name.endswith(".c")):
        program = os.path.join(output, source[:-2])
        inputs = [os.path.join(sources, source), os.path.join(sources, "runtime.h"), os.path.abspath(__file__)]
        if not os.path.exists(program) or os.path.getmtime(program) < max(map(os.path.getmtime, inputs)):
            command = [compiler(), *ARCHITECTURE_FLAGS[architecture], *PROGRAM_FLAGS, "-o", program, inputs[0]]
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode != 0:
                raise apt.AptError(f"{source} did not compile for {architecture}:\n{result.stderr}")
        programs.append(program)
    return programs


def image(cache, architecture, busybox_package):
    """The archive common to all guests of an architecture."""
    busybox = os.path.join(cache, f"busybox-{architecture}")
    if not apt.extract(busybox_package, lambda member: busybox if member == "bin/busybox" else None):
        raise apt.AptError(f"{busybox_package} holds no bin/busybox.")
    archive = cpio.Archive()
    # The kernel opens /dev/console for PID 1 before anything is mounted.
    archive.character_device("dev/console", 5, 1)
    archive.character_device("dev/null", 1, 3, 0o666)
    for directory in ("proc", "sys", "tmp", "root", "etc", "mnt", "sbin"):
        archive.directory(directory)
    archive.file("bin/busybox", read(busybox), 0o755)
    archive.link("bin/sh", "busybox")
    # The kernel calls these itself: a hypervisor's shutdown request, a device without a driver.
    for name in ("poweroff", "reboot", "modprobe"):
        archive.link(f"sbin/{name}", "../bin/busybox")
    for name, mode in (("init", 0o755), ("workloads", 0o644)):
        archive.file(name, read(os.path.join(HERE, "initramfs", name)), mode)
    archive.file("etc/udhcpc/default.script", read(os.path.join(HERE, "initramfs", "udhcpc")), 0o755)
    for program in build_programs(cache, architecture):
        archive.file(f"programs/{os.path.basename(program)}", read(program), 0o755)
    return archive


def add_drivers(archive, cache, kernel_package):
    """Adds the drivers, and the lists of dependencies and aliases that depmod would write."""
    folder = os.path.join(cache, "drivers", os.path.basename(kernel_package).removesuffix(".deb"))
    if not os.path.isdir(folder):
        partial = folder + ".part"
        shutil.rmtree(partial, ignore_errors=True)
        if not apt.extract(kernel_package, lambda member: os.path.join(partial, member) if member.endswith(".ko") else None):
            raise apt.AptError(f"{kernel_package} holds no uncompressed kernel modules.")
        os.rename(partial, folder)
    paths = {module_name(name): os.path.join(directory, name)
             for directory, _, names in os.walk(folder) for name in names}
    release = os.listdir(os.path.join(folder, "lib/modules"))[0]
    root = os.path.join(folder, "lib/modules", release)
    chosen = {}     # name: content
    closure = {}    # name: every module it needs, nearest first, as modules.dep has them
    aliases = []

    def add(name):
        if name in chosen or name not in paths:
            return  # Had before, or built into this kernel.
        chosen[name] = content = read(paths[name])
        needed = [module_name(n) for n in module_information(content, "depends").split(",") if n]
        for other in needed:
            add(other)
        below = [n for other in needed if other in chosen for n in (other, *closure[other])]
        # The last mention stays: modprobe loads from the end, so what others need comes first.
        closure[name] = list(reversed(dict.fromkeys(reversed(below))))
        aliases.extend(f"alias {alias} {name}" for alias in module_information(content, "alias", every=True))

    def relative(name):
        return os.path.relpath(paths[name], root)

    for name in DRIVERS:
        add(name)
    for name, content in chosen.items():
        archive.file(f"lib/modules/{release}/{relative(name)}", content)
    lines = [f"{relative(name)}: {' '.join(map(relative, below))}".rstrip() for name, below in closure.items()]
    archive.file(f"lib/modules/{release}/modules.dep", "".join(line + "\n" for line in lines).encode())
    archive.file(f"lib/modules/{release}/modules.alias", "".join(line + "\n" for line in aliases).encode())


def module_name(file_name):
    return file_name.removesuffix(".ko").replace("-", "_")


def module_information(content, field, every=False):
    """Value, or all values, of a field in a module's .modinfo section (include/linux/module.h)."""
    values = [v.decode() for v in re.findall(rb"\0" + field.encode() + rb"=([^\0]*)", content)]
    return values if every else next(iter(values), "")


def read(path):
    with open(path, "rb") as file:
        return file.read()
