// Real-address mode: segments of 64 KiB with limits, what does not exist there, interrupts (SDM vol. 3B §21.1).
#include "suite.h"
#include "real.inc"

	.text
	.globl suite_main
suite_main:
	pusha

	// Real-address mode (§3.2, §21.1): segments of 64 KiB whose limits are checked.
	.macro REAL_FAULT name, vector, code:vararg
	CASE "\name"
	.pushsection .low
	.code16
8:	\code
	ret
	.popsection
	.code32
	REAL 8b
	RUNS
	REAL_FAULTS \vector, 8b
	.endm
	.macro REAL_RUN name
	CASE "\name"
	REAL 8b
	RUNS
	REAL_RUNS
	.endm
	REAL_FAULT "real-word-at-ffff", GP, mov 0xFFFF, %ax
	REAL_FAULT "real-dword-at-fffd", GP, mov 0xFFFD, %eax
	REAL_FAULT "real-ss-word-at-ffff", SS, mov %ss:0xFFFF, %ax
	REAL_FAULT "real-32-bit-address", GP, addr32 mov 0x10000, %al
	REAL_FAULT "real-movs-above", GP, addr32 mov 0xFFFFFFFF, %al
	REAL_FAULT "real-lldt", UD, lldt %ax
	REAL_FAULT "real-ltr", UD, ltr %ax
	REAL_FAULT "real-sldt", UD, sldt %ax
	REAL_FAULT "real-str", UD, str %ax
	REAL_FAULT "real-lar", UD, lar %ax, %bx
	REAL_FAULT "real-lsl", UD, lsl %ax, %bx
	REAL_FAULT "real-verr", UD, verr %ax
	REAL_FAULT "real-verw", UD, verw %ax
	REAL_FAULT "real-arpl", UD, .byte 0x63, 0xC0
	REAL_FAULT "real-lock-mov", UD, .byte 0xF0, 0x89, 0x07
	REAL_FAULT "real-ud2", UD, ud2
	REAL_FAULT "real-aam", DE, aam $0
	REAL_FAULT "real-far-jump-above", GP, ljmpl $0, $0x10000
	REAL_FAULT "real-jump-above", GP, .byte 0x66, 0xE9, 0, 0, 1, 0
	REAL_FAULT "real-sysenter", GP, sysenter
	REAL_FAULT "real-int-beyond-idt", GP, int $0x21
	.pushsection .low
	.code16
8:	mov 0xFFFE, %ax
	mov 0xFFFF, %al
	mov 0xFFFC, %eax
	ret
	.popsection
	.code32
	REAL_RUN "real-last-bytes"
	.pushsection .low
	.code16
8:	movl $0, real_result
	mov $0xFFFF, %si
	mov $2, %cx
	rep lodsb
	mov %si, real_result
	ret
	.align 4
real_result:
	.long 0
	.popsection
	.code32
	REAL_RUN "real-string-wraps"
	EQUAL "si", real_result, 1
	.pushsection .low
	.code16
8:	mov $0xFFFF, %si
	mov $1, %cx
7:	rep lodsw
	ret
	.popsection
	.code32
	CASE "real-string-word-at-ffff"
	REAL 8b
	RUNS
	REAL_FAULTS GP, 7b
	.pushsection .low
	.code16
8:	mov $0x2000, %ax                      // code up to the last byte of its segment, then beyond
	mov %ax, %es
	movb $0x90, %es:0xFFFF
	ljmp $0x2000, $0xFFFF
	.popsection
	.code32
	CASE "real-runs-out-of-segment"
	REAL 8b
	RUNS
	REAL_FAULTS GP, 0
	EQUAL "cs", real_cs, 0x2000
	.pushsection .low
	.code16
8:	int $3
7:	ret
	.popsection
	.code32
	CASE "real-int"
	REAL 8b
	RUNS
	REAL_FAULTS BP, 7b
	EQUAL "sp", real_sp, 0x7BFE
	.pushsection .low
	.code16
8:	mov $0xFFFF, %bp
7:	mov (%bp), %ax
	ret
	.popsection
	.code32
	CASE "real-bp-is-ss"
	REAL 8b
	RUNS
	REAL_FAULTS SS, 7b
	.pushsection .low
	.code16
8:	movl $0, real_result
	mov $0xFFFF, %bx                      // 16-bit addresses wrap
	movb $0x5A, 0x600
	mov 0x601(%bx), %al
	mov %al, real_result
	ret
	.popsection
	.code32
	REAL_RUN "real-address-wraps"
	EQUAL "al", real_result, 0x5A
	.pushsection .low
	.code16
8:	lgdt %cs:low_gdt_pointer              // "big real": the limit of a protected-mode load stays (§21.1.1 keeps descriptor caches)
	mov %cr0, %eax
	or $1, %al
	mov %eax, %cr0
	jmp 7f
7:	mov $DATA, %bx
	mov %bx, %es
	and $~1, %al
	mov %eax, %cr0
	jmp 7f
7:	mov $0x100000, %ebx
	addr32 mov %es:(%ebx), %eax
	mov %eax, real_result
	ret
	.align 4
low_gdt_pointer:
	.word GDT_SIZE - 1
	.long gdt
	.popsection
	.code32
	REAL_RUN "real-big-segment"
	EQUAL "magic", real_result, 0x1BADB002

	popa
	ret
	.section .note.GNU-stack, "", @progbits
