// Entry of the bare-metal programs: from 32-bit protected mode, as a multiboot
// loader or our own boot sector leaves it, to C with paging and SSE on.
// Built twice: 32-bit (4 MiB pages) and, where __x86_64__, 64-bit (2 MiB pages).
//
// Low 1 GiB is mapped to itself; the paging program maps more for itself.

#define CR0_MP   0x00000002
#define CR0_EM   0x00000004
#define CR0_WP   0x00010000
#define CR0_PG   0x80000000
#define CR4_PSE  0x010
#define CR4_PAE  0x020
#define CR4_PGE  0x080
#define CR4_SSE  0x600              // OSFXSR, OSXMMEXCPT
#define MSR_EFER 0xC0000080
#define EFER_LME 0x100

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
	mov $__bss_start, %edi
	mov $__bss_end, %ecx
	sub %edi, %ecx
	xor %eax, %eax
	rep stosb
	lgdt gdt_pointer

	mov %cr0, %eax
	and $~CR0_EM, %eax
	or $(CR0_MP | CR0_WP), %eax
	mov %eax, %cr0

#ifdef __x86_64__
	mov $(CR4_PAE | CR4_PGE | CR4_SSE), %eax
	mov %eax, %cr4
	movl $(page_pointers + 3), page_root
	movl $(page_directory + 3), page_pointers
	mov $page_directory, %edi
	mov $0x83, %eax                 // present, writable, 2 MiB
	mov $512, %ecx
1:	mov %eax, (%edi)
	add $0x200000, %eax
	add $8, %edi
	loop 1b
	mov $MSR_EFER, %ecx
	rdmsr
	or $EFER_LME, %eax
	wrmsr
#else
	mov $(CR4_PSE | CR4_PGE | CR4_SSE), %eax
	mov %eax, %cr4
	mov $page_root, %edi
	mov $0x83, %eax                 // present, writable, 4 MiB
	mov $256, %ecx
1:	mov %eax, (%edi)
	add $0x400000, %eax
	add $4, %edi
	loop 1b
#endif
	mov $page_root, %eax
	mov %eax, %cr3
	mov %cr0, %eax
	or $CR0_PG, %eax
	mov %eax, %cr0
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov %eax, %ss
#ifdef __x86_64__
	ljmp $0x18, $1f
	.code64
1:
#else
	ljmp $0x08, $1f
1:
#endif
	fninit
	call machine_main
1:	cli
	hlt
	jmp 1b

// One stub for every vector: error code (0 where the CPU pushes none), vector,
// registers, then C. Vectors with an error code: SDM vol. 3A table 6-1.
	.altmacro
	.macro stub vector
	.align 16
	.if \vector == 8 || (\vector >= 10 && \vector <= 14) || \vector == 17 || \vector == 21
	.else
	push $0
	.endif
	push $\vector
	jmp trap_common
	.endm
	.align 16
	.globl trap_stubs
trap_stubs:
	.set number, 0
	.rept 33
	stub %number
	.set number, number + 1
	.endr

trap_common:
#ifdef __x86_64__
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
	lea 72(%rsp), %rdi
	call trap_entry
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rdx
	pop %rcx
	pop %rax
	add $16, %rsp
	iretq
#else
	push %eax
	push %ecx
	push %edx
	cld
	lea 12(%esp), %eax
	push %eax
	call trap_entry
	add $4, %esp
	pop %edx
	pop %ecx
	pop %eax
	add $8, %esp
	iret
#endif

	.section .rodata
	.align 8
gdt:
	.quad 0
	.quad 0x00CF9B000000FFFF        // 08h: 32-bit code
	.quad 0x00CF93000000FFFF        // 10h: data
	.quad 0x00AF9B000000FFFF        // 18h: 64-bit code
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.long gdt

	.section .bss
	.globl page_root
	.align 4096
page_root:
	.skip 4096
#ifdef __x86_64__
	.globl page_pointers
page_pointers:
	.skip 4096
page_directory:
	.skip 4096
#endif
	.skip 65536
stack_top:

	.section .note.GNU-stack, "", @progbits
