// Self-modifying code: what is stored is what runs, whoever stores it and however (SDM vol. 3A §10.1.3: processors since the P6 notice
// stores to the linear addresses of code at once; through another linear address, a serialising instruction must come between).
#include "suite.h"

	.text
	.globl suite_main
suite_main:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15

	// Every way to store: `target` returns its immediate, which the code under test replaces by EBX, twice.
	.macro STORE name, store:vararg
	CASE "\name"
	movl $1, target + 1
	call target
	mov %eax, %r12d
	mov $0x11223344, %ebx
	\store
	call target
	mov %eax, %r13d
	mov $0x55667788, %ebx
	\store
	call target
	mov %eax, %r14d
	RUNS
	EQUAL "before", %r12, 1
	EQUAL "first", %r13, 0x11223344
	EQUAL "second", %r14, 0x55667788
	.endm
	// The same for stores of more than one instruction, at label \store.
	.macro STORE_CALL name, store
	STORE "\name", call \store
	.endm
	STORE "mov", mov %ebx, target + 1
	STORE "movnti", movnti %ebx, target + 1
	STORE "xchg", xchg %ebx, target + 1
	STORE_CALL "mov-immediate", store_immediates
	STORE_CALL "bytes", store_bytes
	STORE_CALL "words", store_words
	STORE_CALL "qword-across-line", store_qword
	STORE_CALL "add", store_add
	STORE_CALL "lock-add", store_lock_add
	STORE_CALL "xadd", store_xadd
	STORE_CALL "cmpxchg", store_cmpxchg
	STORE_CALL "cmpxchg8b", store_cmpxchg8b
	STORE_CALL "cmpxchg16b", store_cmpxchg16b
	STORE_CALL "not-and-neg", store_not
	STORE_CALL "bts-and-btr", store_bits
	STORE_CALL "stosb", store_stosb
	STORE_CALL "rep-stosb", store_rep_stosb
	STORE_CALL "rep-movsb", store_rep_movsb
	STORE_CALL "movsd", store_movsd
	STORE_CALL "rep-movsb-backwards", store_rep_movsb_down
	STORE_CALL "push", store_push
	STORE_CALL "pop-memory", store_pop
	STORE_CALL "call-frame", store_call_frame
	STORE_CALL "movd-mmx", store_mmx
	STORE_CALL "movss", store_movss
	STORE_CALL "movups", store_movups
	STORE_CALL "maskmovdqu", store_maskmovdqu
	STORE_CALL "fistp", store_fistp
	STORE_CALL "fstp", store_fstp
	STORE_CALL "fxsave", store_fxsave
	STORE_CALL "setcc", store_setcc
	STORE_CALL "sgdt", store_sgdt
	STORE_CALL "shld", store_shld
	GATE 0x43, CODE64, interrupt_return, PRESENT | TYPE_INT32
	STORE_CALL "interrupt-frame", store_interrupt

	// The next instruction, without a branch between.
	.irp pass, 1, 2, 3
	CASE "next-instruction-\pass"
	mov $\pass, %ebx
	mov %bl, 9f + 1
	.balign 1
9:	mov $0, %al
	RUNS
	and $0xFF, %eax
	EQUAL "al", %rax, \pass
	.endr
	CASE "loop-counts-with-its-own-code"  // each round increments the immediate of the next instruction
	movl $0, 9f + 1
	mov $1000, %ecx
	xor %ebx, %ebx
1:	incl 9f + 1
9:	mov $0, %eax
	add %rax, %rbx
	dec %ecx
	jnz 1b
	RUNS
	EQUAL "sum", %rbx, 500500
	CASE "branch-changes-its-condition"
	movb $0x74, 9f                        // JZ
	xor %ebx, %ebx
	mov $4, %ecx
1:	xor %eax, %eax                        // ZF = 1
9:	jz 2f
	inc %ebx
