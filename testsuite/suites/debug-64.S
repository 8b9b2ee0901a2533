// Debug registers and single step in 64-bit mode (SDM vol. 3B chapter 18).
#include "suite.h"

	.macro LSS_BX
	.byte 0x48
	lss (%rbx), %esp
	.endm
	.macro IRET_WITH_RF
	mov %rsp, %rbx
	push $DATA
	push %rbx
	push $(2 | FLAG_RF)
	push $CODE64
	push $9f
	iretq
	.endm

	.text
	.globl suite_main
suite_main:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
#include "debug-common.inc"

	CASE "dr0-64-bit"
	movabs $0x123456789ABCDEF0, %rax
	mov %rax, %db0
	mov %db0, %rbx
	xor %eax, %eax
	mov %rax, %db0
	RUNS
	EQUAL "dr0", %rbx, 0x123456789ABCDEF0
	CASE "gp-dr6-high-half"               // vol. 2B, MOV to DR: bits 63:32 of DR6 and DR7
	movabs $0x100000000, %rax
9:	mov %rax, %db6
	FAULTS GP, 0
	CASE "gp-dr7-high-half"
	movabs $0x100000400, %rax
9:	mov %rax, %db7
	FAULTS GP, 0
	WATCH "write-qword-store", 7, 1, 0, 1, movq $1, area+16
	WATCH "access-qword-aligns-down", 7, 3, 2, 1, mov area+16, %al
	CASE "syscall-with-execute-breakpoint-in-compatibility"
	SET_DR 0, 9f
	SET_DR 7, 0x401
	TO_COMPATIBILITY
9:	nop
	.code64
	FAULTS DB
	EVENT "cs", 0, EVENT_CS, CODE32
	CLEAR_DR7
	CASE "execute-before-page-fault"      // vol. 3A table 7-2: the breakpoint comes before the faults of the fetch
	SET_DR 0, 0x40000000
	SET_DR 7, 0x401
	mov $0x40000000, %eax
	jmp *%rax
	FAULTS DB, NO_ERROR, 0x40000000
	CLEAR_DR7
	CASE "tf-jump-to-unmapped"            // the trap of the jump comes before the fault of the fetch behind it
	mov $0x40000000, %ecx
	STEP_ON
	jmp *%rcx
	FAULTS DB, NO_ERROR, 0x40000000
	CASE "data-hit-and-page-fault-of-the-next"
	SET_DR 0, area+16
	SET_DR 7, 0x10401
	mov $0x40000000, %eax
	movb $1, area + 16
9:	mov 0x40000000, %eax
	FAULTS DB
	CLEAR_DR7
	CASE "tf-far-call"
	RETURNING 100
	STEP_ON
	lcall *far_target
9:	nop
	STEP_OFF
	RUNS_WITH_EVENTS
	EVENT "first ip", 0, EVENT_IP, far_routine
	EVENT "second ip", 1, EVENT_IP, 9b
	CASE "tf-compatibility"
	TO_COMPATIBILITY
	pushf
	orl $FLAG_TF, (%esp)
	popf
	nop
9:	nop
	.code64
	FAULTS DB
	EVENT "cs", 0, EVENT_CS, CODE32

	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

far_routine:
	lretl

	.data
far_target:
	.long far_routine
	.word CODE64
	.bss
	.align 64
area:
	.skip 4096
	.section .note.GNU-stack, "", @progbits
