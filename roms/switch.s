# From 32-bit protected mode to real mode and back (SDM vol. 3A §9.9.1 and §9.9.2).

.include "common.inc"

.text
BITS 32

# Calls the real-mode function at EAX in this ROM. It runs with DS = ES = SS = 0, interrupts off and the vector table of address
# 0, on the same stack. Changes no register.
.global call_real
call_real:
  pushal
  pushfl
  cli
  subl $ROM_BASE, %eax
  movw %ax, real_function
  # First 16-bit segments with the limits of real mode: their hidden parts stay in force after PE is cleared.
  ljmpl $CODE16, $(1f - ROM_BASE)

.section .text.real, "ax"
BITS 16
1:
  movw $DATA16, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %fs
  movw %ax, %gs
  movw %ax, %ss
  lidtl %cs:(real_idt_pointer - ROM_BASE)
  movl %cr0, %eax
  andb $0xFE, %al
  movl %eax, %cr0
  ljmp $ROM_SEGMENT, $(2f - ROM_BASE)     # loads CS as real mode does and empties the prefetch queue
2:
  xorw %ax, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %fs
  movw %ax, %gs
  movw %ax, %ss
  call *real_function
  cli
  movl %cr0, %eax
  orb $1, %al
  movl %eax, %cr0
  ljmpl $CODE32, $3f

.text
BITS 32
3:
  movl $DATA32, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %fs
  movl %eax, %gs
  movl %eax, %ss
  lidtl idt_pointer
  popfl
  popal
  ret

.section .rodata, "a"
real_idt_pointer:
  .word 0x3FF
  .long 0

.bss
.balign 2
real_function: .word 0
