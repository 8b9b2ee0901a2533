# Demonstration of real mode: segments, interrupt vectors, exceptions, address line 20, hardware interrupts
# (SDM vol. 3A chapter 20).

.include "common.inc"

COMMAND 50, real, command_real, "real mode: segments, INT, divide error, A20, timer"

# Points interrupt vector `vector` to `handler` in this ROM.
.macro VECTOR vector, handler
  movw $(\handler - ROM_BASE), \vector * 4
  movw $ROM_SEGMENT, \vector * 4 + 2
.endm

.text
BITS 32
command_real:
  HEADING "Real mode"
  SAY "Every x86 processor starts here: 16-bit segments, no protection, interrupt\n"
  SAY "vectors at address 0. This shell, in protected mode, clears CR0.PE for a while.\n"
  movl $real_demonstration, %eax
  call call_real
  SAY "CR0.PE is set again: back in protected mode.\n"
  ret

.section .text.real, "ax"
BITS 16
real_demonstration:
  pushal
  # All vectors to something harmless first.
  xorw %di, %di
  movw $256, %cx
1:
  movw $(real_ignore - ROM_BASE), (%di)
  movw $ROM_SEGMENT, 2(%di)
  addw $4, %di
  loop 1b

  SAY "  CR0 = "
  movl %cr0, %eax
  HEX %eax
  SAY ", CS = "
  movw %cs, %ax
  HEX %eax, 4
  SAY ", and code runs in 16 bits.\n"
  call real_segments
  call real_software_interrupt
  call real_divide_error
  call real_limit
  call real_a20
  call real_timer
  popal
  ret

real_segments:
  movw $0x1234, %ax
  movw %ax, %es
  movb $0x58, %es:0x0005
  movw $0x1000, %ax
  movw %ax, %es
  movzbl %es:0x2345, %ebx
  SAY "1. An address is segment * 16 + offset. 58 was written to 1234:0005; at\n"
  SAY "   1000:2345, which is the same byte 12345, we read "
  HEX %ebx, 2
  SAY ".\n"
  ret

real_software_interrupt:
  SAY "2. INT 60 pushes FLAGS, CS and IP and jumps to the address stored at 0000:0180.\n"
  VECTOR 0x60, real_square
  movl $12, %eax
  int $0x60
  SAY "   It came back with 12 * 12 = "
  DECIMAL %eax
  SAY ".\n"
  ret

real_square:
  pushw %bp
  movw %sp, %bp
  SAY "   The handler finds on its stack IP "
  HEX 2(%bp), 4
  SAY ", CS "
  HEX 4(%bp), 4
  SAY ", FLAGS "
  HEX 6(%bp), 4
  SAY ".\n"
  mulw %ax
  movzwl %ax, %eax
  popw %bp
  iretw

real_divide_error:
  SAY "3. 7 is divided by 0: a divide error, vector 0.\n"
  VECTOR 0, real_caught_division
  movw $7, %ax
  xorb %bl, %bl
real_division:
  divb %bl
real_after_division:
  SAY "   The program goes on behind the DIV.\n"
  ret

real_caught_division:
  pushw %bp
  movw %sp, %bp
  SAY "   Caught: the pushed IP is "
  HEX 2(%bp), 4
  cmpw $(real_division - ROM_BASE), 2(%bp)
  jne 1f
  SAY ", the DIV: a fault, it could be tried again"
1:
  SAY ".\n"
  movw $(real_after_division - ROM_BASE), 2(%bp)
  popw %bp
  iretw

real_limit:
  SAY "4. A word at offset FFFF would end beyond the segment: vector 13 since the 286.\n"
  VECTOR 13, real_caught_limit
  xorl %ecx, %ecx
  movw $0xFFFF, %bx
  movw (%bx), %ax
real_after_limit:
  testl %ecx, %ecx
  jnz 1f
  SAY "   Not caught: this processor, an emulator then, does not check the limit.\n"
  ret
1:
  SAY "   Caught.\n"
  ret

real_caught_limit:
  pushw %bp
  movw %sp, %bp
  incl %ecx
  movw $(real_after_limit - ROM_BASE), 2(%bp)
  popw %bp
  iretw

# The 8086 had 20 address lines: FFFF:0010 was 0000:0000. A PC/AT can hold line 20 low, for programs that relied on it.
real_a20:
  movw $0xFFFF, %ax
  movw %ax, %es
  movw $0x1111, 0x0500
  movw $0x2222, %es:0x0510
  movw 0x0500, %bx
  inb $SYSTEM_CONTROL_A, %al
  andb $0xFC, %al
  outb %al, $SYSTEM_CONTROL_A
  movw %es:0x0510, %cx
  orb $2, %al
  outb %al, $SYSTEM_CONTROL_A
  movw %es:0x0510, %dx
  SAY "5. 0000:0500 holds "
  HEX %ebx, 4
  SAY ". With address line 20 held low FFFF:0510 reads "
  HEX %ecx, 4
  SAY ",\n   the same word; with the line open it reads "
  HEX %edx, 4
  SAY ", from address 100500.\n"
  ret

real_timer:
  VECTOR IRQ_BASE, real_tick
  movl ticks, %ebx
  addl $3, %ebx
  SAY "6. Three timer interrupts, waited for with HLT:"
  # Only the timer may interrupt: the others have no handlers here.
  movb $0xFE, %al
  outb %al, $(PIC1 + 1)
1:
  sti
  hlt
  cli
  cmpl ticks, %ebx
  jg 1b
  movb $PIC1_MASK, %al
  outb %al, $(PIC1 + 1)
  SAY "\n"
  ret

real_tick:
  pushw %ax
  incl ticks
  movb $0x20, %al
  outb %al, $PIC1
  popw %ax
  SAY " tick"
real_ignore:
  iretw