2:	xorb $1, 9b                           // JNZ and back
	dec %ecx
	jnz 1b
	RUNS
	EQUAL "not taken", %rbx, 2
	CASE "branch-changes-its-target"
	xor %ebx, %ebx
	movb $0, 9f + 1
	mov $3, %ecx
1:
9:	jmp 2f
2:	inc %ebx
	inc %ebx
	inc %ebx
	addb $2, 9b + 1                       // one INC EBX less
	dec %ecx
	jnz 1b
	RUNS
	EQUAL "ebx", %rbx, 3+2+1
	CASE "instruction-changes-its-length"
	movl $0x90909090, 9f
	movb $0x90, 9f + 4
	xor %eax, %eax
	call 7f
	mov %eax, %r12d
	movb $0xB8, 9f                        // MOV EAX, 90909090h
	call 7f
	mov %eax, %r13d
	movb $0x04, 9f                        // ADD AL, 90h; the NOPs behind run again
	xor %eax, %eax
	call 7f
	mov %eax, %r14d
	jmp 8f
7:
9:	.skip 5, 0x90
	ret
8:	RUNS
	EQUAL "five instructions", %r12, 0
	EQUAL "one", %r13, 0x90909090
	EQUAL "four", %r14, 0x90
	CASE "code-generator"                 // a thousand routines at one address
	xor %ebx, %ebx
	mov $1, %ecx
1:	movb $0xB8, buffer
	mov %ecx, buffer + 1
	movl $0xC3C8FF, buffer + 5            // DEC EAX, RET
	mov $buffer, %eax
	call *%rax
	add %rax, %rbx
	inc %ecx
	cmp $1000, %ecx
	jbe 1b
	RUNS
	EQUAL "sum", %rbx, 499500
	CASE "data-beside-code"               // stores to the same page that miss the code
	movl $0, beside
	mov $2000, %ecx
	xor %ebx, %ebx
1:	incl beside
	call beside_code
	add %rax, %rbx
	dec %ecx
	jnz 1b
	RUNS
	mov beside, %eax
	EQUAL "counter", %rax, 2000
	EQUAL "sum", %rbx, 14000

	// Instructions across a page boundary: the second page changes.
	CASE "second-page-of-an-instruction"
	movb $0xB8, boundary - 2
	movl $0x01010101, boundary - 1
	movb $0xC3, boundary + 3
	mov $boundary - 2, %ebp
	call *%rbp
	mov %eax, %r12d
	movb $0x22, boundary
	call *%rbp
	mov %eax, %r13d
	movb $0x33, boundary - 1
	call *%rbp
	mov %eax, %r14d
	RUNS
	EQUAL "first", %r12, 0x01010101
	EQUAL "second page", %r13, 0x01012201
	EQUAL "first page", %r14, 0x01012233

	// Other linear addresses of the same memory, and other memory at the same address.
	call map_alias
	CASE "alias"
	movl $1, target + 1
	call target
	mov %eax, %r12d
	movl $0x77, target + 1 + 0x40000000
	xor %eax, %eax
	cpuid                                 // serialises
	call target
	RUNS
	EQUAL "before", %r12, 1
	EQUAL "after", %rax, 0x77
	CASE "code-runs-at-alias"
	movl $2, target + 1
	mov $target + 0x40000000, %ebp
	call *%rbp
	mov %eax, %r12d
	movl $3, target + 1
	xor %eax, %eax
	cpuid
	call *%rbp
	RUNS
	EQUAL "before", %r12, 2
	EQUAL "after", %rax, 3
	CASE "remapped"
	movl $0, page_a + 2
	movl $0xAAB8, page_a
	movb $0xC3, page_a + 5
	movl $0, page_b + 2
	movl $0xBBB8, page_b
	movb $0xC3, page_b + 5
	mov $0x80000000, %ebp
	movq $(page_a + 7), alias_table
	invlpg (%rbp)
	call *%rbp
	mov %eax, %r12d
	movq $(page_b + 7), alias_table
	invlpg (%rbp)
	call *%rbp
	mov %eax, %r13d
	movq $(page_a + 7), alias_table
	invlpg (%rbp)
	call *%rbp
	RUNS
	EQUAL "a", %r12, 0xAA
	EQUAL "b", %r13, 0xBB
	EQUAL "a again", %rax, 0xAA
	CASE "remapped-then-written"
	movb $0xCC, page_b + 1
	movq $(page_b + 7), alias_table
	mov $0x80000000, %ebp
	invlpg (%rbp)
	call *%rbp
	mov %eax, %r12d
	movb $0xDD, 1(%rbp)
	call *%rbp
	RUNS
	EQUAL "before", %r12, 0xCC
	EQUAL "after", %rax, 0xDD
	CASE "read-only-then-writable"        // a store that faults changes nothing
	LOAD_CR0_BITS CR0_WP
	movq $(page_a + 5), alias_table
	mov $0x80000000, %ebp
	invlpg (%rbp)
