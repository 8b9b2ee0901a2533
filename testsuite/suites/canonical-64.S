// Non-canonical addresses: #GP or #SS, where RIP points, and that canonicality comes before paging (SDM vol. 1 §3.3.7.1,
// vol. 3A §7.15 vectors 12 and 13).
#include "suite.h"

	.set HOLE, 0x800000000000
	.set LAST, 0x7FFFFFFFFFFF

	.text
	.globl suite_main
suite_main:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	call map_last_page

	.macro ACCESS name, vector, address, register, instruction:vararg
	CASE "\name"
	movabs $\address, \register
9:	\instruction
	FAULTS \vector, 0
	.endm
	ACCESS "read", GP, HOLE, %rbx, mov (%rbx), %eax
	ACCESS "write", GP, HOLE, %rbx, mov %eax, (%rbx)
	ACCESS "read-negative", GP, 0xFFFF7FFFFFFFFFFF, %rbx, mov (%rbx), %al
	ACCESS "read-bit-63", GP, 0x8000000000000000, %rbx, mov (%rbx), %eax
	ACCESS "read-modify-write", GP, HOLE, %rbx, lock incl (%rbx)
	ACCESS "displacement-crosses", GP, LAST, %rbx, mov 1(%rbx), %al
	ACCESS "index", GP, 0x400000000000, %rbx, mov (%rbx,%rbx), %al
	ACCESS "rbp-is-ss", SS, HOLE, %rbp, mov (%rbp), %eax
	ACCESS "rbp-write-is-ss", SS, HOLE, %rbp, mov %eax, (%rbp)
	ACCESS "rbp-index-is-ds", GP, HOLE, %rbp, mov 0(,%rbp,1), %eax
	ACCESS "rbp-with-fs-is-gp", GP, HOLE, %rbp, mov %fs:(%rbp), %eax
	ACCESS "rbp-with-ds-prefix-is-ss", SS, HOLE, %rbp, .byte 0x3E, 0x8B, 0x45, 0
	ACCESS "rbx-with-ss-prefix-is-gp", GP, HOLE, %rbx, .byte 0x36, 0x8B, 0x03
	ACCESS "r13-is-ds", GP, HOLE, %r13, mov (%r13), %eax
	ACCESS "x87", GP, HOLE, %rbx, fldl (%rbx)
	ACCESS "sse", GP, HOLE, %rbx, movups (%rbx), %xmm0
	ACCESS "fxsave", GP, HOLE, %rbx, fxsave (%rbx)
	ACCESS "cmpxchg16b", GP, HOLE, %rbx, cmpxchg16b (%rbx)
	ACCESS "xlat", GP, HOLE, %rbx, xlatb
	ACCESS "clflush", GP, HOLE, %rbx, clflush (%rbx)
	ACCESS "sgdt", GP, HOLE, %rbx, sgdt (%rbx)
	ACCESS "bt", GP, HOLE, %rbx, btl $0, (%rbx)
	CASE "bt-register-offset"
	mov $area, %ebx
	movabs $(HOLE * 8), %rcx
9:	bt %rcx, (%rbx)
	FAULTS GP, 0
	// No access, no fault (vol. 2: NOP, PREFETCHh, INVLPG, LEA).
	CASE "no-access-no-fault"
	movabs $HOLE, %rbx
	nopl (%rbx)
	prefetcht0 (%rbx)
	prefetchw (%rbx)
	invlpg (%rbx)
	lea (%rbx), %rcx
	RUNS
	CASE "moffs"
9:	movabs HOLE, %al
	FAULTS GP, 0
	CASE "address-size-32-is-canonical"
	movabs $0x800000000000, %rbx
	mov $area, %ecx
	or %rcx, %rbx
	mov (%ebx), %eax
	RUNS

	// Across the end of the canonical addresses: the page before it is mapped, and #GP comes first where it is not.
	.macro ACROSS name, vector, address, register, instruction:vararg
	ACCESS "\name", \vector, "\address", \register, \instruction
	.endm
	ACROSS "word-across", GP, LAST, %rbx, mov (%rbx), %ax
	ACROSS "qword-across", GP, LAST-6, %rbx, mov %rax, (%rbx)
	ACROSS "sse-across", GP, LAST-14, %rbx, movups (%rbx), %xmm0
	ACROSS "stack-across", SS, LAST-6, %rbp, mov (%rbp), %rax
	CASE "byte-at-last"
	movabs $LAST, %rbx
	mov (%rbx), %al
	mov %al, (%rbx)
	RUNS
	CASE "across-lower-edge-is-pf"        // upwards from the lowest negative address only paging matters
	movabs $0xFFFF800000000000, %rbx
