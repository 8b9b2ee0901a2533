// Debug registers and single step in 64-bit mode (SDM vol. 3B chapter 18).
#include "suite.h"

	.macro LSS_BX
	.byte 0x48
	lss (%rbx), %esp
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

	.bss
	.align 64
area:
	.skip 4096
	.section .note.GNU-stack, "", @progbits
