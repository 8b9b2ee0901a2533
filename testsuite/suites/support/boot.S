// Entry of the suites' programs and their event handlers, both word sizes: 32-bit without paging, 64-bit with the low 1 GiB
// mapped to itself by 2 MiB pages that users may write.
#include "suite.h"

	.section .multiboot, "a"
	// Multiboot Specification 0.6.96 §3.1: magic, flags, checksum.
	.align 4
	.long 0x1BADB002, 0, -0x1BADB002
	// For the boot sector: it jumps to the entry below at a fixed offset.
	.org 16

	.code32
	.globl _start
_start:
	cli
	cld
	mov $stack_top, %esp
	mov $__low_load, %esi
	mov $__low_start, %edi
	mov $__low_end, %ecx
	sub %edi, %ecx
	rep movsb
	mov $__bss_start, %edi
	mov $__bss_end, %ecx
	sub %edi, %ecx
	xor %eax, %eax
	rep stosb
	lgdt gdt_pointer
	mov $DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov %eax, %ss

	mov %cr0, %eax
	and $~CR0_EM, %eax
	or $(CR0_MP | CR0_NE), %eax
	mov %eax, %cr0
#ifdef __x86_64__
	mov $(CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT), %eax
	mov %eax, %cr4
	movl $(page_pointers + 7), page_root
	movl $(page_directory + 7), page_pointers
	mov $page_directory, %edi
	mov $0x87, %eax                 // present, writable, user, 2 MiB
	mov $512, %ecx
1:	mov %eax, (%edi)
	add $0x200000, %eax
	add $8, %edi
	loop 1b
	mov $page_root, %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	rdmsr
	or $EFER_LME, %eax
	wrmsr
	mov %cr0, %eax
	or $CR0_PG, %eax
	mov %eax, %cr0
	ljmp $CODE64, $1f
	.code64
1:	movq $kernel_stack_top, tss + 4         // RSP0
	movq $interrupt_stack_top, tss + 36     // IST1
	movw $0x68, tss + 102
#else
	mov $(CR4_OSFXSR | CR4_OSXMMEXCPT), %eax
	mov %eax, %cr4
	ljmp $CODE32, $1f
1:	movl $kernel_stack_top, tss + 4
	movl $DATA, tss + 8
	movl $0x680000, tss + 100               // I/O map at the limit: none
#endif
	mov $0xFF, %al                  // all lines of both PICs masked
	out %al, $0x21
	out %al, $0xA1
	call load_tables
	lidt idt_pointer
	mov $TSS, %eax
	ltr %ax
	xor %eax, %eax
	lldt %ax
	fninit
	call machine_main
1:	cli
	hlt
	jmp 1b

// One stub for every vector: error code (NO_ERROR where the processor pushes none), vector, the rest. Vectors with an error
// code: SDM vol. 3A table 7-1.
	.altmacro
	.macro stub vector
	.align 16
	.if \vector == 8 || (\vector >= 10 && \vector <= 14) || \vector == 17 || \vector == 21
	.else
	push $NO_ERROR
	.endif
	push $\vector
	jmp event_common
	.endm
	.align 16
	.globl event_stubs
event_stubs:
	.set number, 0
	.rept VECTORS
	stub %number
	.set number, number + 1
	.endr
	.noaltmacro

	// The saved registers, from the stack pointer up: GPRs in the order of PUSHA, then vector, error code, frame.
event_common:
#ifdef __x86_64__
	push %rax
	push %rcx
	push %rdx
	push %rbx
	push %rbp
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	cld
	mov %rsp, %rdi
	mov %rsp, %rbp
	and $-16, %rsp
	call note_event
	mov %rbp, %rsp
	test %eax, %eax
	jz resume_case
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rbp
	pop %rbx
	pop %rdx
	pop %rcx
	pop %rax
	add $16, %rsp
	iretq

resume_case:
	mov $DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov %eax, %ss
	mov %rsp, %r15
	mov case_sp, %rsp
	push $2
	popf
	push 14 * 8(%r15)
	push 13 * 8(%r15)
	push 12 * 8(%r15)
	push 11 * 8(%r15)
	push 10 * 8(%r15)
	push 9 * 8(%r15)
	push 8 * 8(%r15)
	push 7 * 8(%r15)
	push 6 * 8(%r15)
	push 5 * 8(%r15)
	push 4 * 8(%r15)
	push 3 * 8(%r15)
	push 2 * 8(%r15)
	push 1 * 8(%r15)
	push 0 * 8(%r15)
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rbp
	pop %rbx
	pop %rdx
	pop %rcx
	pop %rax
	jmp *resume_target
#else
	pusha
	mov %ds, %ecx
	push %ecx
	mov %es, %ecx
	push %ecx
	mov $DATA, %ecx
	mov %ecx, %ds
	mov %ecx, %es
	cld
	lea 8(%esp), %eax
	push %eax
	call note_event
	pop %ecx
	test %eax, %eax
	jz resume_case
	pop %ecx
	mov %ecx, %es
	pop %ecx
	mov %ecx, %ds
	popa
	add $8, %esp
	iret

resume_case:
	add $8, %esp
	mov $DATA, %eax
	mov %eax, %fs
	mov %eax, %gs
	mov %esp, %ebx
	mov %eax, %ss
	mov case_sp, %esp
	push $2
	popf
	push 28(%ebx)
	push 24(%ebx)
	push 20(%ebx)
	push 16(%ebx)
	push 12(%ebx)
	push 8(%ebx)
	push 4(%ebx)
	push 0(%ebx)
	popa
	jmp *resume_target
#endif

	.data
	.align 16
	.globl gdt
gdt:
	.quad 0
	.quad 0x00CF9B000000FFFF        // 08h: 32-bit code
	.quad 0x00CF93000000FFFF        // 10h: data
	.quad 0x00AF9B000000FFFF        // 18h: 64-bit code
	.quad 0, 0                      // 20h: TSS
	.quad 0x00CFFB000000FFFF        // 30h: 32-bit user code
	.quad 0x00CFF3000000FFFF        // 38h: user data
	.quad 0x00AFFB000000FFFF        // 40h: 64-bit user code
	.quad 0x00009B000000FFFF        // 48h: 16-bit code
	.quad 0x000093000000FFFF        // 50h: 16-bit data
	.org gdt + GDT_SIZE
	.globl gdt_pointer, idt_pointer
	.align 4
	.word 0
gdt_pointer:
	.word GDT_SIZE - 1
	WORD_DATA gdt
	.align 4
	.word 0
idt_pointer:
	.word VECTORS * WORD * 2 - 1
	WORD_DATA idt

	.bss
	.globl case_resume, case_sp, resume_target, check_what, check_got, check_want, masked
	.align 16
case_resume:
	.skip WORD
case_sp:
	.skip WORD
resume_target:
	.skip WORD
check_what:
	.skip WORD
check_got:
	.skip WORD
check_want:
	.skip WORD
masked:
	.skip WORD
	.globl idt, tss
	.align 16
idt:
	.skip VECTORS * WORD * 2
	.align 128
tss:
	.skip 256
	.globl page_root, page_pointers, page_directory
	.align 4096
#ifdef __x86_64__
page_root:
	.skip 4096
page_pointers:
	.skip 4096
page_directory:
	.skip 4096
#endif
	.globl stack_top, kernel_stack_top, interrupt_stack_top, user_stack_top
	.skip 16384
stack_top:
	.skip 8192
kernel_stack_top:
	.skip 8192
interrupt_stack_top:
	.skip 8192
user_stack_top:

	.section .note.GNU-stack, "", @progbits
