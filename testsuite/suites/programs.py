"""The programs of the conformance suites: what they are built from and which processors they ask for."""

import glob
import os
import sys
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
SUPPORT = os.path.join(HERE, "support")
BENCH = os.path.join(os.path.dirname(HERE), "bench")
sys.path.insert(0, BENCH)

import build  # noqa: E402  (the benchmark's builder)
from emulators import Guest  # noqa: E402

CONSOLE = os.path.join(build.SOURCES, "console.c")
# The fullest processor of each emulator that the suites' features are known on; of Bochs, the first that it has.
PROCESSOR = {"xenolith": "x86-64-v3,+pku,+la57", "qemu": "max", "bochs": "sapphire_rapids corei7_icelake_u corei7_haswell_4770"}
PROCESSORS = {"smp": 3}
TOOLS = (build.__file__, os.path.abspath(__file__))


@dataclass
class Program:
    """A program of a suite; its name is SUITE-32 or SUITE-64 or with a word in between."""
    name: str

    @property
    def suite(self):
        return self.name.split("-")[0]

    @property
    def bits(self):
        return self.name.rsplit("-", 1)[1]

    def sources(self):
        """NAME.S, and a C file of the same name for the tables that loops make."""
        return sorted(glob.glob(os.path.join(HERE, f"{self.name}.[Sc]")))

    def guest(self, output):
        """Built, if a source is newer."""
        os.makedirs(output, exist_ok=True)
        base = os.path.join(output, self.name)
        elf, disk = base + ".elf", base + ".img"
        support = [os.path.join(SUPPORT, name) for name in ("boot.S", "suite.c")]
        inputs = [*self.sources(), *glob.glob(os.path.join(SUPPORT, "*")), *glob.glob(os.path.join(HERE, "*.inc")),
                  *glob.glob(os.path.join(HERE, "*.h")), CONSOLE,
                  os.path.join(build.SOURCES, "link.ld"), *TOOLS]
        if not build.is_current([elf, disk], inputs):
            flags = [*build.GENERAL_FLAGS, f"-I{SUPPORT}", f"-I{HERE}", f"-I{build.SOURCES}", f"-Wa,-I{SUPPORT},-I{HERE}"]
            objects = [build.compile_source(source, self.name, self.bits, base, flags)
                       for source in [*support, CONSOLE, *self.sources()]]
            build.link(objects, os.path.join(SUPPORT, "link.ld"), self.bits, base)
        return Guest(self.name, elf, disk, bits=64, cpu=PROCESSOR, processors=PROCESSORS.get(self.suite, 1))


def all_programs():
    names = {os.path.splitext(os.path.basename(path))[0] for path in glob.glob(os.path.join(HERE, "*-[36][24].[Sc]"))}
    return [Program(name) for name in sorted(names)]
