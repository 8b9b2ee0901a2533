// Instructions for the interrupt suite: what must stand at a known place.
#include "suite.h"

	.text
	// word copy(void *to, const void *from, word count): REP MOVSB with interrupts on.
	.globl copy, copy_instruction
copy:
	mov %rdx, %rcx
	sti
copy_instruction:
	rep movsb
	cli
	mov %rcx, %rax
	ret

	// word load_cr8(word value): -1, or the vector of the fault.
	.globl load_cr8
load_cr8:
	movq $0, event_count
	movq $0, event_returns
	movq $0, event_hook
	movq $1f, case_resume
	mov %rsp, case_sp
	mov %rdi, %cr8
1:	mov $-1, %rax
	cmpq $0, event_count
	je 1f
	mov events, %rax
1:	movq $0, case_resume
	ret

	// word access_msr(word number, word value, word write): -1, or the vector of the fault.
	.globl access_msr
access_msr:
	mov %rdx, %r8
	mov %edi, %ecx
	mov %esi, %eax
	mov %rsi, %rdx
	shr $32, %rdx
	movq $0, event_count
	movq $0, event_returns
	movq $0, event_hook
	movq $1f, case_resume
	mov %rsp, case_sp
	test %r8, %r8
	jz 2f
	wrmsr
	jmp 1f
2:	rdmsr
1:	mov $-1, %rax
	cmpq $0, event_count
	je 1f
	mov events, %rax
1:	movq $0, case_resume
	ret

	.globl halt_here, halt_end
	// void halt_here(void): STI, HLT, CLI.
halt_here:
	sti
	hlt
halt_end:
	cli
	ret
	.section .note.GNU-stack, "", @progbits
