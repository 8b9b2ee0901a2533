# The PS/2 keyboard behind the 8042, read in scan code set 1 as the 8042 translates it; American layout.

.include "common.inc"

.set OUTPUT_FULL, 0x01
.set INPUT_FULL, 0x02
.set FROM_MOUSE, 0x20

.text
BITS 32

# Tests the controller, turns on translation and the keyboard, turns off the mouse.
.global setup_keyboard
setup_keyboard:
  pushal
  call drain
  movb $0xAA, %al                         # self-test, answered by 55h
  call send_command
  movl $0x10000, %ecx
1:
  inb $KEYBOARD_STATUS, %al
  testb $OUTPUT_FULL, %al
  jnz 2f
  decl %ecx
  jnz 1b
2:
  call drain
  # Command byte: translation, mouse off, system flag, interrupt 1.
  movb $0x60, %al
  call send_command
  movb $0x65, %al
  call send_data
  movb $0xF4, %al                         # the keyboard itself: scan
  call send_data
  popal
  ret

# Throws away what the controller holds.
drain:
  movl $256, %ecx
1:
  inb $KEYBOARD_STATUS, %al
  testb $OUTPUT_FULL, %al
  jz 2f
  inb $KEYBOARD, %al
  decl %ecx
  jnz 1b
2:
  ret

send_command:
  call await_input
  outb %al, $KEYBOARD_STATUS
  ret

send_data:
  call await_input
  outb %al, $KEYBOARD
  ret

# Waits, not for ever, until the controller has taken the last byte. Preserves AL.
await_input:
  movb %al, %ah
  movl $0x10000, %ecx
1:
  inb $KEYBOARD_STATUS, %al
  testb $INPUT_FULL, %al
  jz 2f
  decl %ecx
  jnz 1b
2:
  movb %ah, %al
  ret

# Returns in EAX a character or KEY_... if a key has been pressed, else 0.
.global poll_keyboard
poll_keyboard:
  inb $KEYBOARD_STATUS, %al
  testb $OUTPUT_FULL, %al
  jz nothing
  movb %al, %ah
  inb $KEYBOARD, %al
  testb $FROM_MOUSE, %ah
  jnz nothing
  movzbl %al, %eax

  cmpb $0xE0, %al                         # prefix of the keys that the first PC did not have
  jne 1f
  movb $1, extended
  jmp nothing
1:
  xorl %edx, %edx
  xchgb %dl, extended
  testb $0x80, %al
  jnz released
  cmpb $0x1D, %al
  je control_down
  testl %edx, %edx
  jnz 2f
  cmpb $0x2A, %al
  je shift_down
  cmpb $0x36, %al
  je shift_down
  cmpb $0x3A, %al
  je caps_down
2:
  cmpb $0x47, %al
  jb 3f
  cmpb $0x53, %al
  ja nothing
  movzbl navigation_keys-0x47(%eax), %eax
  ret
3:
  cmpb $0x39, %al
  ja nothing
  testl %edx, %edx
  jz 4f
  cmpb $0x1C, %al                         # of the other extended keys only Enter and / of the number pad mean something here
  je 4f
  cmpb $0x35, %al
  jne nothing
4:
  testl %edx, %edx
  jnz 5f
  testb $1, shift
  jz 5f
  movzbl shifted_keys(%eax), %eax
  jmp 6f
5:
  movzbl plain_keys(%eax), %eax
6:
  # Is it a letter? Caps Lock and Ctrl concern only these.
  movl %eax, %edx
  orb $0x20, %dl
  cmpb $'a', %dl
  jb 8f
  cmpb $'z', %dl
  ja 8f
  testb $1, control
  jz 7f
  andb $0x1F, %al
  ret
7:
  testb $1, caps
  jz 8f
  xorb $0x20, %al
8:
  ret

released:
  andb $0x7F, %al
  cmpb $0x1D, %al
  jne 1f
  movb $0, control
1:
  testl %edx, %edx
  jnz nothing                             # E0 AA, E0 B6: shift releases that the keyboard makes up
  cmpb $0x2A, %al
  je 2f
  cmpb $0x36, %al
  jne nothing
2:
  movb $0, shift
nothing:
  xorl %eax, %eax
  ret

control_down:
  movb $1, control
  jmp nothing
shift_down:
  movb $1, shift
  jmp nothing
caps_down:
  xorb $1, caps
  jmp nothing

.section .rodata, "a"
# Scan codes 00h-39h.
plain_keys:
  .byte 0, ESCAPE
  .ascii "1234567890-="
  .byte BACKSPACE, '\t'
  .ascii "qwertyuiop[]"
  .byte RETURN, 0
  .ascii "asdfghjkl;'`"
  .byte 0
  .ascii "\\zxcvbnm,./"
  .byte 0, '*', 0, ' '
shifted_keys:
  .byte 0, ESCAPE
  .ascii "!@#$%^&*()_+"
  .byte BACKSPACE, '\t'
  .ascii "QWERTYUIOP{}"
  .byte RETURN, 0
  .ascii "ASDFGHJKL:\"~"
  .byte 0
  .ascii "|ZXCVBNM<>?"
  .byte 0, '*', 0, ' '
# Scan codes 47h-53h: the number pad without Num Lock.
navigation_keys:
  .byte KEY_HOME, KEY_UP, 0, '-', KEY_LEFT, 0, KEY_RIGHT, '+', KEY_END, KEY_DOWN, 0, 0, KEY_DELETE

.bss
extended: .byte 0
shift: .byte 0
control: .byte 0
caps: .byte 0
