// Segmentation in IA-32e mode: no limits and fewer types in 64-bit mode, all of them in compatibility mode (SDM vol. 3A §3.2.4,
// §3.4.4, §6.3.1, vol. 2).
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

	// 64-bit mode ignores limits, types and null selectors of DS and ES, and the bases of all but FS and GS.
	CASE "null-ds"
	xor %eax, %eax
	mov %eax, %ds
	mov area, %eax
	incl area
	RUNS
	mov $DATA, %eax
	mov %eax, %ds
	CASE "limit-ignored"
	SEGMENT SCRATCH, 0x1000, 0, PRESENT | DATA_RO
	mov $SCRATCH, %eax
	mov %eax, %es
	mov %eax, %gs
	movq $0, area
	movl $1, %es:area
	mov $area - 0x1000, %ebx
	movl $0x1234, %gs:(%rbx)
	RUNS
	EQUAL "gs base", area, 0x1234
	CASE "code-override-writes"
	movq $0, area
	movl $0x99, %cs:area
	RUNS
	EQUAL "area", area, 0x99
	CASE "null-gs-base-zero"              // §3.4.4: a null selector loaded into FS or GS clears the base (Intel)
	SEGMENT SCRATCH, 0x1000, 0xFFFFF, PRESENT | DATA_RW
	mov $SCRATCH, %eax
	mov %eax, %gs
	xor %eax, %eax
	mov %eax, %gs
	mov $0xC0000101, %ecx
	rdmsr
	RUNS
	EQUAL "base", %rax, 0
	CASE "fs-base-64-bit"
	movq $0, area
	WRITE_MSR 0xC0000100, 0x1000, 0
	mov $area - 0x1000, %ebx
	movl $0x4321, %fs:(%rbx)
	mov $DATA, %eax
	mov %eax, %fs
	RUNS
	EQUAL "area", area, 0x4321
	CASE "gp-fs-base-non-canonical"
	mov $0xC0000100, %ecx
	xor %eax, %eax
	mov $0x10000000, %edx
9:	wrmsr
	FAULTS GP, 0
	CASE "swapgs"
	WRITE_MSR 0xC0000101, 0x1111, 0
	WRITE_MSR 0xC0000102, 0x2222, 0
	swapgs
	mov $0xC0000101, %ecx
	rdmsr
	mov %eax, %ebx
	mov $0xC0000102, %ecx
	rdmsr
	RUNS
	EQUAL "gs base", %rbx, 0x2222
	EQUAL "kernel gs base", %rax, 0x1111
	USER_FAULT "swapgs-user", GP, 0, swapgs
	CASE "ud-swapgs-compatibility"
	TO_COMPATIBILITY
9:	.byte 0x0F, 0x01, 0xF8
	.code64
	FAULTS UD
	WRITE_MSR 0xC0000101, 0, 0

	// FSGSBASE (vol. 2A, RDFSBASE).
	CASE "ud-rdfsbase-without-cr4"
	CLEAR_CR4_BITS CR4_FSGSBASE
9:	rdfsbase %rax
	FAULTS UD
	LOAD_CR4_BITS CR4_FSGSBASE
	CASE "wrgsbase"
	movabs $0xFFFF800012345678, %rbx
	wrgsbase %rbx
	rdgsbase %rcx
	xor %eax, %eax
	wrgsbase %rax
	RUNS
	EQUAL "base", %rcx, 0xFFFF800012345678
	CASE "wrfsbase-32-bit-zero-extends"
	mov $-1, %rbx
	wrfsbase %ebx
	rdfsbase %rcx
	xor %eax, %eax
	wrfsbase %rax
	RUNS
	EQUAL "base", %rcx, 0xFFFFFFFF
	CASE "gp-wrfsbase-non-canonical"
	movabs $0x1000000000000000, %rbx
9:	wrfsbase %rbx
	FAULTS GP, 0
	CASE "ud-rdfsbase-compatibility"
	TO_COMPATIBILITY
9:	.byte 0xF3, 0x0F, 0xAE, 0xC0
	.code64
	FAULTS UD
	CASE "user-wrfsbase"
	TO_USER
	mov $0x1000, %eax
	wrfsbase %rax
	rdfsbase %rbx
	TO_KERNEL
	RUNS
	EQUAL "base", %rbx, 0x1000
	CLEAR_CR4_BITS CR4_FSGSBASE

	// SS: null is good in 64-bit mode below CPL 3 if the RPL is the CPL (vol. 2B, MOV).
	CASE "null-ss"
	xor %eax, %eax
	mov %eax, %ss
	push %rax
	pop %rax
	RUNS
	CASE "null-ss-rpl-3"
	mov $3, %eax
9:	mov %eax, %ss
	FAULTS GP, 0
	CASE "null-ss-user"
	TO_USER
	mov $3, %eax
9:	mov %eax, %ss
	FAULTS GP, 0
	CASE "null-ss-compatibility"
	TO_COMPATIBILITY
	xor %eax, %eax
9:	mov %eax, %ss
	.code64
	FAULTS GP, 0
	CASE "ss-read-only"
	SEGMENT SCRATCH, 0, 0xFFFFF, PRESENT | DATA_RO | BIG
	mov $SCRATCH, %eax
