// SYSCALL, SYSRET, SYSENTER and SYSEXIT (SDM vol. 2B, and vol. 3A §6.8.7, §6.8.8).
#include "suite.h"

#define STAR 0xC0000081
#define LSTAR 0xC0000082
#define CSTAR 0xC0000083
#define FMASK 0xC0000084
#define SYSENTER_CS 0x174
#define SYSENTER_ESP 0x175
#define SYSENTER_EIP 0x176

	.text
	.globl suite_main
suite_main:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15

	CASE "ud-syscall-without-sce"
9:	syscall
	FAULTS UD
	CASE "ud-sysret-without-sce"
9:	sysretq
	FAULTS UD
	CASE "ud-sysret-user-without-sce"     // #UD is found before the privilege
	TO_USER
9:	sysretq
	FAULTS UD
	mov $MSR_EFER, %ecx
	rdmsr
	or $EFER_SCE, %eax
	wrmsr
	// SS becomes 20h, where the GDT has a TSS: SYSCALL looks at no descriptor.
	WRITE_MSR STAR, 0x12345678, (USER_CODE32_0 << 16 | CODE64)
	WRITE_MSR LSTAR, 8f
	WRITE_MSR FMASK, 0

	.macro SYSCALL_CASE name
	CASE "\name"
	jmp 1f
8:	mov %cs, %ebx
	mov %ss, %edx
	pushf
	pop %r12
	mov %rsp, %r13
	mov $DATA, %eax
	mov %eax, %ss
	mov case_sp, %rsp
	push $2
	popf
	jmp 2f
1:	WRITE_MSR LSTAR, 8b
	.endm
	SYSCALL_CASE "syscall-registers"
	mov %rsp, %r14
	syscall
9:	nop
2:	RUNS
	EQUAL "rcx", %rcx, 9b
	EQUAL "r11", %r11, 2
	EQUAL "cs", %rbx, CODE64
	EQUAL "ss", %rdx, CODE64+8
	EQUAL "flags", %r12, 2
	sub %r14, %r13
	EQUAL "rsp changed", %r13, 0
	SYSCALL_CASE "syscall-mask"
	WRITE_MSR FMASK, (FLAG_IF | FLAG_DF | FLAG_AC | FLAG_ZF | FLAG_NT)
	push $(2 | FLAG_IF | FLAG_DF | FLAG_AC | FLAG_ZF | FLAG_NT | FLAG_CF | FLAG_OF | FLAG_ID)
	popf
	syscall
9:	nop
2:	RUNS
	EQUAL "r11", %r11, (2|FLAG_IF|FLAG_DF|FLAG_AC|FLAG_ZF|FLAG_NT|FLAG_CF|FLAG_OF|FLAG_ID)
	EQUAL "flags", %r12, (2|FLAG_CF|FLAG_OF|FLAG_ID)
	SYSCALL_CASE "syscall-mask-all"
	WRITE_MSR FMASK, 0xFFFFFFFF
	push $(2 | FLAG_IF | IOPL(3) | FLAG_CF)
	popf
	syscall
2:	RUNS
	EQUAL "flags", %r12, 2
	SYSCALL_CASE "syscall-clears-rf"      // RF is set by IRET, masked out of R11 and RFLAGS (vol. 2B, SYSCALL)
	WRITE_MSR FMASK, 0
	push $DATA
	lea 8(%rsp), %rax
	push %rax
	push $(2 | FLAG_RF)
	push $CODE64
	push $1f
	iretq
1:	syscall
2:	RUNS
	EQUAL "r11", %r11, 2
	EQUAL "flags", %r12, 2
	SYSCALL_CASE "syscall-from-user"
	TO_USER
	syscall
9:	nop
2:	RUNS
	EQUAL "rcx", %rcx, 9b
	EQUAL "cs", %rbx, CODE64
	EQUAL "rsp", %r13, user_stack_top
	FAULT "ud-lock-syscall", UD, NO_ERROR, .byte 0xF0, 0x0F, 0x05

	// SYSRET
	.macro SYSRET_CASE name, flags, instruction
	CASE "\name"
	mov $1f, %ecx
	mov $(\flags), %r11d
	mov %rsp, %r14
	\instruction
