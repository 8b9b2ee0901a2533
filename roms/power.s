# Ways out: reset, power off, and ends of a run that an emulator has to explain.

.include "common.inc"

COMMAND 90, reboot, command_reboot, "reset the machine"
COMMAND 91, off, command_off, "switch it off"
COMMAND 92, halt, command_halt, "stop the processor for ever: HLT with interrupts off"
COMMAND 93, triple, command_triple, "shut the processor down by a triple fault"
COMMAND 94, exit, command_exit, "exit CODE: end the emulator through debug exit port F4"

.set POWER_MANAGEMENT, 0x71138086       # Intel 82371AB (PIIX4), function 3

.text
BITS 32

command_reboot:
  SAY "Resetting.\n"
  cli
  # Reset control register: a hard reset, by bit 2 rising (82371SB §2.5.6).
  movl $RESET_CONTROL, %edx
  movb $2, %al
  outb %al, %dx
  movb $6, %al
  outb %al, %dx
  call a_moment
  # The keyboard controller can pull the processor's reset line.
  movb $0xFE, %al
  outb %al, $KEYBOARD_STATUS
  call a_moment
  jmp triple_fault

a_moment:
  movl $0x100000, %ecx
1:
  decl %ecx
  jnz 1b
  ret

command_off:
  movl $POWER_MANAGEMENT, %eax
  call pci_find
  jc 1f
  # Without firmware its ports are nowhere yet: base at register 40h, enable in bit 0 of 80h (82371AB §7.1.26, §7.1.33).
  movb $0x40, %al
  movl $(POWER_BASE | 1), %ecx
  call pci_write
  movb $0x80, %al
  call pci_read
  movl %eax, %ecx
  orl $1, %ecx
  movb $0x80, %al
  call pci_write
  SAY "Switching off.\n"
  # PM1 control: SLP_EN with SLP_TYP 0, which is soft off (S5) on this chip (82371AB §7.2.3).
  movl $(POWER_BASE + 4), %edx
  movw $0x2000, %ax
  outw %ax, %dx
  call a_moment
1:
  SAY "This machine has no power management of the PIIX4: it stays on.\n"
  ret

command_halt:
  SAY "Interrupts are off and the processor halts: only a reset or an NMI can wake it.\n"
  cli
1:
  hlt
  jmp 1b

command_triple:
  SAY "The IDT gets a limit of 0 and a breakpoint follows: it cannot be delivered, nor\n"
  SAY "can the double fault of that. The processor shuts down; on a PC, the board\n"
  SAY "resets it.\n"
triple_fault:
  lidtl no_idt
  int3

command_exit:
  call parse_hex
  jc 1f
  movl $DEBUG_EXIT, %edx
  outb %al, %dx
  call a_moment
  SAY "There is no debug exit port at F4.\n"
  ret
1:
  SAY "exit takes a code in hexadecimal: exit 0\n"
  ret

.section .rodata, "a"
no_idt: .word 0
  .long 0
