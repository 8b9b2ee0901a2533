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

	// With a change of privilege the new stack comes from the TSS; its faults are #TS with the stack's selector
	// (SDM vol. 2A, INT n, INTER-PRIVILEGE-LEVEL-INTERRUPT).
	.macro INNER_STACK name, ss, vector, error
	CASE "\name"
	movl $(\ss), tss + 8
	SEGMENT SCRATCH, 0, 0xFFFFF, DATA_RW | GRANULAR | BIG             // not present
	SEGMENT SCRATCH+8, 0, 0xFFFFF, PRESENT | DATA_RO | GRANULAR | BIG
	SEGMENT SCRATCH+16, user_stack_top-0x1000, 0xF, PRESENT | DATA_RW | BIG
	TO_USER
9:	ud2
	FAULTS \vector, \error
	movl $DATA, tss + 8
	.endm
	// The handlers of #TS, #SS and #GP would need the same stack: they are task gates to a task that goes back to the case.
	INNER_STACK "inner-stack-good", DATA, UD, NO_ERROR

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
