// Application processors: from the start-up IPI to C, and their interrupt handlers.
#include "suite.h"

	// A start-up IPI of vector 8 begins at 8000h in real-address mode (SDM vol. 3A §10.4.3).
	.section .low.start, "awx"
	.code16
ap_entry:
	cli
	mov %cr0, %eax
	mov %eax, %cs:ap_cr0 - LOW_START
	mov %cs, %cs:ap_cs - LOW_START
	mov %ds, %cs:ap_ds - LOW_START
	xor %ax, %ax
	mov %ax, %ds
	lgdtl low_gdt
	mov $(CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT), %eax
	mov %eax, %cr4
	mov ap_root, %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	rdmsr
	mov %eax, ap_efer
	or $EFER_LME, %eax
	wrmsr
	mov $(CR0_PE | CR0_MP | CR0_NE | CR0_PG), %eax
	mov %eax, %cr0
	ljmpl $CODE64, $ap_long
	.align 4
	.globl ap_cr0, ap_cs, ap_ds, ap_efer, ap_root
ap_cr0:
	.long 0
ap_cs:
	.long 0
ap_ds:
	.long 0
ap_efer:
	.long 0
ap_root:
	.long 0
low_gdt:
	.word GDT_SIZE - 1
	.long gdt

	.text
	.code64
ap_long:
	mov $DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov %eax, %ss
	lidt idt_pointer
	mov $0xFEE00020, %eax
	mov (%rax), %edi
	shr $24, %edi
	mov %edi, %eax
	inc %eax
	shl $14, %eax
	lea ap_stacks(%rax), %rsp
	call ap_main
1:	hlt
	jmp 1b

	// Interrupts of the application processors, which count and end them: `ap_count` of the processor, and the vector's work.
	.macro AP_HANDLER name, work
	.globl \name
\name:
	push %rax
	push %rcx
	push %rdx
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	cld
	call \work
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rdx
	pop %rcx
	pop %rax
	iretq
	.endm
	AP_HANDLER count_interrupt, count_work
	AP_HANDLER shootdown_interrupt, shootdown_work
	AP_HANDLER level_interrupt, level_work
	AP_HANDLER nmi_interrupt, nmi_work

	// Code that another processor modifies.
	.balign 64
	.globl patched
patched:
	mov $0, %eax
	ret

	.bss
	.align 16
ap_stacks:
	.skip 16384 * 9
	.section .note.GNU-stack, "", @progbits
