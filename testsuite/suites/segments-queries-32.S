// Instructions that ask about descriptors, the LDT and the task register (SDM vol. 2A, vol. 2B, vol. 3A §3.5, §6.10).
#include "suite.h"

	.text
	.globl suite_main
suite_main:
	pusha

	// LAR, LSL, VERR, VERW (vol. 2A, 2B), ARPL. Types that LAR and LSL accept among system descriptors: tables there.
	.set lar_types, 0x1A3E
	.set lsl_types, 0x0A0E
	.irp type, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	CASE "lar-system-\type"
	SEGMENT SCRATCH, 0x123000, 0xABCDE, PRESENT|\type|GRANULAR
	mov $0x5555, %ebx
	mov $SCRATCH, %eax
	lar %eax, %ebx
	setz %cl
	RUNS
	and $0xFF, %ecx
	EQUAL "zf", %ecx, ((lar_types>>\type)&1)
	.if (lar_types >> \type) & 1
	and $0xF0FF00, %ebx
	EQUAL "access", %ebx, (0x808000|\type<<8)
	.else
	EQUAL "unchanged", %ebx, 0x5555
	.endif
	CASE "lsl-system-\type"
	mov $0x5555, %ebx
	mov $SCRATCH, %eax
	lsl %eax, %ebx
	setz %cl
	RUNS
	and $0xFF, %ecx
	EQUAL "zf", %ecx, ((lsl_types>>\type)&1)
	.if (lsl_types >> \type) & 1
	EQUAL "limit", %ebx, 0xABCDEFFF
	.else
	EQUAL "unchanged", %ebx, 0x5555
	.endif
	CASE "verr-verw-system-\type"
	mov $SCRATCH, %eax
	or $1, %cl
	verr %ax
	setz %bl
	verw %ax
	setz %bh
	RUNS
	and $0xFFFF, %ebx
	EQUAL "zf", %ebx, 0
	.endr
	.irp type, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	CASE "lar-segment-\type"
	SEGMENT SCRATCH, 0x123000, 0xABCDE, PRESENT|DPL(3)|0x10|\type|BIG
	xor %ebx, %ebx
	mov $SCRATCH, %eax
	lar %eax, %ebx
	RUNS
	and $0xF0FF00, %ebx
	EQUAL "access", %ebx, (0x40F000|\type<<8)
	CASE "lsl-segment-\type"
	mov $SCRATCH, %eax
	lsl %eax, %ebx
	RUNS
	EQUAL "limit", %ebx, 0xABCDE
	CASE "verr-segment-\type"             // readable: data, or code with R
	mov $SCRATCH, %eax
	verr %ax
	setz %bl
	RUNS
	and $0xFF, %ebx
	EQUAL "zf", %ebx, ((0xCCFF>>\type)&1)
	CASE "verw-segment-\type"             // writable: data with W
	mov $SCRATCH, %eax
	verw %ax
	setz %bl
	RUNS
	and $0xFF, %ebx
	EQUAL "zf", %ebx, ((0x00CC>>\type)&1)
	.endr
	// Privilege: the larger of CPL and RPL may not exceed DPL, but for conforming code. Presence does not matter to LAR and LSL.
	.macro ASK name, attributes, rpl, user, lar, verr, verw
	CASE "\name"
	SEGMENT SCRATCH, 0, 0xFFF, \attributes
	.if \user
	TO_USER
	.endif
	mov $SCRATCH+\rpl, %eax
	xor %ebx, %ebx
	xor %ecx, %ecx
	lar %eax, %edx
	setz %bl
	lsl %eax, %edx
	setz %bh
	verr %ax
	setz %cl
	verw %ax
	setz %ch
	.if \user
	TO_KERNEL
	.endif
	RUNS
	EQUAL "lar and lsl", %ebx, (\lar*0x101)
	EQUAL "verr and verw", %ecx, (\verr+0x100*\verw)
	.endm
	ASK "ask-dpl-0-cpl-0", PRESENT|DATA_RW, 0, 0, 1, 1, 1
	ASK "ask-dpl-0-rpl-3", PRESENT|DATA_RW, 3, 0, 0, 0, 0
	ASK "ask-dpl-2-rpl-2", PRESENT|DPL(2)|DATA_RW, 2, 0, 1, 1, 1
	ASK "ask-dpl-2-rpl-3", PRESENT|DPL(2)|DATA_RW, 3, 0, 0, 0, 0
	ASK "ask-dpl-0-user", PRESENT|DATA_RW, 0, 1, 0, 0, 0
	ASK "ask-dpl-3-user", PRESENT|DPL(3)|DATA_RW, 0, 1, 1, 1, 1
	ASK "ask-conforming-user", PRESENT|CODE_CONFORM, 3, 1, 1, 1, 0
	ASK "ask-conforming-rpl-3", PRESENT|CODE_CONFORM, 3, 0, 1, 1, 0
	ASK "ask-code-dpl-0-user", PRESENT|CODE_RX, 0, 1, 0, 0, 0
	ASK "ask-not-present", DATA_RW, 0, 0, 1, 1, 1
	CASE "lar-null"
	xor %eax, %eax
	lar %eax, %ebx
	setz %bl
	lsl %eax, %ecx
	setz %bh
	verr %ax
	setz %cl
	RUNS
	and $0xFFFF, %ebx
	and $0xFF, %ecx
	EQUAL "lar lsl", %ebx, 0
	EQUAL "verr", %ecx, 0
	CASE "lar-beyond-gdt"
	mov $0xFF8, %eax
	cmp %eax, %eax
	lar %eax, %ebx
	setz %bl
	RUNS
	and $0xFF, %ebx
	EQUAL "zf", %ebx, 0
	CASE "lar-16"                         // the 16-bit form: bits 15:8 only
	SEGMENT SCRATCH, 0, 0xFFFFF, PRESENT | DATA_RW | GRANULAR | BIG
	mov $0xFFFFFFFF, %ebx
	mov $SCRATCH, %eax
	lar %ax, %bx
	RUNS
	EQUAL "bx", %ebx, 0xFFFF9300
	CASE "arpl-raises"
	mov $0x10, %eax
	mov $3, %ecx
	arpl %cx, %ax
	setz %bl
	RUNS
	and $0xFF, %ebx
	EQUAL "zf", %ebx, 1
	EQUAL "ax", %eax, 0x13
	CASE "arpl-keeps"
	mov $0x13, %eax
	mov $1, %ecx
	arpl %cx, %ax
	setz %bl
	RUNS
	and $0xFF, %ebx
	EQUAL "zf", %ebx, 0
	EQUAL "ax", %eax, 0x13

	// The LDT (§3.5.1).
	CASE "ldt-load-and-use"
	SEGMENT SCRATCH, ldt, 0xF, PRESENT | TYPE_LDT
	mov $SCRATCH, %eax
	lldt %ax
	movl $0x0000FFFF, ldt + 8
	movl $0x00CF9200, ldt + 12
	mov $0xC, %eax
	mov %eax, %es
	mov %es:area, %eax
	mov $DATA, %eax
	mov %eax, %es
	RUNS
	EQUAL "accessed", ldt+12, 0x00CF9300
	CASE "ldt-first-entry-is-no-null"
	movl $0x0000FFFF, ldt
	movl $0x00CF9200, ldt + 4
	mov $4, %eax
	mov %eax, %es
	mov %es:area, %eax
	mov $DATA, %eax
	mov %eax, %es
	RUNS
	CASE "ldt-beyond-limit"
	mov $0x14, %eax
9:	mov %eax, %es
	FAULTS GP, 0x14
	CASE "lldt-in-ldt"
	mov $4, %eax
9:	lldt %ax
	FAULTS GP, 4
	CASE "sldt"
	sldt %eax
	RUNS
	EQUAL "eax", %eax, SCRATCH
	xor %eax, %eax
	lldt %ax
	CASE "ltr-in-ldt"
	mov $0x24, %eax
9:	ltr %ax
	FAULTS GP, 0x24
	CASE "ltr-busy"
	mov $TSS, %eax
9:	ltr %ax
	FAULTS GP, TSS
	CASE "ltr-null"
	xor %eax, %eax
9:	ltr %ax
	FAULTS GP, 0
	RESTORE_TASK
	CASE "ltr-sets-busy"
	mov gdt + TSS + 4, %eax
	and $0xFF00, %eax
	RUNS
	EQUAL "type", %eax, 0x8B00

	popa
	ret

	.bss
	.align 64
area:
	.skip 4096
ldt:
	.skip 64
	.section .note.GNU-stack, "", @progbits
