# The clocks: date and time of the MC146818, the timer of the 8254, the time-stamp counter.

.include "common.inc"

COMMAND 30, time, command_time, "date, timer and time-stamp counter"

.text
BITS 32

# Prints the date and time. The registers are BCD, as PC firmware keeps them.
.global show_date
show_date:
  pushal
  SAY "Clock: "
  # While bit 7 of register A is set, an update is near and the registers may be caught halfway (MC146818, "Update Cycle").
  movl $0x10000, %ecx
1:
  movb $0x0A, %al
  call read_cmos
  testb $0x80, %al
  jz 2f
  decl %ecx
  jnz 1b
2:
  movl $date_format, %esi
3:
  movzbl (%esi), %eax
  call read_cmos
  HEX %eax, 2
  movb 1(%esi), %al
  testb %al, %al
  jz 4f
  cmpb $1, %al
  je 5f
  call put_char32
5:
  addl $2, %esi
  jmp 3b
4:
  SAY "\n"
  popal
  ret

command_time:
  call show_date
  SAY "The 8254's channel 0 counts 1193182 times a second and interrupts every 65536.\n"
  SAY "Interrupts so far: "
  movl ticks, %eax
  DECIMAL %eax
  SAY ". This ROM has run for about "
  # 65536 / 1193182 s = 54.925 ms a tick
  movl $54925, %ecx
  mull %ecx
  movl $1000000, %ecx
  cmpl %ecx, %edx
  jae 1f
  divl %ecx
  DECIMAL %eax
1:
  SAY " s. The count is now "
  xorb %al, %al                           # latch channel 0 (8254 datasheet, "Counter Latch Command")
  outb %al, $(PIT + 3)
  inb $PIT, %al
  movb %al, %ah
  inb $PIT, %al
  xchgb %al, %ah
  HEX %eax, 4
  SAY ".\n"
  testl $(1 << 4), cpu_features
  jnz 2f
  SAY "This processor has no time-stamp counter.\n"
  ret
2:
  .arch i586
  movl $1, %eax
  call wait_ticks                         # start at the beginning of a tick
  rdtsc
  movl %eax, %ebx
  movl %edx, %esi
  movl $2, %eax
  call wait_ticks
  rdtsc
  .arch i386
  subl %ebx, %eax
  sbbl %esi, %edx
  SAY "The time-stamp counter counted "
  testl %edx, %edx
  jnz 3f
  DECIMAL %eax
  SAY " in two ticks: "
  # 2 * 54925 microseconds
  movl $109850, %ecx
  divl %ecx
  DECIMAL %eax
  SAY " a microsecond.\n"
  ret
3:
  SAY "more than 4294967295 in two ticks.\n"
  ret

.section .rodata, "a"
# CMOS registers and what to print after each: 1 is nothing, 0 ends.
date_format: .byte 0x32, 1, 9, '-', 8, '-', 7, ' ', 4, ':', 2, ':', 0, 0
