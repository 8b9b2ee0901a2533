// Exceptions and error codes in 32-bit protected mode without paging (SDM vol. 3A chapter 7).
#include "suite.h"

	.macro FAR_RET
	lret
	.endm
	.macro IRET_
	iret
	.endm

	.text
	.globl suite_main
suite_main:
	pusha
#include "exceptions-common.inc"
#include "exceptions-transfers.inc"

	// Instructions that are not there in 64-bit mode.
	CASE "de-aam-zero"
9:	aam $0
	FAULTS DE
	CASE "of-into"
	mov $0x7FFFFFFF, %eax
	add $1, %eax
	into
9:	nop
	FAULTS OF
	CASE "into-clear"
	xor %eax, %eax
	into
	RUNS
	CASE "user-into-of-dpl-0"
	TO_USER
	mov $0x7FFFFFFF, %eax
	add $1, %eax
9:	into
	FAULTS GP, IDT_ERROR(OF)
	CASE "br-below"
	movl $10, area
	movl $20, area+4
	mov $9, %eax
9:	bound %eax, area
	FAULTS BR
	CASE "br-above"
	mov $21, %eax
9:	bound %eax, area
	FAULTS BR
	CASE "bound-inside"
	mov $10, %eax
	bound %eax, area
	mov $20, %eax
	bound %eax, area
	RUNS
	CASE "br-signed"
	mov $-1, %eax
9:	bound %eax, area
	FAULTS BR
	FAULT "ud-bound-register", UD, NO_ERROR, .byte 0x62, 0xC0
	FAULT "ud-lds-register", UD, NO_ERROR, .byte 0xC5, 0xC0
	CASE "gp-cr0-pg-without-pe"
	mov $0x80000000, %eax
9:	mov %eax, %cr0
	FAULTS GP, 0
	FAULT "gp-write-to-code-segment", GP, 0, movl $0, %cs:area
	CASE "gp-write-read-only"
	SEGMENT SCRATCH, 0, 0xFFFFF, PRESENT | DATA_RO | GRANULAR | BIG
	mov $SCRATCH, %eax
	mov %eax, %es
9:	movl $0, %es:area
	FAULTS GP, 0
	CASE "gp-null-ds"
	xor %eax, %eax
	mov %eax, %ds
9:	mov area, %eax
	FAULTS GP, 0
	CASE "gp-null-es-string"
	xor %eax, %eax
	mov %eax, %es
	mov $area, %edi
9:	stosb
	FAULTS GP, 0
	FAULT "ss-null", GP, 0, mov null, %ss
	CASE "ss-beyond-limit"
	SEGMENT SCRATCH, 0, 0x7FF, PRESENT | DATA_RW | GRANULAR | BIG     // 8 MiB
	mov $SCRATCH, %eax
	mov %eax, %ss
	mov $0x800000, %ebp
9:	mov (%ebp), %eax
	FAULTS SS, 0
	CASE "ss-partly-beyond-limit"
	mov $SCRATCH, %eax
	mov %eax, %ss
	mov $0x7FFFFD, %ebp
9:	mov (%ebp), %eax
	FAULTS SS, 0
	CASE "ds-override-is-gp"
	SEGMENT SCRATCH+8, 0, 0xFF, PRESENT | DATA_RW
	mov $(SCRATCH+8), %eax
	mov %eax, %es
	mov $0x100, %ebp
9:	mov %es:(%ebp), %eax
	FAULTS GP, 0

	// The frames of 16-bit gates: three words (SDM vol. 3A §7.12.1).
	CASE "interrupt-gate-16"
	SEGMENT SCRATCH, 0x100000, 0xFFFF, PRESENT | CODE_RX | BIG
	GATE 0x43, SCRATCH, 8f-0x100000, PRESENT | TYPE_INT16
	jmp 1f
8:	mov %esp, %ebx
	movzwl 0(%ebx), %ecx
	movzwl 2(%ebx), %edx
	mov case_sp, %esi
	sub %ebx, %esi
	mov case_sp, %esp
	ljmp $CODE32, $2f
