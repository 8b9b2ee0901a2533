# A line of input with editing: cursor keys, Home, End, Delete, Backspace, Ctrl-U, Ctrl-C, and the last lines by Up and Down.
#
# Everything is drawn with characters, spaces and backspaces, so the screen and a terminal on COM1 show the same.

.include "common.inc"

.text
BITS 32

# Waits for a key and returns it in EAX: a character or KEY_....
get_key:
  pushl %ecx
  pushl %edx
1:
  # Between the look at the devices and HLT no interrupt may slip in; STI lets one through only after the next
  # instruction (SDM vol. 2B, STI).
  cli
  call poll_keyboard
  testl %eax, %eax
  jnz 2f
  call poll_serial
  testl %eax, %eax
  jnz 2f
  sti
  hlt
  jmp 1b
2:
  sti
  popl %edx
  popl %ecx
  ret

# Reads a line into `line`, zero-terminated. EBX is the position of the cursor in it, ECX its length.
.global read_line
read_line:
  pushal
  xorl %ebx, %ebx
  xorl %ecx, %ecx
  movl $-1, history_position
next_key:
  call get_key
  movl $line_keys, %edx
1:
  cmpb $0, (%edx)
  je 2f
  cmpb (%edx), %al
  je 3f
  addl $5, %edx
  jmp 1b
2:
  cmpb $' ', %al
  jb next_key
  cmpb $'~', %al
  ja next_key
  call insert_character
  jmp next_key
3:
  call *1(%edx)
  jmp next_key

# RETURN leaves read_line: it drops its own return address.
key_return:
  call key_end
  movb $0, line(%ecx)
  SAY "\n"
  testl %ecx, %ecx
  jz 1f
  call remember
1:
  addl $4, %esp
  popal
  ret

key_cancel:
  SAY "^C\n"
  movb $0, line
  addl $4, %esp
  popal
  ret

insert_character:
  cmpl $(LINE_SIZE - 1), %ecx
  jae 2f
  # The rest of the line moves right, from its end on.
  movl %ecx, %edx
1:
  cmpl %ebx, %edx
  je 1f
  movb line-1(%edx), %ah
  movb %ah, line(%edx)
  decl %edx
  jmp 1b
1:
  movb %al, line(%ebx)
  incl %ecx
  incl %ebx
  call put_char32
  call draw_rest
2:
  ret

key_backspace:
  testl %ebx, %ebx
  jz 1f
  call key_left
  call key_delete
1:
  ret

key_delete:
  cmpl %ecx, %ebx
  je 2f
  movl %ebx, %edx
  decl %ecx
1:
  cmpl %ecx, %edx
  je 1f
  movb line+1(%edx), %al
  movb %al, line(%edx)
  incl %edx
  jmp 1b
1:
  movb $' ', line(%ecx)                   # draws over what stood last
  incl %ecx
  call draw_rest
  decl %ecx
2:
  ret

# Draws the line from the cursor to the end and brings the cursor back. Preserves all registers.
draw_rest:
  pushal
  movl %ebx, %edx
1:
  cmpl %ecx, %edx
  je 2f
  CHARACTER line(%edx)
  incl %edx
  jmp 1b
2:
  cmpl %ebx, %edx
  je 3f
  CHARACTER $BACKSPACE
  decl %edx
  jmp 2b
3:
  popal
  ret

key_left:
  testl %ebx, %ebx
  jz 1f
  decl %ebx
  CHARACTER $BACKSPACE
1:
  ret

key_right:
  cmpl %ecx, %ebx
  je 1f
  CHARACTER line(%ebx)
  incl %ebx
1:
  ret

key_home:
  testl %ebx, %ebx
  jz 1f
  call key_left
  jmp key_home
1:
  ret

key_end:
  cmpl %ecx, %ebx
  je 1f
  call key_right
  jmp key_end
1:
  ret

key_clear:
  call key_end
1:
  testl %ecx, %ecx
  jz 2f
  call key_backspace
  jmp 1b
2:
  ret

# Lines of the past: slot 0 is the latest, an empty slot ends them.
key_up:
  movl history_position, %eax
  incl %eax
  cmpl $HISTORY_LINES, %eax
  jae 1f
  imull $LINE_SIZE, %eax, %edx
  cmpb $0, history(%edx)
  je 1f
  movl %eax, history_position
  call show_history
1:
  ret

key_down:
  movl history_position, %eax
  testl %eax, %eax
  js 1f
  decl %eax
  movl %eax, history_position
  call show_history
1:
  ret

# Replaces the line by that of history_position; -1 is an empty one.
show_history:
  call key_clear
  movl history_position, %edx
  testl %edx, %edx
  js 2f
  imull $LINE_SIZE, %edx, %edx
  addl $history, %edx
1:
  movb (%edx), %al
  testb %al, %al
  jz 2f
  pushl %edx
  call insert_character
  popl %edx
  incl %edx
  jmp 1b
2:
  ret

# Puts the line into slot 0; the others move on by one.
remember:
  pushal
  std
  movl $(history + (HISTORY_LINES - 1) * LINE_SIZE - 1), %esi
  movl $(history + HISTORY_LINES * LINE_SIZE - 1), %edi
  movl $((HISTORY_LINES - 1) * LINE_SIZE), %ecx
  rep movsb
  cld
  movl $line, %esi
  movl $history, %edi
  movl $LINE_SIZE, %ecx
  rep movsb
  popal
  ret

.section .rodata, "a"
# Keys with a meaning: code and handler.
.macro KEY code, handler
  .byte \code
  .long \handler
.endm
line_keys:
  KEY RETURN, key_return
  KEY BACKSPACE, key_backspace
  KEY KEY_DELETE, key_delete
  KEY KEY_LEFT, key_left
  KEY KEY_RIGHT, key_right
  KEY KEY_HOME, key_home
  KEY KEY_END, key_end
  KEY KEY_UP, key_up
  KEY KEY_DOWN, key_down
  KEY 3, key_cancel
  KEY 21, key_clear
  .byte 0

.bss
.global line
line: .skip LINE_SIZE
history: .skip HISTORY_LINES * LINE_SIZE
.balign 4
history_position: .long 0
