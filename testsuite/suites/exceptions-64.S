// Exceptions and error codes in IA-32e mode (SDM vol. 3A chapter 7, §7.14 in particular).
#include "suite.h"

	.macro FAR_RET
	lretq
	.endm
	.macro IRET_
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
#include "exceptions-common.inc"
#include "exceptions-transfers.inc"

	// Instructions that 64-bit mode has not (SDM vol. 2: "Invalid in 64-bit mode").
	FAULT "ud-push-es", UD, NO_ERROR, .byte 0x06
	FAULT "ud-pop-es", UD, NO_ERROR, .byte 0x07
	FAULT "ud-push-cs", UD, NO_ERROR, .byte 0x0E
	FAULT "ud-push-ss", UD, NO_ERROR, .byte 0x16
	FAULT "ud-pop-ss", UD, NO_ERROR, .byte 0x17
	FAULT "ud-push-ds", UD, NO_ERROR, .byte 0x1E
	FAULT "ud-pop-ds", UD, NO_ERROR, .byte 0x1F
	FAULT "ud-daa", UD, NO_ERROR, .byte 0x27
	FAULT "ud-das", UD, NO_ERROR, .byte 0x2F
	FAULT "ud-aaa", UD, NO_ERROR, .byte 0x37
	FAULT "ud-aas", UD, NO_ERROR, .byte 0x3F
	FAULT "ud-pusha", UD, NO_ERROR, .byte 0x60
	FAULT "ud-popa", UD, NO_ERROR, .byte 0x61
	FAULT "ud-group-1-82", UD, NO_ERROR, .byte 0x82, 0xC0, 0
	FAULT "ud-call-far-9a", UD, NO_ERROR, .byte 0x9A, 0, 0, 0, 0, 0, 0
	FAULT "ud-aam", UD, NO_ERROR, .byte 0xD4, 10
	FAULT "ud-aad", UD, NO_ERROR, .byte 0xD5, 10
	FAULT "ud-salc", UD, NO_ERROR, .byte 0xD6
	FAULT "ud-jmp-far-ea", UD, NO_ERROR, .byte 0xEA, 0, 0, 0, 0, 0, 0
	FAULT "ud-into", UD, NO_ERROR, .byte 0xCE

	// The frame in 64-bit mode: SS:RSP always, the stack aligned to 16 bytes (§7.14.2).
	.macro FRAME_SHIFT name, shift
	CASE "\name"
	GATE 0x43, CODE64, 8f, PRESENT | TYPE_INT32
	jmp 1f
8:	mov %rsp, %rbx
	mov case_sp, %rsp
	jmp 2f
1:	sub $(64 + \shift), %rsp
	and $-16, %rsp
	sub $\shift, %rsp
	mov %rsp, %rdx
	int $0x43
9:	nop
2:	RUNS
	lea -40(%rdx), %rcx
	and $-16, %rdx
	sub $40, %rdx
	sub %rbx, %rdx
	EQUAL "stack", %rdx, 0
	.endm
	FRAME_SHIFT "frame-aligned-0", 0
	FRAME_SHIFT "frame-aligned-1", 1
	FRAME_SHIFT "frame-aligned-8", 8
	FRAME_SHIFT "frame-aligned-15", 15
	CASE "frame-holds-ss-rsp"
	mov %rsp, %rdx
	int $0x45
9:	nop
	FAULTS 0x45
	EVENT "ss", 0, EVENT_SS, DATA
	sub events + EVENT_SP, %rdx
	EQUAL "rsp", %rdx, 0
	CASE "error-code-below-aligned-frame"
	GATE GP, CODE64, 8f, PRESENT | TYPE_INT32
	jmp 1f
8:	mov %rsp, %rbx
	mov (%rsp), %rcx
	mov case_sp, %rsp
	jmp 2f
1:	mov %rsp, %rdx
	and $-16, %rdx
	mov $0xFF8, %eax
	mov %eax, %es
2:	RUNS
	EQUAL "error", %rcx, 0xFF8
	sub %rbx, %rdx
	EQUAL "size", %rdx, 48
	DEFAULT_GATE GP

	// Gates of IA-32e mode lead to 64-bit code only, task and 16-bit gates do not exist (§7.14.1).
	CASE "gate-to-32-bit-code"
	GATE 0x43, CODE32, 0, PRESENT | TYPE_INT32