9:	mov (%rbx), %rax
	FAULTS PF, 0
	ACROSS "across-lower-edge", GP, 0xFFFF7FFFFFFFFFFC, %rbx, mov (%rbx), %rax
	CASE "wraps-around-zero"              // from the highest address to 0: both ends are canonical, the first is not mapped
	mov $-4, %rbx
9:	mov (%rbx), %rax
	FAULTS PF, 0
	EVENT "cr2", 0, EVENT_CR2, -4

	// String instructions: the iterations before are done.
	CASE "rep-stosq-to-the-edge"
	movabs $(LAST - 31), %rdi
	mov $8, %ecx
9:	rep stosq
	FAULTS GP, 0
	EQUAL "rcx", %rcx, 4
	CASE "rep-stosb-to-the-edge"
	movabs $(LAST - 31), %rdi
	mov $100, %ecx
9:	rep stosb
	FAULTS GP, 0
	EQUAL "rcx", %rcx, 68
	EQUAL "rdi", %rdi, HOLE
	CASE "movsb-source"
	movabs $HOLE, %rsi
	mov $area, %edi
9:	movsb
	FAULTS GP, 0
	CASE "rep-zero"
	movabs $HOLE, %rsi
	movabs $HOLE, %rdi
	xor %ecx, %ecx
	rep movsb
	RUNS

	// The stack: #SS(0), and RSP stays.
	.macro STACK name, address, instruction:vararg
	CASE "\name"
	movabs $(\address), %rsp
	movabs $(\address), %rbp
9:	\instruction
	FAULTS SS, 0
	EVENT "rsp", 0, EVENT_SP, \address
	.endm
	STACK "push", HOLE+8, push %rax
	STACK "push-across", HOLE+4, push %rax
	STACK "pop", HOLE, pop %rax
	STACK "pop-across", LAST-3, pop %rax
	STACK "pushf", HOLE+8, pushf
	STACK "popf", HOLE, popf
	STACK "call", HOLE+8, call suite_main
	STACK "call-indirect-target", HOLE+8, call *%rax
	STACK "ret", HOLE, ret
	STACK "lret", HOLE, lretq
	STACK "iret", HOLE, iretq
	STACK "enter", HOLE+8, enter $0, $0
	STACK "leave", HOLE, leave
	STACK "rsp-operand", HOLE, mov (%rsp), %rax
	STACK "rsp-operand-across", LAST-2, mov (%rsp), %eax
	CASE "push-memory-source-first"
	movabs $HOLE, %rsp
	movabs $HOLE, %rbx
9:	push (%rbx)
	FAULTS GP, 0
	CASE "push-at-edge-runs"
	movabs $HOLE, %rsp                    // the push is at LAST - 7
	mov %rsp, %rbx
	push %rax
	mov %rsp, %rcx
	mov case_sp, %rsp
	RUNS
	sub %rcx, %rbx
	EQUAL "size", %rbx, 8

	// Branches: #GP(0) at the branch, nothing pushed or popped (vol. 2A, CALL, JMP; vol. 2B, RET).
	.macro BRANCH name, instruction:vararg
	CASE "\name"
	movabs $HOLE, %rax
	mov %rax, area
	mov %rsp, %rbx
9:	\instruction
	FAULTS GP, 0
	sub events + EVENT_SP, %rbx
	EQUAL "rsp changed", %rbx, 0
	.endm
	BRANCH "jmp-register", jmp *%rax
	BRANCH "jmp-memory", jmp *area
	BRANCH "call-register", call *%rax
	BRANCH "call-memory", call *area
	CASE "ret-non-canonical"
	movabs $HOLE, %rax
	push %rax
	mov %rsp, %rbx
9:	ret
	FAULTS GP, 0
	sub events + EVENT_SP, %rbx
	EQUAL "rsp changed", %rbx, 0
	CASE "ret-imm-non-canonical"
	movabs $HOLE, %rax
	push %rax
	mov %rsp, %rbx