9:	movb $0xEE, 1(%rbp)
	FAULTS PF, 3
	CLEAR_CR0_BITS CR0_WP
	call *%rbp
	EQUAL "still", %rax, 0xAA

	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	// Stores of EBX to target + 1, which holds 32 bits.
store_immediates:
	cmp $0x11223344, %ebx
	jne 1f
	movl $0x11223344, target + 1
	ret
1:	movl $0x55667788, target + 1
	ret
store_bytes:
	mov %bl, target + 1
	mov %bh, target + 2
	bswap %ebx
	mov %bh, target + 3
	mov %bl, target + 4
	ret
store_words:
	mov %bx, target + 1
	shr $16, %ebx
	mov %bx, target + 3
	ret
store_qword:
	mov target - 3, %rax
	shl $32, %rbx
	mov %eax, %eax
	or %rbx, %rax
	mov %rax, target - 3
	ret
store_add:
	sub target + 1, %ebx
	add %ebx, target + 1
	ret
store_lock_add:
	sub target + 1, %ebx
	lock add %ebx, target + 1
	ret
store_xadd:
	sub target + 1, %ebx
	lock xadd %ebx, target + 1
	ret
store_cmpxchg:
	mov target + 1, %eax
	lock cmpxchg %ebx, target + 1
	ret
store_cmpxchg8b:
	mov target + 1, %eax
	mov target + 5, %edx
	mov %edx, %ecx
	lock cmpxchg8b target + 1
	ret
store_cmpxchg16b:
	mov target, %rax
	mov target + 8, %rdx
	mov %rdx, %rcx
	mov %rax, %rsi
	movabs $0xFFFFFF00000000FF, %rdi
	and %rdi, %rsi
	shl $8, %rbx
	or %rsi, %rbx
	lock cmpxchg16b target
	ret
store_not:
	not %ebx
	mov %ebx, scratch
	mov scratch, %eax
	mov %eax, target + 1
	notl target + 1
	ret
store_bits:
	movl $-1, target + 1
	xor %ecx, %ecx
1:	bt %ecx, %ebx
	jc 2f
	btr %ecx, target + 1
2:	lock bts %ecx, scratch
	inc %ecx
	cmp $32, %ecx
	jb 1b
	ret
store_stosb:
	mov $target + 1, %edi
	mov $4, %ecx
1:	mov %bl, %al
	stosb
	shr $8, %ebx
	loop 1b
	ret
store_rep_stosb:
	mov $target + 1, %edi
	mov $4, %ecx
	xor %eax, %eax
	rep stosb
	mov %ebx, target + 1
	ret
store_rep_movsb:
	mov %ebx, scratch
	mov $scratch, %esi
	mov $target + 1, %edi
	mov $4, %ecx
	rep movsb
	ret
store_movsd:
	mov %ebx, scratch
	mov $scratch, %esi
	mov $target + 1, %edi
	movsl
	ret