9:	int $0x43
	FAULTS GP, CODE32
	CASE "gate-to-l-and-d"
	SEGMENT SCRATCH, 0, 0xFFFFF, PRESENT | CODE_RX | GRANULAR | LONG | BIG
	GATE 0x43, SCRATCH, 0, PRESENT | TYPE_INT32
9:	int $0x43
	FAULTS GP, SCRATCH
	CASE "gate-task"
	GATE 0x43, TSS, 0, PRESENT | TYPE_TASK
9:	int $0x43
	FAULTS GP, IDT_ERROR(0x43)
	CASE "gate-interrupt-16"
	GATE 0x43, CODE64, 0, PRESENT | TYPE_INT16
9:	int $0x43
	FAULTS GP, IDT_ERROR(0x43)
	CASE "idt-limit-in-the-middle"        // 16 bytes an entry
	lidt middle_idt
9:	int $0x21
	FAULTS GP, IDT_ERROR(0x21)
	lidt idt_pointer

	// Interrupt stack table (§7.14.5).
	CASE "ist-2"
	movq $ist_top, tss + 44
	GATE 0x43, CODE64, 8f, PRESENT | TYPE_INT32 | 0x200
	jmp 1f
8:	mov %rsp, %rbx
	mov case_sp, %rsp
	jmp 2f
1:	int $0x43
2:	RUNS
	EQUAL "stack", %rbx, ist_top-40
	CASE "ist-7-aligned-down"
	movq $(ist_top - 5), tss + 84
	GATE 0x43, CODE64, 8f, PRESENT | TYPE_INT32 | 0x700
	jmp 1f
8:	mov %rsp, %rbx
	mov case_sp, %rsp
	jmp 2f
1:	int $0x43
2:	RUNS
	EQUAL "stack", %rbx, ist_top-16-40
	CASE "ist-non-canonical"              // vol. 2A, INT n: #SS(0) for a software interrupt
	movabs $0x800000000000, %rax
	mov %rax, tss + 84
9:	int $0x43
	FAULTS SS, 0
	CASE "ist-non-canonical-exception-is-df"
	GATE GP, CODE64, 0, PRESENT | TYPE_INT32 | 0x700
	mov $0xFF8, %eax
	mov %eax, %es
	FAULTS DF, 0, ANYWHERE
	DEFAULT_GATE GP
	CASE "ist-beyond-tss-limit"           // #TS with the selector of TR
	SEGMENT SCRATCH, 0, 0, 0
	mov gdt + TSS, %rax
	mov %rax, gdt + SCRATCH
	mov gdt + TSS + 8, %rax
	mov %rax, gdt + SCRATCH + 8
	movw $0x52, gdt + SCRATCH             // IST7 is at 54h
	movb $0x89, gdt + SCRATCH + 5
	mov $SCRATCH, %eax
	ltr %ax
9:	int $0x43
	FAULTS TS, SCRATCH
	RESTORE_TASK
	DEFAULT_GATE 0x43

	// A change of privilege: RSP0, SS null with the new RPL (§7.14.3, §7.14.4).
	CASE "inward-ss-null"
	GATE 0x43, CODE64, 8f, PRESENT | DPL(3) | TYPE_INT32
	jmp 1f
8:	mov %rsp, %rbx
	mov %ss, %ecx
	mov 24(%rsp), %rdx
	mov 32(%rsp), %rsi
	TO_KERNEL
	jmp 2f
1:	TO_USER
	int $0x43
2:	RUNS
	EQUAL "stack", %rbx, kernel_stack_top-40
	EQUAL "ss", %rcx, 0
	EQUAL "rsp", %rdx, user_stack_top
	EQUAL "old ss", %rsi, USER_DATA
	CASE "iretq-to-ring-0-null-ss"        // vol. 2A, IRET: a null SS is fine in 64-bit mode below CPL 3
	push $0
	lea 8(%rsp), %rax
	push %rax
	push $2
	push $CODE64
	push $1f
	iretq
1:	mov %ss, %eax
	RUNS
	EQUAL "ss", %rax, 0
	mov $DATA, %ecx
	mov %ecx, %ss
	CASE "iretq-to-ring-3-null-ss"
	push $0
	push $user_stack_top
	push $2
	push $USER_CODE64
	push $1f
9:	iretq
1:	nop
	FAULTS GP, 0
	CASE "iretq-to-compatibility-null-ss"
	push $0
	push $user_stack_top
	push $2
	push $CODE32
	push $1f
9:	iretq
1:	nop
	FAULTS GP, 0
	CASE "iretq-nt"                       // vol. 2A, IRET: #GP(0) if NT = 1 in IA-32e mode
	push $(2 | FLAG_NT)
	popf