9:	ret $16
	FAULTS GP, 0
	sub events + EVENT_SP, %rbx
	EQUAL "rsp changed", %rbx, 0
	CASE "lret-non-canonical"
	push $CODE64
	movabs $HOLE, %rax
	push %rax
9:	lretq
	FAULTS GP, 0
	CASE "iret-non-canonical"
	push $DATA
	lea 8(%rsp), %rbx
	push %rbx
	push $2
	push $CODE64
	movabs $HOLE, %rax
	push %rax
9:	iretq
	FAULTS GP, 0
	CASE "iret-non-canonical-rsp"         // RSP may be anything; the next use faults
	push $DATA
	movabs $HOLE, %rax
	push %rax
	push $2
	push $CODE64
	push $1f
	iretq
1:
9:	pop %rax
	FAULTS SS, 0
	CASE "ljmp-non-canonical"
	movabs $HOLE, %rax
	mov %rax, area
	movw $CODE64, area + 8
9:	rex.w ljmp *area
	FAULTS GP, 0
	CASE "lcall-non-canonical"
9:	rex.w lcall *area
	FAULTS GP, 0

	// Execution runs over the edge: the last instruction completes, then #GP(0) with RIP beyond it.
	CASE "runs-over-the-edge"
	movabs $(LAST - 1), %rbx
	movw $0x9090, (%rbx)
	jmp *%rbx
	FAULTS GP, 0, HOLE
	CASE "instruction-across-the-edge"    // the fetch of its second byte: RIP is the instruction's
	movabs $LAST, %rbx
	movb $0xB0, (%rbx)                    // MOV AL, imm8
	jmp *%rbx
	FAULTS GP, 0, LAST
	CASE "call-at-the-edge"               // a near branch forwards over the edge
	movabs $(LAST - 1), %rbx
	movw $0x10EB, (%rbx)                  // JMP +16
	jmp *%rbx
	FAULTS GP, 0, LAST-1

	// Gates and inner stacks (§7.14.2; vol. 2A, INT n). EXT for exceptions.
	CASE "gate-offset-int-n"
	CCALL set_gate, $0x43, $CODE64, hole, $(PRESENT | TYPE_INT32)
9:	int $0x43
	FAULTS GP, 0
	CASE "gate-offset-exception"
	CCALL set_gate, $UD, $CODE64, hole, $(PRESENT | TYPE_INT32)
9:	ud2
	FAULTS GP, 1
	DEFAULT_GATE UD
	CASE "rsp0-int-n"
	GATE 0x43, CODE64, 0, PRESENT | DPL(3) | TYPE_INT32
	mov hole, %rax
	mov %rax, tss + 4
	TO_USER
9:	int $0x43
	FAULTS SS, 0
	CASE "rsp0-exception"
	GATE UD, CODE64, 0, PRESENT | TYPE_INT32
	TO_USER
9:	ud2
	FAULTS SS, 1
	DEFAULT_GATE UD
	DEFAULT_GATE 0x43
	movq $kernel_stack_top, tss + 4
	CASE "call-gate-offset"
	CCALL set_call_gate, $SCRATCH, $CODE64, hole, $(PRESENT | TYPE_CALL32)
	movw $SCRATCH, area + 4
9:	lcall *area
	FAULTS GP, 0
	CASE "user-read"
	TO_USER
	movabs $HOLE, %rbx
9:	mov (%rbx), %eax
	FAULTS GP, 0

	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	// The last page below the hole is `last_page`.
map_last_page:
	movabs $(page_pointers_2 + 7), %rax
	mov %rax, page_root + 255 * 8
	movabs $(directory_2 + 7), %rax
	mov %rax, page_pointers_2 + 511 * 8
	movabs $(table_2 + 7), %rax
	mov %rax, directory_2 + 511 * 8
	movabs $(last_page + 7), %rax
	mov %rax, table_2 + 511 * 8
	ret

	.data
	.align 8
hole:
	.quad HOLE
	.bss
	.align 4096
page_pointers_2:
	.skip 4096
directory_2:
	.skip 4096
table_2:
	.skip 4096
last_page:
	.skip 4096
area:
	.skip 4096
	.section .note.GNU-stack, "", @progbits
