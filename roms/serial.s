# The serial ports: COM1 as a keyboard, and a list of those that are there.

.include "common.inc"

COMMAND 45, serial, show_serial, "serial ports that answer"

.text
BITS 32

# COM1: 115200 baud, 8 data bits, no parity, 1 stop bit, FIFOs and receive interrupt on (National PC16550D §8).
.global setup_serial
setup_serial:
  pushal
  # Turning on the FIFOs empties the receiver: a character typed before is kept.
  movl $(COM1 + 5), %edx
  inb %dx, %al
  cmpb $0xFF, %al
  je 1f
  testb $1, %al
  jz 1f
  movl $COM1, %edx
  inb %dx, %al
  movb %al, early_character
1:
  movl $(COM1 + 3), %edx
  movb $0x80, %al                         # the divisor appears at offsets 0 and 1
  outb %al, %dx
  movl $COM1, %edx
  movb $1, %al
  outb %al, %dx
  incl %edx
  xorb %al, %al
  outb %al, %dx
  movl $(COM1 + 3), %edx
  movb $0x03, %al
  outb %al, %dx
  decl %edx                               # FIFO control
  movb $0x01, %al
  outb %al, %dx
  decl %edx                               # interrupt enable: received data
  outb %al, %dx
  movl $(COM1 + 4), %edx                  # modem control: DTR, RTS, OUT2 (which lets the interrupt out)
  movb $0x0B, %al
  outb %al, %dx
  popal
  ret

# Returns in EAX a character or KEY_... if one has been received, else 0.
.global poll_serial
poll_serial:
  call receive
  testl %eax, %eax
  jz 9f
  # RETURN, LINE FEED and the pair of them are one key.
  movb after_return, %dl
  movb $0, after_return
  cmpb $RETURN, %al
  jne 1f
  movb $1, after_return
  jmp 9f
1:
  cmpb $LINE_FEED, %al
  jne 2f
  movl $RETURN, %eax
  testb %dl, %dl
  jz 9f
  xorl %eax, %eax
  jmp 9f
2:
  cmpb $127, %al                          # what terminals send for the backspace key
  jne 3f
  movl $BACKSPACE, %eax
  jmp 9f
3:
  cmpb $ESCAPE, %al
  je escape_sequence
9:
  ret

# ESC [ x and ESC O x (ECMA-48, VT100): cursor keys, Home, End; ESC [ n ~ (VT220): Home, Delete, End.
escape_sequence:
  call receive_soon
  cmpb $'[', %al
  je 1f
  cmpb $'O', %al
  jne 8f
1:
  call receive_soon
  movl $sequence_keys, %edx
2:
  cmpb $0, (%edx)
  je 8f
  cmpb (%edx), %al
  je 3f
  addl $2, %edx
  jmp 2b
3:
  movzbl 1(%edx), %edx
  cmpb $'9', %al
  ja 4f
  pushl %edx
  call receive_soon                       # the ~
  popl %edx
4:
  movl %edx, %eax
  ret
8:
  xorl %eax, %eax
  ret

# Returns a received character, or 0.
receive:
  xorl %eax, %eax
  xchgb %al, early_character
  testb %al, %al
  jnz 1f
  movl $(COM1 + 5), %edx
  inb %dx, %al
  cmpb $0xFF, %al                         # no port
  je 2f
  testb $1, %al
  jz 2f
  movl $COM1, %edx
  inb %dx, %al
1:
  ret
2:
  xorl %eax, %eax
  ret

# The same, but waits up to two ticks of the timer. Called with interrupts off.
receive_soon:
  movl ticks, %ecx
  addl $2, %ecx
1:
  call receive
  testl %eax, %eax
  jnz 2f
  sti
  hlt
  cli
  cmpl ticks, %ecx
  jg 1b
2:
  ret

# Lists the ports whose scratch register (offset 7) keeps what is written.
.global show_serial
show_serial:
  pushal
  SAY "Serial ports:"
  movl $serial_ports, %esi
  movl $1, %ebx
1:
  movzwl (%esi), %edx
  testl %edx, %edx
  jz 3f
  addl $7, %edx
  movb $0x5A, %al
  outb %al, %dx
  inb %dx, %al
  cmpb $0x5A, %al
  jne 2f
  SAY " COM"
  DECIMAL %ebx
  SAY " at "
  subl $7, %edx
  HEX %edx, 3
  # Bits 7 and 6 of the interrupt identification are set with working FIFOs. Only COM1's are on.
  cmpl $1, %ebx
  jne 2f
  addl $2, %edx
  inb %dx, %al
  andb $0xC0, %al
  cmpb $0xC0, %al
  jne 2f
  SAY " (16550A)"
2:
  addl $2, %esi
  incl %ebx
  jmp 1b
3:
  SAY "\n"
  popal
  ret

.section .rodata, "a"
serial_ports: .word 0x3F8, 0x2F8, 0x3E8, 0x2E8, 0
sequence_keys:
  .byte 'A', KEY_UP, 'B', KEY_DOWN, 'C', KEY_RIGHT, 'D', KEY_LEFT, 'H', KEY_HOME, 'F', KEY_END
  .byte '1', KEY_HOME, '3', KEY_DELETE, '4', KEY_END, '7', KEY_HOME, '8', KEY_END, 0

.bss
early_character: .byte 0
after_return: .byte 0