9:	iretq
	FAULTS GP, 0
	CASE "iretq-with-vm"                  // VM is ignored in IA-32e mode
	push $DATA
	lea 8(%rsp), %rax
	push %rax
	push $(2 | FLAG_VM)
	push $CODE64
	push $1f
	iretq
1:	pushf
	pop %rax
	RUNS
	EQUAL "flags", %rax, 2
	CASE "lret-to-32-bit-and-back"
	TO_COMPATIBILITY
	mov $0xFFFFFFFF, %eax
	inc %eax
	TO_LONG
	RUNS
	EQUAL "rax", %rax, 0
	CASE "jmp-to-l-and-d"
	SEGMENT SCRATCH, 0, 0xFFFFF, PRESENT | CODE_RX | GRANULAR | LONG | BIG
	movl $1f, area
	movw $SCRATCH, area + 4
9:	ljmp *area
1:	nop
	FAULTS GP, SCRATCH

	// System descriptors of 16 bytes (vol. 2A, LTR, LLDT).
	CASE "ltr-busy"
	mov $TSS, %eax
9:	ltr %ax
	FAULTS GP, TSS
	CASE "ltr-null"
	xor %eax, %eax
9:	ltr %ax
	FAULTS GP, 0
	RESTORE_TASK
	CASE "ltr-upper-type-not-zero"
	SEGMENT SCRATCH, 0, 0x67, PRESENT | TYPE_TSS32
	movl $0, gdt + SCRATCH + 8
	movl $0x100, gdt + SCRATCH + 12
	mov $SCRATCH, %eax
9:	ltr %ax
	FAULTS GP, SCRATCH
	CASE "ltr-not-present"
	movl $0, gdt + SCRATCH + 12
	SEGMENT SCRATCH, 0, 0x67, TYPE_TSS32
	mov $SCRATCH, %eax
9:	ltr %ax
	FAULTS NP, SCRATCH
	CASE "ltr-across-gdt-limit"
	mov $0x3F8, %eax
	SEGMENT 0x3F8, 0, 0x67, PRESENT | TYPE_TSS32
9:	ltr %ax
	FAULTS GP, 0x3F8
	RESTORE_TASK
	CASE "lldt-not-present"
	SEGMENT SCRATCH, 0, 0xFF, TYPE_LDT
	mov $SCRATCH, %eax
9:	lldt %ax
	FAULTS NP, SCRATCH
	CASE "lldt-not-an-ldt"
	mov $DATA, %eax
9:	lldt %ax
	FAULTS GP, DATA
	CASE "lldt-null-and-use"
	xor %eax, %eax
	lldt %ax
	mov $0xC, %eax
9:	mov %eax, %es
	FAULTS GP, 0xC

	// Call gates have 16 bytes and lead to 64-bit code (vol. 2A, CALL).
	.macro CALL_GATE name, attributes, target, vector, error
	CASE "\name"
	CCALL set_call_gate, $SCRATCH, "$\target", $1f, "$(\attributes)"
	movw $SCRATCH, area + 4
9:	lcall *area
1:	nop
	FAULTS \vector, \error
	.endm
	CALL_GATE "call-gate-not-present", TYPE_CALL32, CODE64, NP, SCRATCH
	CALL_GATE "call-gate-null", PRESENT|TYPE_CALL32, 0, GP, 0
	CALL_GATE "call-gate-to-32-bit-code", PRESENT|TYPE_CALL32, CODE32, GP, CODE32
	CALL_GATE "call-gate-16", PRESENT|TYPE_CALL16, CODE64, GP, SCRATCH
	CALL_GATE "call-gate-to-data", PRESENT|TYPE_CALL32, DATA, GP, DATA
	CASE "call-gate-upper-type"
	CCALL set_call_gate, $SCRATCH, $CODE64, $1f, $(PRESENT|TYPE_CALL32)
	movl $0x500, gdt + SCRATCH + 12
9:	lcall *area
1:	nop
	FAULTS GP, SCRATCH
	CASE "call-gate-same-privilege"       // RIP and CS are eight bytes each
	CCALL set_call_gate, $SCRATCH, $CODE64, $1f, $(PRESENT|TYPE_CALL32)
	mov %rsp, %rdx
	lcall *area
