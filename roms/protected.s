# Demonstration of protected mode: what a selector leads to, and what the processor refuses (SDM vol. 3A chapters 3, 5, 6).

.include "common.inc"

COMMAND 51, protected, command_protected, "protected mode: segments, limits, caught exceptions"

.text
BITS 32
command_protected:
  cli
  HEADING "Protected mode"
  SAY "This shell runs in it: CR0 = "
  movl %cr0, %eax
  HEX %eax
  SAY " (bit 0 is PE), CS = "
  movl %cs, %eax
  HEX %eax, 4
  SAY ", DS = "
  movl %ds, %eax
  HEX %eax, 4
  SAY ".\nA segment register holds a selector: an index into a table of descriptors.\n"
  SAY "The GDT is at "
  sgdtl table_register
  HEX table_register+2
  SAY "; the descriptor of CS there is "
  movl table_register+2, %ebx
  HEX %ss:CODE32+4(%ebx)
  SAY " "
  HEX %ss:CODE32(%ebx)
  SAY ":\n  base 00000000, limit "
  movl $CODE32, %eax
  lsll %eax, %ecx
  HEX %ecx
  SAY ", access "
  larl %eax, %ecx
  shrl $8, %ecx
  HEX %ecx, 2
  SAY " (present, ring 0, code, readable).\n"

  call load_demonstration_gdt
  SAY "1. FS gets a segment of 16 bytes. Its byte 15 can be read; reading byte 16:\n"
  movl $SMALL_DATA, %eax
  movl %eax, %fs
  movb %fs:15, %bl
  EXPECT_FAULT 1f
  movb %fs:16, %bl
1:
  call report_fault32
  movl $DATA32, %eax
  movl %eax, %fs

  SAY "2. Selector 0123 is beyond the limit of the GDT. Loading it (error: selector):\n"
  movl $0x0123, %eax
  EXPECT_FAULT 1f
  movl %eax, %fs
1:
  call report_fault32

  SAY "3. The descriptor of selector "
  movl $ABSENT_DATA, %eax
  HEX %eax, 4
  SAY " is marked not present. Loading it:\n"
  EXPECT_FAULT 1f
  movl %eax, %fs
1:
  call report_fault32

  SAY "4. INT 80 has no gate, the IDT ends before it (error: vector * 8 + 2):\n"
  EXPECT_FAULT 1f
  int $0x80
1:
  call report_fault32

  SAY "5. The opcode 0F 0B is undefined for ever:\n"
  EXPECT_FAULT 1f
  .byte 0x0F, 0x0B
1:
  call report_fault32
  SAY "See also 'paging', 'rings' and 'tasks'.\n"
  call load_rom_gdt
  sti
  ret

.bss
.balign 4
table_register: .skip 8