store_rep_movsb_down:
	mov %ebx, scratch
	mov $scratch + 3, %esi
	mov $target + 4, %edi
	mov $4, %ecx
	std
	rep movsb
	cld
	ret
store_push:
	mov %rsp, %rcx
	mov target + 5, %eax
	shl $32, %rax
	or %rbx, %rax
	mov $target + 9, %esp
	push %rax
	mov %rcx, %rsp
	ret
store_pop:
	push target + 1
	mov %ebx, (%rsp)
	pop target + 1
	ret
store_call_frame:                             // a return address is stored over the code, then the value
	mov %rsp, %rcx
	mov $target + 9, %esp
	push target + 1
	call 1f
1:	mov %rcx, %rsp
	movl $0xB8909090, target - 3
	mov %ebx, target + 1
	ret
store_mmx:
	movd %ebx, %mm0
	movd %mm0, target + 1
	emms
	ret
store_movss:
	movd %ebx, %xmm0
	movss %xmm0, target + 1
	ret
store_movups:
	movups target, %xmm0
	movups %xmm0, scratch
	mov %ebx, scratch + 1
	movups scratch, %xmm0
	movups %xmm0, target
	ret
store_maskmovdqu:
	movd %ebx, %xmm0
	pcmpeqd %xmm1, %xmm1
	psrldq $12, %xmm1
	mov $target + 1, %edi
	maskmovdqu %xmm1, %xmm0
	ret
store_fistp:
	mov %ebx, scratch
	fildl scratch
	fistpl target + 1
	ret
store_fstp:                                   // EBX is a number in both cases
	mov %ebx, scratch
	flds scratch
	fstps target + 1
	ret
store_fxsave:                                 // the code lies where MXCSR_MASK and ST0 go; then it is written anew
	movups target - 16, %xmm2
	movups target, %xmm3
	fxsave target - 16
	movups %xmm2, target - 16
	movups %xmm3, target
	mov %ebx, target + 1
	ret
store_setcc:
	mov %ebx, target + 1
	test %eax, %eax
	stc
	setc target + 1
	mov %bl, target + 1
	ret
store_sgdt:
	movups target, %xmm3
	sgdt target + 1
	movups %xmm3, target
	mov %ebx, target + 1
	ret
store_shld:
	mov %ebx, %eax
	movl $0, target + 1
	shll $0, target + 1
	shld $31, %eax, target + 1
	shll $1, target + 1
	and $1, %ebx
	or %ebx, target + 1
	ret
store_interrupt:                              // the frame of an interrupt, then the code anew
	mov %rsp, %rcx
	movups target - 48, %xmm0
	movups target - 32, %xmm1
	movups target - 16, %xmm2
	movups target, %xmm3
	mov $target + 16, %esp
	int $0x43
	movups %xmm0, target - 48
	movups %xmm1, target - 32
	movups %xmm2, target - 16
	movups %xmm3, target
	mov %ebx, target + 1
	mov %rcx, %rsp
	ret
interrupt_return:
	iretq

map_alias:
	movq $0x87, alias_directory           // 40000000h: the low 2 MiB again
	movq $(alias_directory + 7), page_pointers + 8
	movq $(remapped_directory + 7), page_pointers + 16
	movq $(alias_table + 7), remapped_directory
	mov %cr3, %rax
	mov %rax, %cr3
	ret

	.balign 4096
	.skip 64, 0x90
	.balign 16
target:
	mov $1, %eax
	ret
	.skip 64, 0x90
	.balign 4096
beside:
	.long 0
	.long 7
	.skip 56
beside_code:
	mov beside + 4, %eax
	ret
	.balign 4096
buffer:
	.skip 4096 + 4096
	.balign 4096
boundary:
	.skip 4096

	.bss
	.align 4096
alias_directory:
	.skip 4096
remapped_directory:
	.skip 4096
alias_table:
	.skip 4096
page_a:
	.skip 4096
page_b:
	.skip 4096
	.align 64
scratch:
	.skip 64
	.section .note.GNU-stack, "", @progbits