9:	nop
1:	pop %rax
	pop %rcx
	sub %rsp, %rdx
	RUNS
	EQUAL "rip", %rax, 9b
	EQUAL "cs", %rcx, CODE64
	EQUAL "rsp", %rdx, 0
	CASE "call-gate-from-user"
	CCALL set_call_gate, $SCRATCH, $CODE64, $1f, $(PRESENT|DPL(3)|TYPE_CALL32)
	TO_USER
	lcall *area
9:	nop
1:	mov %ss, %ebx
	mov %rsp, %rbp
	pop %rax
	pop %rcx
	pop %rdx
	pop %rsi
	TO_KERNEL
	RUNS
	EQUAL "new rsp", %rbp, kernel_stack_top-32
	EQUAL "new ss", %rbx, 0
	EQUAL "rip", %rax, 9b
	EQUAL "cs", %rcx, USER_CODE64
	EQUAL "rsp", %rdx, user_stack_top
	EQUAL "ss", %rsi, USER_DATA
	CASE "call-gate-dpl-0-from-user"
	CCALL set_call_gate, $SCRATCH, $CODE64, $1f, $(PRESENT|TYPE_CALL32)
	TO_USER
9:	lcall *area
1:	nop
	FAULTS GP, SCRATCH

	// Faults in compatibility mode come through the 64-bit gates.
	CASE "compatibility-ud"
	TO_COMPATIBILITY
9:	ud2
	.code64
	FAULTS UD
	EVENT "cs", 0, EVENT_CS, CODE32
	CASE "compatibility-user-gp"
	TO_USER32
9:	hlt
	.code64
	FAULTS GP, 0
	EVENT "cs", 0, EVENT_CS, USER_CODE32
	CASE "compatibility-into"
	TO_COMPATIBILITY
	mov $0x7FFFFFFF, %eax
	add $1, %eax
	into
9:	nop
	.code64
	FAULTS OF
	CASE "compatibility-bound"
	TO_COMPATIBILITY
	movl $10, area
	movl $20, area + 4
	mov $9, %eax
9:	bound %eax, area
	.code64
	FAULTS BR
	CASE "compatibility-jmp-task-segment" // no task switching in IA-32e mode: #GP with the selector
	TO_COMPATIBILITY
9:	ljmp $TSS, $0
	.code64
	FAULTS GP, TSS

	// Page faults and double faults: the page at 1 GiB is not mapped.
	CASE "pf-read"
9:	mov 0x40000000, %eax
	FAULTS PF, 0
	EVENT "cr2", 0, EVENT_CR2, 0x40000000
	CASE "pf-write"
9:	mov %eax, 0x40000004
	FAULTS PF, 2
	EVENT "cr2", 0, EVENT_CR2, 0x40000004
	CASE "pf-user-write"
	TO_USER
9:	mov %eax, 0x40000008
	FAULTS PF, 6
	CASE "pf-stack-push"
	mov $0x40001000, %eax
	mov %rax, %rsp
9:	push %rax
	FAULTS PF, 2
	EVENT "cr2", 0, EVENT_CR2, 0x40000FF8
	CASE "pf-push-keeps-rsp"
	mov $0x40001000, %eax
	mov %rax, %rsp
9:	push %rax
	FAULTS PF, 2
	EVENT "rsp", 0, EVENT_SP, 0x40001000
	CASE "pf-pop-memory"                  // the read of the stack comes first
	mov $0x40001000, %eax
	mov %rax, %rsp
9:	popq 0x40002000
	FAULTS PF, 0
	EVENT "cr2", 0, EVENT_CR2, 0x40001000
	CASE "pf-across-pages"
9:	mov 0x3FFFFFFE, %eax
	FAULTS PF, 0
	EVENT "cr2", 0, EVENT_CR2, 0x40000000
	CASE "pf-fetch"
	mov $0x40000000, %eax
	jmp *%rax
	FAULTS PF, 0, 0x40000000
	CASE "pf-rep-movs-part"               // vol. 3A §7.5: the iterations before the fault are done
	mov $0x3FFFFFFC, %edi
	mov $area, %esi
	mov $3, %ecx
9:	rep movsl
	FAULTS PF, 2
	EQUAL "rcx", %rcx, 2
	EQUAL "rdi", %rdi, 0x40000000
	EQUAL "rsi", %rsi, area+4
	movq $ist_top, tss + 84

#include "exceptions-last.inc"
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
	.skip 4096
ist_top:
	.data
null:
	.long 0
short_idt:
	.word 0x21 * 16 + 14
	.quad idt
middle_idt:
	.word 0x21 * 16 + 8
	.quad idt
	.section .note.GNU-stack, "", @progbits