1:
	.endm
	SYSRET_CASE "sysret-64", 2, sysretq
	mov %cs, %ebx
	mov %ss, %edx
	mov %rsp, %r13
	TO_KERNEL
	RUNS
	EQUAL "cs", %rbx, USER_CODE64
	EQUAL "ss", %rdx, USER_DATA
	sub %r14, %r13
	EQUAL "rsp changed", %r13, 0
	SYSRET_CASE "sysret-64-is-64-bit", 2, sysretq
	mov $-1, %rax
	shr $32, %rax
	TO_KERNEL
	RUNS
	EQUAL "rax", %rax, 0xFFFFFFFF
	SYSRET_CASE "sysret-32", 2, sysretl
	.code32
	mov %cs, %ebx
	mov %ss, %edx
	mov $1, %eax
	.byte 0x48                            // DEC EAX there, a REX prefix in 64-bit mode
	int $RETURN_VECTOR
	.code64
	RUNS
	EQUAL "cs", %rbx, USER_CODE32
	EQUAL "ss", %rdx, USER_DATA
	EQUAL "rax", %rax, 0
	SYSRET_CASE "sysret-flags", 0x003C7CD7, sysretq       // all but TF: what R11 can set, IOPL 3
	pushf
	pop %rbx
	TO_KERNEL
	RUNS
	EQUAL "flags", %rbx, 0x3C7CD7
	SYSRET_CASE "sysret-flags-reserved", 0xFFC38228, sysretq
	pushf
	pop %rbx
	TO_KERNEL
	RUNS
	EQUAL "flags", %rbx, 0x202
	CASE "sysret-clears-rf-and-vm"
	mov $1f, %ecx
	mov $(2 | FLAG_RF | FLAG_VM), %r11d
	sysretq
1:	pushf
	pop %rbx
	TO_KERNEL
	RUNS
	EQUAL "flags", %rbx, 2
	CASE "sysret-64-non-canonical"        // Intel: #GP(0) at CPL 0, before anything changes
	movabs $0x0000800000000000, %rcx
	mov $2, %r11d
	mov %rsp, %r14
9:	sysretq
	FAULTS GP, 0
	EVENT "cs", 0, EVENT_CS, CODE64
	EVENT "ss", 0, EVENT_SS, DATA
	sub events + EVENT_SP, %r14
	EQUAL "rsp changed", %r14, 0
	CASE "sysret-64-highest"              // canonical, but not mapped: the fault comes in user mode
	movabs $0x00007FFFFFFFFFFF, %rcx
	mov $2, %r11d
	sysretq
	FAULTS PF, 4, 0x7FFFFFFFFFFF
	EVENT "cs", 0, EVENT_CS, USER_CODE64
	CASE "sysret-32-ignores-high-half"
	movabs $0x0000800000000000, %rcx
	mov $1f, %eax
	or %rax, %rcx
	mov $2, %r11d
	sysretl
	.code32
1:	int $RETURN_VECTOR
	.code64
	RUNS
	CASE "gp-sysret-user"
	TO_USER
9:	sysretq
	FAULTS GP, 0
	CASE "sysret-looks-at-no-descriptor"  // selectors beyond the GDT
	WRITE_MSR STAR, 0, (0x7F0 << 16 | CODE64)
	mov $1f, %ecx
	mov $2, %r11d
	sysretq
1:	mov %cs, %ebx
	mov %ss, %edx
	TO_KERNEL
	RUNS
	EQUAL "cs", %rbx, 0x803
	EQUAL "ss", %rdx, 0x7FB
	WRITE_MSR STAR, 0, (USER_CODE32_0 << 16 | CODE64)

	// The MSRs: canonical addresses only; the mask has 32 bits.
	.macro BAD_MSR name, number, low, high
	CASE "\name"
	mov $\number, %ecx
	mov $\low, %eax
	mov $\high, %edx
9:	wrmsr
	FAULTS GP, 0
	.endm
	// The widest addresses of the processor count, not those of the paging mode: with LA57, 57 bits.
	mov $7, %eax
	xor %ecx, %ecx
	cpuid
	bt $16, %ecx
	jc 1f
	BAD_MSR "gp-lstar-57-bits-without-la57", LSTAR, 0, 0x8000
	jmp 2f
1:	CASE "lstar-57-bits"
	WRITE_MSR LSTAR, 0, 0x8000
	RUNS
2:
	BAD_MSR "gp-lstar-non-canonical", LSTAR, 0, 0x40000000
	BAD_MSR "gp-cstar-non-canonical", CSTAR, 0, 0x40000000
	BAD_MSR "gp-sysenter-eip-non-canonical", SYSENTER_EIP, 0, 0x40000000
	BAD_MSR "gp-sysenter-esp-non-canonical", SYSENTER_ESP, 0, 0x40000000
	BAD_MSR "gp-kernel-gs-base-non-canonical", 0xC0000102, 0, 0x40000000

	// SYSENTER and SYSEXIT
	WRITE_MSR SYSENTER_CS, 0
	FAULT "gp-sysenter-null-cs", GP, 0, sysenter
	FAULT "gp-sysexit-null-cs", GP, 0, sysexitl
	CASE "gp-sysenter-rpl-only"           // bits 1:0 do not count
	WRITE_MSR SYSENTER_CS, 3
