# The PCI bus, by configuration mechanism #1 (PCI Local Bus Specification 3.0 §3.2.2.3.2).
#
# Bus 0 alone: it is firmware that numbers the buses behind bridges, and there is none.

.include "common.inc"

COMMAND 40, pci, show_pci, "devices on the PCI bus"

.text
BITS 32

# Returns in EAX the configuration register at offset AL of the function EBX (device << 11 | function << 8).
.global pci_read
pci_read:
  pushl %edx
  call pci_address
  inl %dx, %eax
  popl %edx
  ret

# Writes ECX to the configuration register at offset AL of the function EBX.
.global pci_write
pci_write:
  pushal
  call pci_address
  movl %ecx, %eax
  outl %eax, %dx
  popal
  ret

pci_address:
  movzbl %al, %eax
  orl %ebx, %eax
  orl $0x80000000, %eax
  movl $PCI_ADDRESS, %edx
  outl %eax, %dx
  movl $PCI_DATA, %edx
  ret

# Moves EBX on to the next function that exists; CF set if there is none. -100h starts.
next_function:
  pushl %eax
1:
  addl $0x100, %ebx
  cmpl $0x10000, %ebx
  jae 3f
  testl $0x700, %ebx
  jz 2f
  # Functions 1-7 exist only if bit 7 of the header type of function 0 says so; others answer as function 0 does.
  pushl %ebx
  andl $0xF800, %ebx
  movb $0x0C, %al
  call pci_read
  popl %ebx
  testl $0x800000, %eax
  jz 1b
2:
  xorl %eax, %eax
  call pci_read
  cmpw $0xFFFF, %ax
  je 1b
  clc
  jmp 4f
3:
  stc
4:
  popl %eax
  ret

# Returns in EBX the function whose vendor and device are EAX; CF set if there is none.
.global pci_find
pci_find:
  pushl %edx
  movl %eax, %edx
  movl $-0x100, %ebx
1:
  call next_function
  jc 2f
  xorl %eax, %eax
  call pci_read
  cmpl %edx, %eax
  jne 1b
2:
  popl %edx
  ret

.global show_pci
show_pci:
  pushal
  SAY "PCI bus 0:\n"
  movl $-0x100, %ebx
1:
  call next_function
  jc 9f
  SAY "  "
  movl %ebx, %eax
  shrl $11, %eax
  HEX %eax, 2
  CHARACTER $'.'
  movl %ebx, %eax
  shrl $8, %eax
  andl $7, %eax
  HEX %eax, 1
  SAY "  "
  xorl %eax, %eax
  call pci_read
  HEX %eax, 4
  CHARACTER $':'
  shrl $16, %eax
  HEX %eax, 4
  SAY "  "
  movb $0x08, %al
  call pci_read
  shrl $8, %eax
  movl $classes, %esi
  call show_class
  SAY "\n"
  jmp 1b
9:
  popal
  ret

# Prints the name of class code EAX (24 bits): the first entry at ESI that matches. An entry is class << 8 | subclass,
# a mask and a name.
show_class:
  movl %eax, %ecx
  shrl $8, %ecx
1:
  movw %cx, %dx
  andw 2(%esi), %dx
  cmpw (%esi), %dx
  je 3f
  addl $4, %esi
2:
  cmpb $0, (%esi)
  leal 1(%esi), %esi
  jne 2b
  jmp 1b
3:
  addl $4, %esi
  call put_string32
  SAY " (class "
  HEX %eax, 6
  CHARACTER $')'
  ret

.section .rodata, "a"
.macro CLASS code, mask, name
  .word \code, \mask
  .asciz "\name"
.endm
classes:
  CLASS 0x0100, 0xFFFF, "SCSI controller"
  CLASS 0x0101, 0xFFFF, "IDE controller"
  CLASS 0x0106, 0xFFFF, "SATA controller"
  CLASS 0x0108, 0xFFFF, "NVMe controller"
  CLASS 0x0100, 0xFF00, "storage controller"
  CLASS 0x0200, 0xFFFF, "Ethernet controller"
  CLASS 0x0200, 0xFF00, "network controller"
  CLASS 0x0300, 0xFFFF, "VGA display"
  CLASS 0x0300, 0xFF00, "display controller"
  CLASS 0x0400, 0xFF00, "multimedia device"
  CLASS 0x0500, 0xFF00, "memory controller"
  CLASS 0x0600, 0xFFFF, "host bridge"
  CLASS 0x0601, 0xFFFF, "ISA bridge"
  CLASS 0x0604, 0xFFFF, "PCI-to-PCI bridge"
  CLASS 0x0600, 0xFF00, "bridge"
  CLASS 0x0700, 0xFF00, "communication controller"
  CLASS 0x0800, 0xFF00, "system peripheral"
  CLASS 0x0900, 0xFF00, "input device"
  CLASS 0x0C03, 0xFFFF, "USB controller"
  CLASS 0x0C05, 0xFFFF, "SMBus controller"
  CLASS 0x0C00, 0xFF00, "serial bus controller"
  CLASS 0x0000, 0x0000, "device"
