// Debug registers and single step in 32-bit protected mode and real-address mode (SDM vol. 3B chapter 18).
#include "suite.h"
#include "real.inc"

	.macro LSS_BX
	lss (%ebx), %esp
	.endm
	.macro IRET_WITH_RF
	push $(2 | FLAG_RF)
	push $CODE32
	push $9f
	iret
	.endm

	.text
	.globl suite_main
suite_main:
	pusha
#include "debug-common.inc"

	CASE "tf-pop-ss-delays"
	RETURNING 100
	push $DATA
	STEP_ON
	pop %ss
	nop
9:	STEP_OFF
	RUNS_WITH_EVENTS
	EVENT "ip", 0, EVENT_IP, 9b

	// A breakpoint's address is linear: the base of the segment counts (§18.2.1).
	CASE "execute-linear-address"
	SEGMENT SCRATCH, 0x100000, 0xFFFFF, PRESENT | CODE_RX | GRANULAR | BIG
	SET_DR 0, 9f
	SET_DR 7, 0x401
	ljmp $SCRATCH, $1f-0x100000
1:
9:	nop
	FAULTS DB, NO_ERROR, 9b-0x100000
	CLEAR_DR7
	CASE "write-linear-address"
	SEGMENT SCRATCH, area, 0xFFF, PRESENT | DATA_RW | BIG
	mov $SCRATCH, %eax
	mov %eax, %es
	SET_DR 0, area+16
	SET_DR 7, 0x10401
	movb $1, %es:16
9:	nop
	FAULTS DB
	CLEAR_DR7

	.pushsection .low, "awx"
	.code16
8:	pushf
	pop %ax
	or $FLAG_TF, %ax
	push %ax
	popf
	nop
7:	nop
	ret
	.popsection
	.code32
	CASE "real-tf"
	REAL 8b
	RUNS
	REAL_FAULTS DB, 7b

	popa
	ret

	.bss
	.align 64
area:
	.skip 4096
	.section .note.GNU-stack, "", @progbits
