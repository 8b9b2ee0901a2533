// Accesses for the paging suites, and what C cannot do.
#include "probe.inc"

// void change_paging(word la57, word root): leaves IA-32e mode and comes back with another CR4.LA57 and CR3 (SDM vol. 3A §5.1.2: LA57
// cannot change while IA-32e mode is active).
	.globl change_paging
change_paging:
	mov %edi, %ecx
	mov %esi, %edx
	TO_COMPATIBILITY
	mov %cr0, %eax
	and $~CR0_PG, %eax
	mov %eax, %cr0
	mov %cr4, %eax
	and $~CR4_LA57, %eax
	test %ecx, %ecx
	jz 1f
	or $CR4_LA57, %eax
1:	mov %eax, %cr4
	mov %edx, %cr3
	mov %cr0, %eax
	or $CR0_PG, %eax
	mov %eax, %cr0
	TO_LONG
	ret

// word faulting_cr(word which, word value): loads CR0, CR3 or CR4; -1 if that worked, else the vector.
	.globl faulting_cr, faulting_invpcid
	.macro ATTEMPT instruction:vararg
	push %rbx
	push %rbp
	movq $0, event_count
	movq $0, event_returns
	movq $faulting_end, case_resume
	mov %rsp, case_sp
	\instruction
	jmp faulting_end
	.endm
faulting_cr:
	cmp $3, %edi
	ja 4f
	je 3f
	ATTEMPT mov %rsi, %cr0
3:	ATTEMPT mov %rsi, %cr3
4:	ATTEMPT mov %rsi, %cr4
// word faulting_invpcid(word type, const void *descriptor)
faulting_invpcid:
	ATTEMPT invpcid (%rsi), %rdi
// word faulting_wrpkru(word eax, word ecx)
	.globl faulting_wrpkru
faulting_wrpkru:
	mov %edi, %eax
	mov %esi, %ecx
	xor %edx, %edx
	ATTEMPT wrpkru
faulting_end:
	movq $0, case_resume
	mov $-1, %rax
	cmpq $0, event_count
	je 1f
	mov events, %rax
1:	pop %rbp
	pop %rbx
	ret
	.section .note.GNU-stack, "", @progbits
