# The banner, the prompt and the commands.

.include "common.inc"

COMMAND 10, help, command_help, "this list"

.text
BITS 32

# The start of everything that talks: shows the machine, then takes commands for ever.
.global shell
shell:
  COLOUR TITLE
  SAY "Xenolith demonstration ROM\n"
  COLOUR PLAIN
  SAY "There is no BIOS and no disk here: this program is all that the machine runs.\n\n"
  call show_processor
  call show_memory
  call show_pci
  call show_serial
  call show_date
  SAY "\nType 'help' for what can be looked at. Keyboard and COM1 both work.\n"

# Asks for a line and obeys it. Also where an unexpected exception ends.
.global prompt
prompt:
  COLOUR BRIGHT
  SAY "> "
  COLOUR PLAIN
  call read_line
  call obey
  jmp prompt

# Finds the first word of `line` among the commands and calls its handler with ESI at the word after it.
obey:
  movl $line, %esi
  call skip_spaces
  cmpb $0, (%esi)
  je 9f
  movl $commands_begin, %ebx
1:
  cmpl $commands_end, %ebx
  jae 8f
  movl (%ebx), %edi
  movl %esi, %edx
2:
  movb (%edx), %al
  cmpb $'A', %al
  jb 3f
  cmpb $'Z', %al
  ja 3f
  orb $0x20, %al
3:
  movb (%edi), %ah
  testb %ah, %ah
  jz 4f
  cmpb %ah, %al
  jne 5f
  incl %edx
  incl %edi
  jmp 2b
4: # the name has ended: so must the word
  cmpb $' ', %al
  je 6f
  testb %al, %al
  jz 6f
5:
  addl $12, %ebx
  jmp 1b
6:
  movl %edx, %esi
  call skip_spaces
  jmp *8(%ebx)
8:
  SAY "No command '"
  call put_string32
  SAY "'.\nType 'help' for a list.\n"
9:
  ret

# Moves ESI over spaces.
skip_spaces:
  cmpb $' ', (%esi)
  jne 1f
  incl %esi
  jmp skip_spaces
1:
  ret

command_help:
  HEADING "Commands"
  movl $commands_begin, %ebx
1:
  cmpl $commands_end, %ebx
  jae 3f
  SAY "  "
  movl (%ebx), %esi
  call put_string32
  movl $14, %eax
  call tabulate
  movl 4(%ebx), %esi
  call put_string32
  SAY "\n"
  addl $12, %ebx
  jmp 1b
3:
  ret

# Prints spaces up to column EAX. Preserves all registers.
.global tabulate
tabulate:
  pushal
  movl %eax, %ebx
  call column
  subl %eax, %ebx
  jbe 2f
1:
  CHARACTER $' '
  decl %ebx
  jnz 1b
2:
  popal
  ret

# Returns the column of the cursor in EAX.
.global column
column:
  pushl %edx
  pushl %ecx
  movzwl cursor, %eax
  xorl %edx, %edx
  movl $COLUMNS, %ecx
  divl %ecx
  movl %edx, %eax
  popl %ecx
  popl %edx
  ret

# Reads a hexadecimal number at ESI, with or without 0x. Returns it in EAX with CF clear, or CF set if there is none; ESI
# moves on.
.global parse_hex
parse_hex:
  pushl %ebx
  pushl %edx
  cmpb $'0', (%esi)
  jne 1f
  movb 1(%esi), %al
  orb $0x20, %al
  cmpb $'x', %al
  jne 1f
  addl $2, %esi
1:
  xorl %ebx, %ebx
  movl %esi, %edx
2:
  movzbl (%esi), %eax
  subb $'0', %al
  cmpb $9, %al
  jbe 3f
  addb $'0', %al
  orb $0x20, %al
  subb $('a' - 10), %al
  cmpb $10, %al
  jb 4f
  cmpb $15, %al
  ja 4f
3:
  shll $4, %ebx
  orl %eax, %ebx
  incl %esi
  jmp 2b
4:
  movl %ebx, %eax
  cmpl %esi, %edx
  clc
  jne 5f
  stc
5:
  popl %edx
  popl %ebx
  ret
