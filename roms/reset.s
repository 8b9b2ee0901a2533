# From the reset vector to 32-bit protected mode.
#
# A processor starts in real mode at FFFFFFF0h, with CS selecting F000h but based at FFFF0000h until CS is first loaded
# (SDM vol. 3A §9.1.4). The board shows this ROM there and below 1 MiB, so a far jump lands in the same bytes.

.include "common.inc"

.section .reset, "ax"
BITS 16
.global reset_vector
reset_vector:
  ljmp $ROM_SEGMENT, $(start16 - ROM_BASE)
  .ascii "XENOLITH"
  .byte 0, 0, 0

.section .text.real, "ax"
BITS 16
start16:
  cli
  cld
  # The self-test result and the processor's signature are in EAX and EDX now and never again (SDM vol. 3A §9.1.2, §9.1.3).
  movl %eax, %esi
  movl %edx, %edi

  # Address line 20 open: a PC/AT may start with it held low. Bit 0 must stay 0, its rising edge resets the processor.
  inb $SYSTEM_CONTROL_A, %al
  orb $2, %al
  andb $0xFE, %al
  outb %al, $SYSTEM_CONTROL_A

  # Protected mode (SDM vol. 3A §9.9.1), caches on (CD = NW = 0; a 386 ignores the bits).
  lgdtl %cs:(gdt_pointer - ROM_BASE)
  movl %cr0, %eax
  andl $0x9FFFFFFF, %eax
  orl $1, %eax
  movl %eax, %cr0
  ljmpl $CODE32, $start32

.text
BITS 32
start32:
  movl $DATA32, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %fs
  movl %eax, %gs
  movl %eax, %ss
  movl $STACK_TOP, %esp

  movl %esi, %eax
  movl %edi, %edx
  movl $bss_begin, %edi
  movl $bss_end, %ecx
  subl %edi, %ecx
  shrl $2, %ecx
  xchgl %eax, %ebx
  xorl %eax, %eax
  rep stosl
  movl %ebx, reset_self_test
  movl %edx, reset_signature

  movb $PLAIN, attribute
  call set_text_mode
  call setup_serial
  call setup_interrupts
  call identify_processor
  call setup_apic
  call setup_keyboard
  sti
  jmp shell

.bss
.global reset_self_test, reset_signature
reset_self_test: .long 0
reset_signature: .long 0
