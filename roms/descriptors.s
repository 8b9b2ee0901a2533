# The GDT that the ROM itself lives by: flat 32-bit segments, and what the ways to 16- and 64-bit code need.
#
# The descriptors are marked accessed from the start: the processor sets that bit when it loads one
# (SDM vol. 3A §3.4.5.1), and in a ROM it could not.

.include "common.inc"

.section .rodata, "a"
.balign 8
.global gdt, gdt_pointer, gdt_end
gdt:
  .quad 0                                   # the null selector
  DESCRIPTOR 0, 0xFFFFF, 0x9B, 0xC          # CODE32: ring 0, 0-4 GiB
  DESCRIPTOR 0, 0xFFFFF, 0x93, 0xC          # DATA32
  DESCRIPTOR ROM_BASE, 0xFFFF, 0x9B, 0x0    # CODE16: as CS of real mode in this ROM
  DESCRIPTOR 0, 0xFFFF, 0x93, 0x0           # DATA16: as a data segment of real mode
  DESCRIPTOR 0, 0xFFFFF, 0x9B, 0xA          # CODE64: L = 1, D = 0
gdt_end:
gdt_pointer:
  .word gdt_end - gdt - 1
  .long gdt, 0                              # 64-bit LGDT takes 8 bytes of base
