# VGA text mode 3, set without a VGA BIOS: registers, palette, font (IBM PS/2 Hardware Interface Technical Reference, "Video
# subsystem"). What the board may have set up already comes to the same.

.include "common.inc"

.set MISCELLANEOUS, 0x3C2
.set SEQUENCER, 0x3C4
.set PALETTE_INDEX, 0x3C8
.set GRAPHICS, 0x3CE
.set ATTRIBUTE, 0x3C0
.set INPUT_STATUS, 0x3DA

# Writes `value` to register `index` of a unit with an index and a data port.
.macro REGISTER port, index, value
  movl $\port, %edx
  movl $(\value << 8 | \index), %eax
  outw %ax, %dx
.endm

.text
BITS 32

# Sets up 80 x 25 cells of 9 x 16 dots and clears the screen.
.global set_text_mode
set_text_mode:
  pushal
  # Colour emulation (CRT controller at 3D4h), CPU access to memory, 28 MHz clock, 400 lines.
  movl $MISCELLANEOUS, %edx
  movb $0x67, %al
  outb %al, %dx

  REGISTER SEQUENCER, 0, 0x01             # held in reset while the clocks change
  REGISTER SEQUENCER, 1, 0x00
  REGISTER SEQUENCER, 2, 0x03
  REGISTER SEQUENCER, 3, 0x00
  REGISTER SEQUENCER, 4, 0x02
  REGISTER SEQUENCER, 0, 0x03

  REGISTER CRTC, 0x11, 0x0E               # bit 7 would protect registers 0-7
  movl $CRTC, %edx
  movl $crtc_values, %esi
  movl $(crtc_values_end - crtc_values), %ecx
  call write_indexed

  movl $GRAPHICS, %edx
  movl $graphics_values, %esi
  movl $(graphics_values_end - graphics_values), %ecx
  call write_indexed

  # The attribute controller has one port for index and data by turns; reading the status starts with the index.
  movl $INPUT_STATUS, %edx
  inb %dx, %al
  movl $ATTRIBUTE, %edx
  movl $attribute_values, %esi
  xorl %ecx, %ecx
1:
  movb %cl, %al
  outb %al, %dx
  movb (%esi, %ecx), %al
  outb %al, %dx
  incl %ecx
  cmpl $(attribute_values_end - attribute_values), %ecx
  jb 1b
  movb $0x20, %al                         # palette done: the picture may show
  outb %al, %dx

  call load_palette
  call load_font

  movl $SCREEN, %edi
  movl $(COLUMNS * ROWS), %ecx
  movl $(PLAIN << 8 | ' '), %eax
  cld
  rep stosw
  movw $0, cursor
  popal
  ret

# Writes ECX values at ESI to registers 0... at the index port EDX.
write_indexed:
  xorl %ebx, %ebx
1:
  movb %bl, %al
  movb (%esi, %ebx), %ah
  outw %ax, %dx
  incl %ebx
  decl %ecx
  jnz 1b
  ret

# The EGA's 64 colours: bits 2-0 of the number are red, green and blue of two thirds, bits 5-3 of one third.
load_palette:
  movl $PALETTE_INDEX, %edx
  xorl %eax, %eax
  outb %al, %dx
  incl %edx
  xorl %ebx, %ebx
1:
  movl $2, %ecx
2:
  xorl %eax, %eax
  btl %ecx, %ebx
  jnc 3f
  addb $0x2A, %al
3:
  addl $3, %ecx
  btl %ecx, %ebx
  jnc 4f
  addb $0x15, %al
4:
  outb %al, %dx
  subl $4, %ecx
  jns 2b
  incl %ebx
  cmpl $64, %ebx
  jb 1b
  ret

# Glyphs live in memory plane 2, 32 bytes apart, which text mode hides: for the transfer the window A0000h shows plane 2
# alone, byte by byte.
load_font:
  REGISTER SEQUENCER, 2, 0x04
  REGISTER SEQUENCER, 4, 0x06
  REGISTER GRAPHICS, 5, 0x00
  REGISTER GRAPHICS, 6, 0x04

  cld
  movl $font, %esi
  movl $(0xA0000 + FONT_FIRST * 32), %edi
  movl $FONT_COUNT, %ebx
1:
  movl $4, %ecx
  rep movsl
  addl $16, %edi
  decl %ebx
  jnz 1b

  REGISTER SEQUENCER, 2, 0x03
  REGISTER SEQUENCER, 4, 0x02
  REGISTER GRAPHICS, 5, 0x10
  REGISTER GRAPHICS, 6, 0x0E
  ret

.section .rodata, "a"
crtc_values:
  .byte 0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F   # horizontal timing, vertical total
  .byte 0x00, 0x4F, 0x0D, 0x0E, 0x00, 0x00, 0x00, 0x00   # 16 lines a cell, cursor on lines 13-14, start at 0
  .byte 0x9C, 0x8E, 0x8F, 0x28, 0x1F, 0x96, 0xB9, 0xA3   # vertical timing, 80 columns
  .byte 0xFF
crtc_values_end:
graphics_values:
  .byte 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0E, 0x00, 0xFF
graphics_values_end:
attribute_values:
  .byte 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F
  .byte 0x0C, 0x00, 0x0F, 0x08, 0x00
attribute_values_end:

# FONT_FIRST, FONT_COUNT and the glyphs, 16 bytes each: made by roms/build from the emulator's own font.
.include "font.inc"
font:
  .incbin "font.bin"