9:	mov %eax, %ss
	FAULTS GP, SCRATCH
	mov $DATA, %eax
	mov %eax, %ss

	// Limits and types in compatibility mode.
	SEGMENT SCRATCH, area, 0x7F, PRESENT | DATA_RW | BIG
	CASE "compatibility-limit-inside"
	TO_COMPATIBILITY
	mov $SCRATCH, %eax
	mov %eax, %es
	incl %es:0x7C
	TO_LONG
	RUNS
	CASE "compatibility-limit-beyond"
	TO_COMPATIBILITY
	mov $SCRATCH, %eax
	mov %eax, %es
9:	incl %es:0x7D
	.code64
	FAULTS GP, 0
	CASE "compatibility-null-es"
	TO_COMPATIBILITY
	xor %eax, %eax
	mov %eax, %es
9:	incl %es:area
	.code64
	FAULTS GP, 0
	CASE "compatibility-write-code"
	TO_COMPATIBILITY
9:	incl %cs:area
	.code64
	FAULTS GP, 0
	CASE "compatibility-limit-of-64-bit-load"     // a segment loaded in 64-bit mode has its limit in compatibility mode
	mov $SCRATCH, %eax
	mov %eax, %es
	TO_COMPATIBILITY
9:	incl %es:0x80
	.code64
	FAULTS GP, 0
	CASE "compatibility-null-of-64-bit-load"
	xor %eax, %eax
	mov %eax, %es
	TO_COMPATIBILITY
9:	incl %es:area
	.code64
	FAULTS GP, 0
	CASE "compatibility-code-limit"
	SEGMENT SCRATCH+8, 0, 0xFF, PRESENT | CODE_RX | BIG
	push $SCRATCH+8
	push $1f
9:	lretq
1:	nop
	FAULTS GP, 0
	CASE "compatibility-16-bit-code"
	SEGMENT SCRATCH+8, 0, 0xFFFF, PRESENT | CODE_RX
	.pushsection .low, "awx"
	.code16
8:	mov $0x1234, %ax
	ljmpl $CODE64, $7f
	.popsection
	.code64
	mov $-1, %rax
	push $SCRATCH+8
	push $8b
	lretq
7:	RUNS
	mov %eax, %eax
	EQUAL "eax", %rax, 0xFFFF1234
	CASE "compatibility-expand-down"
	SEGMENT SCRATCH+16, 0, 0xFFF, PRESENT | DATA_DOWN | BIG
	TO_COMPATIBILITY
	mov $SCRATCH+16, %eax
	mov %eax, %es
	testb $0, %es:0x1000
9:	testb $0, %es:0xFFF
	.code64
	FAULTS GP, 0
	CASE "compatibility-stack"
	SEGMENT SCRATCH+24, area, 0xFF, PRESENT | DPL(3) | DATA_RW | BIG
	TO_USER32
	mov $SCRATCH+24+3, %eax
	mov %eax, %ss
	mov $2, %esp
9:	push %eax
	.code64
	FAULTS SS, 0

	// LAR and LSL in IA-32e mode: types 2, 9, 11 and 12, and LSL without gates (vol. 2A).
	.set lar_types, 0x1A04
	.set lsl_types, 0x0A04
	.irp type, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	CASE "lar-system-\type"
	SEGMENT SCRATCH+8, 0, 0, 0
	SEGMENT SCRATCH, 0x123000, 0xABCDE, PRESENT|\type|GRANULAR
	mov $0x5555, %ebx
	mov $SCRATCH, %eax
	lar %eax, %ebx
	setz %cl
	RUNS
	and $0xFF, %ecx
	EQUAL "zf", %rcx, ((lar_types>>\type)&1)
	CASE "lsl-system-\type"
	mov $SCRATCH, %eax
	lsl %eax, %ebx
	setz %cl
	RUNS
	and $0xFF, %ecx
	EQUAL "zf", %rcx, ((lsl_types>>\type)&1)
	.endr
	CASE "lsl-zero-extends"
	SEGMENT SCRATCH, 0, 0xFFFFF, PRESENT | DATA_RW | GRANULAR
	mov $-1, %rbx
	mov $SCRATCH, %eax
	lsl %rax, %rbx
	RUNS
	EQUAL "rbx", %rbx, 0xFFFFFFFF
	CASE "str-64"
	mov $-1, %rbx
	str %rbx
	RUNS
	EQUAL "rbx", %rbx, TSS
	CASE "sgdt-ten-bytes"
	movq $-1, area
	movq $-1, area + 8
	sgdt area
	RUNS
	movzwl area, %eax
	EQUAL "limit", %rax, 0x3FF
	EQUAL "base", area+2, gdt
	FAULT "gp-lgdt-non-canonical", GP, 0, lgdt bad_pointer
	CASE "umip-user"
	LOAD_CR4_BITS CR4_UMIP
	TO_USER
9:	sgdt area
	FAULTS GP, 0
	USER_FAULT "umip-sidt", GP, 0, sidt area
	USER_FAULT "umip-sldt", GP, 0, sldt %ax
	USER_FAULT "umip-str", GP, 0, str %ax
	USER_FAULT "umip-smsw", GP, 0, smsw %ax
	CASE "umip-kernel"
	sgdt area
	sldt %ax
	smsw %ax
	RUNS
	CLEAR_CR4_BITS CR4_UMIP
	CASE "user-sgdt-without-umip"
	TO_USER
	sgdt area
	sldt %ax
	str %ax
	smsw %ax
	TO_KERNEL
	RUNS

	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	.data
	.align 8
bad_pointer:
	.word 0x3FF
	.quad 0x1000000000000000
	.bss
	.align 64
area:
	.skip 4096
	.section .note.GNU-stack, "", @progbits