1:	int $0x43
9:	nop
2:	RUNS
	EQUAL "frame-size", %esi, 6
	EQUAL "cs", %edx, CODE32
	and $0xFFFF, %ecx
	sub $9b, %ecx
	and $0xFFFF, %ecx
	EQUAL "ip", %ecx, 0
	DEFAULT_GATE 0x43

	// With a change of privilege the new stack comes from the TSS; its faults are #TS or #SS with the stack's selector, and EXT if an
	// exception was to be delivered (SDM vol. 2A, INT n, INTER-PRIVILEGE-LEVEL-INTERRUPT). The handler is in ring 1, those faults' own in
	// ring 0, where the stack is good.
#define CODE_1 0xC0
#define DATA_1 0xC8
#define ABSENT_1 0xD0
#define READ_ONLY_1 0xD8
#define SMALL_1 0xE0
	SEGMENT CODE_1, 0, 0xFFFFF, PRESENT | DPL(1) | CODE_RX | GRANULAR | BIG
	SEGMENT DATA_1, 0, 0xFFFFF, PRESENT | DPL(1) | DATA_RW | GRANULAR | BIG
	SEGMENT ABSENT_1, 0, 0xFFFFF, DPL(1) | DATA_RW | GRANULAR | BIG
	SEGMENT READ_ONLY_1, 0, 0xFFFFF, PRESENT | DPL(1) | DATA_RO | GRANULAR | BIG
	SEGMENT SMALL_1, area, 0xFF, PRESENT | DPL(1) | DATA_RW | BIG
	movl $area + 0x200, tss + 12
	.macro INNER_STACK name, ss, vector, error
	CASE "int-\name"
	GATE 0x43, CODE_1, 8f, PRESENT | DPL(3) | TYPE_INT32
	movl $(\ss), tss + 16
	TO_USER
9:	int $0x43
8:	nop
	FAULTS \vector, \error
	CASE "exception-\name"
	GATE UD, CODE_1, 8f, PRESENT | TYPE_INT32
	TO_USER
9:	ud2
8:	nop
	FAULTS \vector, \error+1
	DEFAULT_GATE UD
	.endm
	INNER_STACK "inner-stack-null", 0, TS, 0
	INNER_STACK "inner-stack-beyond-gdt", 0xFF9, TS, 0xFF8
	INNER_STACK "inner-stack-rpl", DATA_1, TS, DATA_1
	INNER_STACK "inner-stack-dpl", DATA+1, TS, DATA
	INNER_STACK "inner-stack-read-only", READ_ONLY_1+1, TS, READ_ONLY_1
	INNER_STACK "inner-stack-code", CODE_1+1, TS, CODE_1
	INNER_STACK "inner-stack-not-present", ABSENT_1+1, SS, ABSENT_1
	INNER_STACK "inner-stack-too-small", SMALL_1+1, SS, SMALL_1
	CASE "inner-stack-good"
	GATE 0x43, CODE_1, 8f, PRESENT | DPL(3) | TYPE_INT32
	movl $DATA_1+1, tss + 16
	jmp 1f
8:	mov %esp, %ebx
	mov %cs, %ecx
	mov %ss, %edx
	TO_KERNEL
	jmp 2f
1:	TO_USER
	int $0x43
2:	RUNS
	EQUAL "esp", %ebx, area+0x200-20
	EQUAL "cs", %ecx, CODE_1+1
	EQUAL "ss", %edx, DATA_1+1
	DEFAULT_GATE 0x43

	CASE "conforming-handler-keeps-stack"
	SEGMENT SCRATCH, 0, 0xFFFFF, PRESENT | CODE_CONFORM | GRANULAR | BIG
	GATE 0x43, SCRATCH, 8f, PRESENT | DPL(3) | TYPE_INT32
	jmp 1f
8:	mov %esp, %ebx
	mov %cs, %ecx
	TO_KERNEL
	jmp 2f
1:	TO_USER
	int $0x43
2:	RUNS
	EQUAL "frame", %ebx, user_stack_top-12
	EQUAL "cs", %ecx, SCRATCH+3
	DEFAULT_GATE 0x43

#include "exceptions-last.inc"
	popa
	ret

	.bss
	.align 64
area:
	.skip 4096
	.data
null:
	.long 0
short_idt:
	.word 0x21 * 8 + 6
	.long idt
	.section .note.GNU-stack, "", @progbits
