# Finds the other processors by waking them: INIT, then start-up interrupts to all but this one
# (SDM vol. 3A §8.4.4; MultiProcessor Specification §B.4).

.include "common.inc"

COMMAND 27, smp, command_smp, "wake the other processors and count them"

.set INTERRUPT_COMMAND, APIC + 0x300
.set INIT_ALL_OTHERS, 0x000C4500
.set STARTUP_ALL_OTHERS, 0x000C4600
.set MOST, 64

.text
BITS 32
command_smp:
  HEADING "Processors"
  testl $(1 << 9), cpu_features
  jnz 1f
  SAY "This processor has no local APIC: it is alone.\n"
  ret
1:
  SAY "This is the processor with APIC ID "
  movl APIC + 0x20, %eax
  shrl $24, %eax
  DECIMAL %eax
  SAY ". The others wait for a start-up\n"
  SAY "interrupt: its vector is the number of the page where they begin, in real mode.\n"
  cld
  movl $startup, %esi
  movl $STARTUP_PAGE, %edi
  movl $(startup_end - startup), %ecx
  rep movsb
  movl $0, processors_found

  movl $INIT_ALL_OTHERS, INTERRUPT_COMMAND
  movl $1, %eax
  call wait_ticks
  # Sent twice, as the specification says; one that has started ignores the second.
  movl $(STARTUP_ALL_OTHERS | STARTUP_PAGE >> 12), INTERRUPT_COMMAND
  call wait_ticks
  movl $(STARTUP_ALL_OTHERS | STARTUP_PAGE >> 12), INTERRUPT_COMMAND
  movl $2, %eax
  call wait_ticks

  xorl %ebx, %ebx
2:
  cmpl processors_found, %ebx
  jae 3f
  SAY "  APIC ID "
  movzbl processor_ids(%ebx), %eax
  DECIMAL %eax
  SAY " has come and waits in HLT.\n"
  incl %ebx
  cmpl $MOST, %ebx
  jb 2b
3:
  SAY "Processors in all: "
  leal 1(%ebx), %eax
  DECIMAL %eax
  SAY ".\n"
  ret

# Copied to the start-up page: every processor takes a number and leaves its APIC ID (CPUID leaf 1, EBX bits 31-24).
BITS 16
.arch i586
startup:
  cli
  xorw %ax, %ax
  movw %ax, %ds
  movl $1, %eax
  cpuid
  shrl $24, %ebx
  movl $1, %eax
  lock xaddl %eax, processors_found
  cmpl $MOST, %eax
  jae 1f
  movb %bl, processor_ids(%eax)
1:
  hlt
  jmp 1b
startup_end:

.bss
.balign 4
processors_found: .long 0
processor_ids: .skip MOST
