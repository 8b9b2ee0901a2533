# How much memory there is, as the board tells in CMOS memory; and a dump of it.

.include "common.inc"

COMMAND 25, mem, command_mem, "memory sizes, and what lies where"
COMMAND 60, dump, command_dump, "dump ADDRESS: 128 bytes of memory; without ADDRESS, the next"

.text
BITS 32

# Returns byte AL of the CMOS memory in EAX.
.global read_cmos
read_cmos:
  outb %al, $CMOS
  inb $(CMOS + 1), %al
  movzbl %al, %eax
  ret

# Returns bytes AL (low) and AL+1 in EAX.
read_cmos_word:
  pushl %edx
  movl %eax, %edx
  incb %al
  call read_cmos
  shll $8, %eax
  xchgl %eax, %edx
  call read_cmos
  orl %edx, %eax
  popl %edx
  ret

# Fills in the variables below.
measure_memory:
  pushal
  movb $0x15, %al                         # KiB below 1 MiB
  call read_cmos_word
  movl %eax, base_memory
  movb $0x17, %al                         # KiB above it, if less than 64 MiB
  call read_cmos_word
  addl $1024, %eax
  movl %eax, low_memory
  movb $0x34, %al                         # units of 64 KiB above 16 MiB
  call read_cmos_word
  testl %eax, %eax
  jz 1f
  shll $6, %eax
  addl $(16 << 10), %eax
  movl %eax, low_memory
1:
  movb $0x5C, %al                         # units of 64 KiB above 4 GiB, 24 bits from 5Bh on
  call read_cmos_word
  shll $8, %eax
  movl %eax, %ebx
  movb $0x5B, %al
  call read_cmos
  orl %ebx, %eax
  shrl $4, %eax
  movl %eax, high_memory
  popal
  ret

# One line about memory and processors.
.global show_memory
show_memory:
  pushal
  call measure_memory
  SAY "Memory: "
  DECIMAL base_memory
  SAY " KiB below 1 MiB, "
  movl low_memory, %eax
  shrl $10, %eax
  DECIMAL %eax
  SAY " MiB in all below 4 GiB"
  cmpl $0, high_memory
  je 1f
  SAY ", "
  DECIMAL high_memory
  SAY " MiB above"
1:
  SAY "\n"
  popal
  ret

command_mem:
  call show_memory
  SAY "The last words of it "
  # Ones and zeros, each way: a bus with nothing on it reads all ones.
  movl low_memory, %edi
  shll $10, %edi
  subl $4, %edi
  movl (%edi), %ebx
  movl $0x00FF55AA, (%edi)
  cmpl $0x00FF55AA, (%edi)
  jne 1f
  notl (%edi)
  cmpl $0xFF00AA55, (%edi)
  jne 1f
  movl %ebx, (%edi)
  SAY "hold what is written there.\n"
  jmp 2f
1:
  movl %ebx, (%edi)
  SAY "do NOT hold what is written there.\n"
2:
  HEADING "What lies where below 1 MiB"
  SAY "  00000-003FF  interrupt vectors of real mode (command 'real' fills them)\n"
  SAY "  01000-"
  movl $(bss_end - 1), %eax
  HEX %eax, 5
  SAY "  variables of this ROM: IDT, input line, ...\n"
  SAY "  06000-07FFF  stack, growing down\n"
  SAY "  10000-16FFF  page tables and pages of 'paging' and 'rings'\n"
  SAY "  20000-25FFF  page tables of 'long'\n"
  SAY "  A0000-BFFFF  display memory; the text on the screen is at B8000\n"
  SAY "  F0000-"
  movl $(rom_end - 1), %eax
  HEX %eax, 5
  SAY "  this ROM; it is seen at FFFF0000 too, where the processor starts\n"
  ret

# dump [ADDRESS]
command_dump:
  cmpb $0, (%esi)
  je 1f
  call parse_hex
  jc 9f
  cmpb $0, (%esi)
  jne 9f
  movl %eax, dump_address
1:
  movl dump_address, %edi
  movl $8, %ebp
2:
  HEX %edi
  SAY " "
  xorl %ebx, %ebx
3:
  CHARACTER $' '
  movzbl (%edi, %ebx), %eax
  movb %al, dump_line(%ebx)
  HEX %eax, 2
  cmpl $7, %ebx
  jne 4f
  CHARACTER $' '
4:
  incl %ebx
  cmpl $16, %ebx
  jb 3b
  SAY "  "
  xorl %ebx, %ebx
5:
  movb dump_line(%ebx), %al
  cmpb $' ', %al
  jb 6f
  cmpb $'~', %al
  jbe 7f
6:
  movb $'.', %al
7:
  call put_char32
  incl %ebx
  cmpl $16, %ebx
  jb 5b
  SAY "\n"
  addl $16, %edi
  decl %ebp
  jnz 2b
  movl %edi, dump_address
  ret
9:
  SAY "dump takes an address in hexadecimal: dump B8000\n"
  ret

.bss
.balign 4
base_memory: .long 0                # KiB
low_memory: .long 0                 # KiB from address 0
high_memory: .long 0                # MiB from 4 GiB
dump_address: .long 0
dump_line: .skip 16