9:	sysenter
	FAULTS GP, 0
	// 64-bit code for SYSEXIT at +32 and its stack at +40: 23h and 2Bh are never looked at.
	WRITE_MSR SYSENTER_CS, CODE32
	.macro SYSENTER_CASE name
	CASE "\name"
	jmp 1f
8:	mov %cs, %ebx
	mov %ss, %edx
	pushf
	pop %r12
	mov %rsp, %r13
	mov $DATA, %eax
	mov %eax, %ss
	mov case_sp, %rsp
	push $2
	popf
	jmp 2f
1:	WRITE_MSR SYSENTER_EIP, 8b
	WRITE_MSR SYSENTER_ESP, area+4096
	.endm
	SYSENTER_CASE "sysenter-registers"
	push $(2 | FLAG_IF | FLAG_DF | FLAG_AC | FLAG_CF)
	popf
	sysenter
2:	RUNS
	EQUAL "cs", %rbx, CODE32
	EQUAL "ss", %rdx, CODE32+8
	EQUAL "rsp", %r13, area+4096
	EQUAL "flags", %r12, (2|FLAG_DF|FLAG_AC|FLAG_CF)
	SYSENTER_CASE "sysenter-is-64-bit"
	TO_USER
	sysenter
2:	RUNS
	EQUAL "cs", %rbx, CODE32
	SYSENTER_CASE "sysenter-from-compatibility"
	TO_USER32
	sysenter
	.code64
2:	RUNS
	EQUAL "cs", %rbx, CODE32
	EQUAL "rsp", %r13, area+4096
	CASE "sysexit-64"
	mov $1f, %edx
	mov $area + 4096, %ecx
	.byte 0x48, 0x0F, 0x35
1:	mov %cs, %ebx
	mov %ss, %esi
	mov %rsp, %r13
	TO_KERNEL
	RUNS
	EQUAL "cs", %rbx, CODE32+32+3
	EQUAL "ss", %rsi, CODE32+40+3
	EQUAL "rsp", %r13, area+4096
	CASE "sysexit-32"
	movabs $0x1234567800000000, %rdx
	mov $1f, %eax
	or %rax, %rdx
	movabs $0x1234567800000000, %rcx
	mov $area + 4096, %eax
	or %rax, %rcx
	sysexitl
	.code32
1:	mov %cs, %ebx
	mov %ss, %esi
	mov %esp, %edi
	int $RETURN_VECTOR
	.code64
	RUNS
	EQUAL "cs", %rbx, CODE32+16+3
	EQUAL "ss", %rsi, CODE32+24+3
	EQUAL "esp", %rdi, area+4096
	CASE "gp-sysexit-64-non-canonical-rip"
	movabs $0x800000000000, %rdx
	mov $area + 4096, %ecx
9:	.byte 0x48, 0x0F, 0x35
	FAULTS GP, 0
	CASE "gp-sysexit-64-non-canonical-rsp"
	mov $1f, %edx
	movabs $0x800000000000, %rcx
9:	.byte 0x48, 0x0F, 0x35
1:	FAULTS GP, 0
	USER_FAULT "gp-sysexit-user", GP, 0, .byte 0x0F, 0x35
	CASE "sysexit-keeps-flags"
	push $(2 | FLAG_CF | FLAG_DF)
	popf
	mov $1f, %edx
	mov $area + 4096, %ecx
	.byte 0x48, 0x0F, 0x35
1:	pushf
	pop %rbx
	TO_KERNEL
	RUNS
	EQUAL "flags", %rbx, (2|FLAG_CF|FLAG_DF)
	WRITE_MSR SYSENTER_CS, 0
	mov $MSR_EFER, %ecx
	rdmsr
	and $~EFER_SCE, %eax
	wrmsr
	// Intel has SYSCALL and SYSRET in 64-bit mode only. Last: some emulators go elsewhere here.
	mov $MSR_EFER, %ecx
	rdmsr
	or $EFER_SCE, %eax
	wrmsr
	CASE "ud-syscall-compatibility"       // Intel: 64-bit mode only
	TO_USER32
9:	.byte 0x0F, 0x05
	.code64
	FAULTS UD
	CASE "ud-syscall-compatibility-cpl-0"
	TO_COMPATIBILITY
9:	.byte 0x0F, 0x05
	.code64
	FAULTS UD
	CASE "ud-sysret-compatibility"
	TO_COMPATIBILITY
9:	.byte 0x0F, 0x07
	.code64
	FAULTS UD
	mov $MSR_EFER, %ecx
	rdmsr
	and $~EFER_SCE, %eax
	wrmsr

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
	.skip 8192
	.section .note.GNU-stack, "", @progbits
