# The console in three widths, and its state.

.include "common.inc"
.include "console.inc"

.section .text.real, "ax"
BITS 16
console 16

.text
BITS 32
console 32

BITS 64
console 64

# Prints RAX as 16 hexadecimal digits. Changes no register.
.global put_hex_quad
put_hex_quad:
  SAVE ax, cx
  movl $8, %ecx
  rorq $32, %rax
  call put_hex64
  rorq $32, %rax
  call put_hex64
  RESTORE cx, ax
  ret

.bss
.global cursor, attribute
.balign 2
cursor: .word 0         # cell number, row by row
attribute: .byte 0      # colours of the text to come
