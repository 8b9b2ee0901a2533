# The GDT in RAM of the protected-mode demonstrations: the ROM's descriptors, then small and absent segments, ring 3, tasks and
# a call gate. In RAM, because the processor writes to it: accessed bits and the busy bit of a TSS.

.include "common.inc"

.set ROM_DESCRIPTORS, CODE64 + 8          # bytes of the ROM's GDT
.set TSS_LIMIT, 103

.text
BITS 32

# Builds the table anew and loads it. Preserves all registers.
.global load_demonstration_gdt
load_demonstration_gdt:
  pushal
  cld
  movl $gdt, %esi
  movl $demonstration_gdt, %edi
  movl $(ROM_DESCRIPTORS / 4), %ecx
  rep movsl
  movl $more_descriptors, %esi
  movl $((more_descriptors_end - more_descriptors) / 4), %ecx
  rep movsl

  # Bases of the task state segments.
  movl $MAIN_TASK, %edi
  movl $main_tss, %eax
  call set_base
  movl $OTHER_TASK, %edi
  movl $other_tss, %eax
  call set_base
  movl $FAULT_TASK, %edi
  movl $fault_tss, %eax
  call set_base

  # Call gate: a selector and an offset (SDM vol. 3A §5.8.3).
  movl $gate_entry, %eax
  movl $(demonstration_gdt + (CALL_GATE & ~7)), %edi
  movw %ax, (%edi)
  shrl $16, %eax
  movw %ax, 6(%edi)

  lgdtl demonstration_gdt_pointer
  popal
  ret

# Sets the base of the descriptor EDI to EAX (below 64 KiB).
set_base:
  movw %ax, demonstration_gdt+2(%edi)
  ret

# Back to the GDT in the ROM. Preserves all registers.
.global load_rom_gdt
load_rom_gdt:
  lgdtl gdt_pointer
  ret

# Returns in EAX the access byte of the descriptor of selector EAX.
.global descriptor_access
descriptor_access:
  movzbl demonstration_gdt+5(%eax), %eax
  ret

.section .rodata, "a"
.balign 4
demonstration_gdt_pointer:
  .word GDT_SIZE - 1
  .long demonstration_gdt
.balign 4
more_descriptors:
  DESCRIPTOR 0x12000, 15, 0x92, 0x4         # SMALL_DATA: 16 bytes
  DESCRIPTOR 0, 0xFFFFF, 0x12, 0xC          # ABSENT_DATA: P = 0
  DESCRIPTOR 0, 0xFFFFF, 0xFA, 0xC          # USER_CODE: ring 3
  DESCRIPTOR 0, 0xFFFFF, 0xF2, 0xC          # USER_DATA
  DESCRIPTOR 0, TSS_LIMIT, 0x89, 0x0        # MAIN_TASK: 32-bit TSS, available
  DESCRIPTOR 0, TSS_LIMIT, 0x89, 0x0        # OTHER_TASK
  DESCRIPTOR 0, TSS_LIMIT, 0x89, 0x0        # FAULT_TASK
  .word 0, CODE32, 2 | 0xEC00, 0            # CALL_GATE: two parameters, usable from ring 3
more_descriptors_end:

.bss
.balign 8
.global main_tss, other_tss, fault_tss
demonstration_gdt: .skip GDT_SIZE
main_tss: .skip 104
other_tss: .skip 104
fault_tss: .skip 104
