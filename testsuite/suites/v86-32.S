// Virtual-8086 mode (SDM vol. 3B chapter 21): what it may do at IOPL 3 and below, the frame that leaves it, interrupts with and without
// the virtual-8086 mode extensions (CR4.VME), and I/O.
#include "suite.h"

#define STACK_16 0x7000                // SS 0

	.text
	.globl suite_main
suite_main:
	pusha
	// The TSS: the interrupt redirection bitmap at 68h, the I/O bitmap behind it at 88h up to port FFh.
	movl $0x00880000, tss + 100
	movl $-1, tss + 0x68
	movl $-1, tss + 0x6C
	movl $-1, tss + 0x70
	movl $-1, tss + 0x74
	movl $-1, tss + 0x78
	movl $-1, tss + 0x7C
	movl $-1, tss + 0x80
	movl $-1, tss + 0x84
	mov $9, %ecx
1:	movl $-1, tss + 0x84(, %ecx, 4)
	loop 1b
	movb $0xFE, tss + 0x88 + 0x10         // port 80h is free
	SEGMENT TSS, tss, 0xA8, PRESENT | TYPE_TSS32
	RESTORE_TASK

	// To 16-bit code at the label 8 that stands before (section .low), with CS 0. \flags come on top of VM.
	.macro TO_V86 flags=0
	push $0x4444                          // GS
	push $0x3333                          // FS
	push $0x1234                          // DS
	push $0x2222                          // ES
	push $0
	push $STACK_16
	push $(2 | FLAG_VM | \flags)
	push $0
	push $8b
	iret
	.endm
	.macro LOW
	.pushsection .low, "awx"
	.code16
	.endm
	.macro END_LOW
	.popsection
	.code32
	.endm
	// One instruction at label 8 that must fault, or run up to UD2.
	.macro V86_FAULT name, flags, vector, error, instruction:vararg
	LOW
8:	\instruction
	ud2
	END_LOW
	CASE "\name"
	TO_V86 "\flags"
	FAULTS \vector, \error, 8b
	.endm
	.macro V86_RUN name, flags, instruction:vararg
	LOW
8:	\instruction
9:	ud2
	END_LOW
	CASE "\name"
	TO_V86 "\flags"
	FAULTS UD
	.endm

	// The frame (§21.2.2, vol. 2A INT n): GS, FS, DS, ES, SS, ESP, EFLAGS, CS, EIP from the top of the ring 0 stack; data segments null.
	LOW
8:	ud2
	END_LOW
	CASE "frame"
	TO_V86
	FAULTS UD, NO_ERROR, 8b
	EVENT "frame", 0, EVENT_FRAME, (kernel_stack_top-36)
	EVENT "cs", 0, EVENT_CS, 0
	EVENT "sp", 0, EVENT_SP, STACK_16
	EVENT "ss", 0, EVENT_SS, 0
	EVENT_BITS "vm", 0, EVENT_FLAGS, FLAG_VM|FLAG_RF, FLAG_VM|FLAG_RF
	EQUAL "es", kernel_stack_top-16, 0x2222
	EQUAL "ds", kernel_stack_top-12, 0x1234
	EQUAL "fs", kernel_stack_top-8, 0x3333
	EQUAL "gs", kernel_stack_top-4, 0x4444
	CASE "handler-segments-null"
	GATE 0x43, CODE32, 7f, PRESENT | DPL(3) | TYPE_INT32
	LOW
8:	int $0x43
9:	ud2
	END_LOW
	jmp 6f
7:	mov %ds, %eax
	mov %es, %ebx
	mov %fs, %ecx
	mov %gs, %edx
	pushf
	pop %esi
	int $RETURN_VECTOR
	jmp 5f
6:	TO_V86 IOPL(3)
5:	RUNS
	EQUAL "ds", %eax, 0
	EQUAL "es", %ebx, 0
	EQUAL "fs", %ecx, 0
	EQUAL "gs", %edx, 0
	and $FLAG_VM, %esi
	EQUAL "vm", %esi, 0
	DEFAULT_GATE 0x43

	// What depends on IOPL (§21.2.7, table 21-2 of INT n): CLI, STI, PUSHF, POPF, INT n, IRET.
	V86_FAULT "cli-iopl-0", 0, GP, 0, cli
	V86_FAULT "cli-iopl-2", IOPL(2), GP, 0, cli
	V86_FAULT "sti-iopl-0", 0, GP, 0, sti
	V86_FAULT "pushf-iopl-0", 0, GP, 0, pushf
	V86_FAULT "pushfd-iopl-0", 0, GP, 0, pushfl
	V86_FAULT "popf-iopl-0", 0, GP, 0, popf
	V86_FAULT "iret-iopl-0", 0, GP, 0, iretw
	V86_FAULT "iretd-iopl-0", 0, GP, 0, iretl
	V86_FAULT "int-n-iopl-0", 0, GP, 0, int $0x41
	V86_FAULT "int-3-iopl-0", 0, GP, 0, .byte 0xCD, 3
	V86_RUN "cli-iopl-3", IOPL(3)|FLAG_IF, cli
	EVENT_BITS "if", 0, EVENT_FLAGS, FLAG_IF, 0
	V86_RUN "sti-iopl-3", IOPL(3), sti
	EVENT_BITS "if", 0, EVENT_FLAGS, FLAG_IF, FLAG_IF
	V86_RUN "pushf-iopl-3", IOPL(3), pushf
	EVENT "sp", 0, EVENT_SP, (STACK_16-2)
	LOW
8:	push $0x7ED7                          // all but TF; IOPL cannot change
	popf
9:	ud2
	END_LOW
	CASE "popf-iopl-3"
	TO_V86 IOPL(3)
	FAULTS UD
	EVENT_BITS "flags", 0, EVENT_FLAGS, 0x7FD5, 0x7ED5
	LOW
8:	push $0x4ED7
	popf
9:	ud2
	END_LOW
	CASE "popf-keeps-iopl"
	TO_V86 IOPL(3)
	FAULTS UD
	EVENT_BITS "iopl", 0, EVENT_FLAGS, IOPL(3), IOPL(3)
	LOW
8:	pushl $(FLAG_VM | FLAG_RF | 2)
	popfl
	pushfl
	popl %eax
9:	ud2
	END_LOW
	CASE "popfd-keeps-vm-pushfd-hides-it" // vol. 2B, PUSHF: VM and RF read as 0
	TO_V86 IOPL(3)
	FAULTS UD
	EVENT_BITS "vm", 0, EVENT_FLAGS, FLAG_VM, FLAG_VM
	and $(FLAG_VM | FLAG_RF), %eax
	EQUAL "pushed", %eax, 0
	// INT3 and INTO do not look at IOPL; they need a gate of DPL 3 to code of DPL 0.
	V86_FAULT "int3-gate-dpl-0", IOPL(3), GP, IDT_ERROR(3), int3
	GATE BP, CODE32, (event_stubs+16*BP), PRESENT | DPL(3) | TYPE_INT32
	LOW
8:	int3
9:	nop
	END_LOW
	CASE "int3-iopl-0"
	TO_V86
	FAULTS BP
	DEFAULT_GATE BP
	V86_FAULT "int-n-iopl-3-gate-dpl-0", IOPL(3), GP, IDT_ERROR(0x41), int $0x41
	GATE 0x41, CODE32, (event_stubs+16*0x41), PRESENT | DPL(3) | TYPE_INT32
	LOW
8:	int $0x41
9:	nop
	END_LOW
	CASE "int-n-iopl-3"
	TO_V86 IOPL(3)
	FAULTS 0x41
	DEFAULT_GATE 0x41
	// Out of V86 mode a gate leads to ring 0 only (vol. 2A, INT n: #GP with the code segment).
	SEGMENT SCRATCH, 0, 0xFFFFF, PRESENT | DPL(1) | CODE_RX | GRANULAR | BIG
	GATE 0x41, SCRATCH, 0, PRESENT | DPL(3) | TYPE_INT32
	V86_FAULT "int-to-ring-1", IOPL(3), GP, SCRATCH, int $0x41
	SEGMENT SCRATCH, 0, 0xFFFFF, PRESENT | CODE_CONFORM | GRANULAR | BIG
	V86_FAULT "int-to-conforming", IOPL(3), GP, SCRATCH, int $0x41
	GATE 0x41, USER_CODE32, 0, PRESENT | DPL(3) | TYPE_INT32
	V86_FAULT "int-to-ring-3", IOPL(3), GP, USER_CODE32_0, int $0x41
	DEFAULT_GATE 0x41

	// Never allowed, whatever IOPL: #GP(0); or not there: #UD (§21.2.7, §6.9).
	V86_FAULT "hlt", IOPL(3), GP, 0, hlt
	V86_FAULT "lgdt", IOPL(3), GP, 0, lgdtl 0x500
	V86_FAULT "lidt", IOPL(3), GP, 0, lidtl 0x500
	V86_FAULT "lmsw", IOPL(3), GP, 0, lmsw %ax
	V86_FAULT "clts", IOPL(3), GP, 0, clts
	V86_FAULT "mov-cr0", IOPL(3), GP, 0, mov %cr0, %eax
	V86_FAULT "mov-to-cr3", IOPL(3), GP, 0, mov %eax, %cr3
	V86_FAULT "mov-dr7", IOPL(3), GP, 0, mov %db7, %eax
	V86_FAULT "invlpg", IOPL(3), GP, 0, invlpg 0x500
	V86_FAULT "wbinvd", IOPL(3), GP, 0, wbinvd
	V86_FAULT "rdmsr", IOPL(3), GP, 0, rdmsr
	V86_FAULT "wrmsr", IOPL(3), GP, 0, wrmsr
	V86_FAULT "sysexit", IOPL(3), GP, 0, sysexit
	V86_FAULT "lldt", IOPL(3), UD, NO_ERROR, lldt %ax
	V86_FAULT "ltr", IOPL(3), UD, NO_ERROR, ltr %ax
	V86_FAULT "sldt", IOPL(3), UD, NO_ERROR, sldt %ax
	V86_FAULT "str", IOPL(3), UD, NO_ERROR, str %ax
	V86_FAULT "lar", IOPL(3), UD, NO_ERROR, lar %ax, %bx
	V86_FAULT "lsl", IOPL(3), UD, NO_ERROR, lsl %ax, %bx
	V86_FAULT "verr", IOPL(3), UD, NO_ERROR, verr %ax
	V86_FAULT "verw", IOPL(3), UD, NO_ERROR, verw %ax
	V86_FAULT "arpl", IOPL(3), UD, NO_ERROR, .byte 0x63, 0xC0
	V86_FAULT "lock-mov", IOPL(3), UD, NO_ERROR, .byte 0xF0, 0x89, 0x07
	V86_FAULT "vex", IOPL(3), UD, NO_ERROR, .byte 0xC5, 0xF8, 0x77
	V86_RUN "smsw", 0, smsw %ax
	V86_RUN "sgdt", 0, sgdt 0x500
	V86_RUN "rdtsc", 0, rdtsc
	V86_RUN "cpuid", 0, cpuid

	// Segments of 64 KiB as in real mode (§21.1.1), faults through the protected-mode IDT with error codes.
	V86_FAULT "word-at-ffff", 0, GP, 0, mov 0xFFFF, %ax
	V86_FAULT "ss-word-at-ffff", 0, SS, 0, mov %ss:0xFFFF, %ax
	V86_FAULT "32-bit-address", 0, GP, 0, addr32 mov 0x10000, %al
	V86_FAULT "jmp-above", 0, GP, 0, .byte 0x66, 0xE9, 0, 0, 1, 0
	V86_FAULT "aam-0", 0, DE, NO_ERROR, aam $0
	LOW
8:	mov $0x5678, %ax
	mov %ax, %ds
	mov %ds, %bx
9:	ud2
	END_LOW
	CASE "any-segment-loads"
	TO_V86
	FAULTS UD
	movzwl %bx, %ebx
	EQUAL "ds", %ebx, 0x5678
	LOW
8:	mov $0x800, %ax
	mov %ax, %es
	mov %es:low_magic-0x8000, %eax
9:	ud2
	.align 4
low_magic:
	.long 0x600DF00D
	END_LOW
	CASE "segment-base-is-sixteen-times-selector"
	TO_V86
	FAULTS UD
	EQUAL "eax", %eax, 0x600DF00D
	LOW
8:	ljmp $0x800, $7f-0x8000
7:	ud2
	END_LOW
	CASE "ljmp"
	TO_V86
	FAULTS UD, NO_ERROR, 7b-0x8000
	EVENT "cs", 0, EVENT_CS, 0x800
	LOW
8:	lcall $0x800, $7f-0x8000
9:	ud2
7:	lret
	END_LOW
	CASE "lcall-lret"
	TO_V86
	FAULTS UD
	LOW
8:	push $0x3ED7
	push $0x800
	push $7f-0x8000
	iretw
7:	ud2
	END_LOW
	CASE "iretw-iopl-3"
	TO_V86 IOPL(3)
	FAULTS UD, NO_ERROR, 7b-0x8000
	EVENT "cs", 0, EVENT_CS, 0x800
	EVENT_BITS "flags", 0, EVENT_FLAGS, 0x3FD5, 0x3ED5

	// I/O: the bitmap decides, not IOPL (vol. 1 §19.5.2).
	V86_RUN "in-allowed-iopl-0", 0, in $0x80, %al
	V86_FAULT "in-denied-iopl-3", IOPL(3), GP, 0, in $0x81, %al
	V86_FAULT "in-word-half-denied", IOPL(3), GP, 0, in $0x80, %ax
	LOW
8:	mov $0x1FF, %dx
7:	in %dx, %al
	ud2
	END_LOW
	CASE "in-beyond-bitmap"
	TO_V86 IOPL(3)
	FAULTS GP, 0, 7b
	V86_FAULT "out-denied", IOPL(3), GP, 0, out %al, $0x60

	// The virtual-8086 mode extensions (§21.3): IF is virtual, INT n goes where the redirection bitmap says.
	LOAD_CR4_BITS CR4_VME
	V86_RUN "vme-cli", FLAG_VIF|FLAG_IF, cli
	EVENT_BITS "flags", 0, EVENT_FLAGS, FLAG_VIF|FLAG_IF, FLAG_IF
	V86_RUN "vme-sti", FLAG_IF, sti
	EVENT_BITS "flags", 0, EVENT_FLAGS, FLAG_VIF|FLAG_IF, FLAG_VIF|FLAG_IF
	V86_FAULT "vme-sti-vip", FLAG_VIP, GP, 0, sti
	LOW
8:	pushf
	pop %ax
9:	ud2
	END_LOW
	CASE "vme-pushf"                      // IF is VIF, IOPL reads as 3
	TO_V86 FLAG_VIF
	FAULTS UD
	and $(FLAG_IF | IOPL(3)), %eax
	EQUAL "pushed", %eax, (FLAG_IF|IOPL(3))
	CASE "vme-pushf-vif-clear"
	TO_V86 FLAG_IF
	FAULTS UD
	and $(FLAG_IF | IOPL(3)), %eax
	EQUAL "pushed", %eax, IOPL(3)
	LOW
8:	push $(2 | FLAG_IF)
	popf
9:	ud2
	END_LOW
	CASE "vme-popf"
	TO_V86
	FAULTS UD
	EVENT_BITS "flags", 0, EVENT_FLAGS, FLAG_VIF|FLAG_IF|IOPL(3), FLAG_VIF
	LOW
8:	push $(2 | FLAG_IF)
7:	popf
	ud2
	END_LOW
	CASE "vme-popf-vip"
	TO_V86 FLAG_VIP
	FAULTS GP, 0, 7b
	LOW
8:	push $(2 | FLAG_TF)
7:	popf
	ud2
	END_LOW
	CASE "vme-popf-tf"
	TO_V86
	FAULTS GP, 0, 7b
	V86_FAULT "vme-pushfd", 0, GP, 0, pushfl
	V86_FAULT "vme-popfd", 0, GP, 0, popfl
	V86_FAULT "vme-iretd", 0, GP, 0, iretl
	LOW
8:	push $(2 | FLAG_IF)
	push $0x800
	push $7f-0x8000
	iretw
7:	ud2
	END_LOW
	CASE "vme-iret"
	TO_V86
	FAULTS UD, NO_ERROR, 7b-0x8000
	EVENT_BITS "flags", 0, EVENT_FLAGS, FLAG_VIF|FLAG_IF, FLAG_VIF
	// Redirected: bit 44h clear. The 8086 vector table is at 0.
	movb $0xEF, tss + 0x68 + 8
	LOW
8:	int $0x44
	nop
7:	mov %sp, %bp
	mov (%bp), %ax
	mov 2(%bp), %bx
	mov 4(%bp), %cx
	ud2
	END_LOW
	movl $(0x08000000), 0x44 * 4
	mov $7b, %eax
	sub $0x8000, %eax
	mov %ax, 0x44 * 4
	CASE "vme-int-redirected-iopl-0"
	TO_V86 FLAG_VIF
	FAULTS UD, NO_ERROR, ANYWHERE
	EVENT "cs", 0, EVENT_CS, 0x800
	EVENT "sp", 0, EVENT_SP, (STACK_16-6)
	EVENT_BITS "vif", 0, EVENT_FLAGS, FLAG_VIF, 0
	movzwl %ax, %eax
	sub $8b, %eax
	EQUAL "ip", %eax, 2
	movzwl %cx, %ecx
	and $(FLAG_IF | IOPL(3)), %ecx
	EQUAL "flags", %ecx, (FLAG_IF|IOPL(3))
	CASE "vme-int-redirected-iopl-3"      // IF itself then, and the real IOPL
	TO_V86 FLAG_IF|IOPL(3)
	FAULTS UD, NO_ERROR, ANYWHERE
	EVENT "cs", 0, EVENT_CS, 0x800
	EVENT_BITS "if", 0, EVENT_FLAGS, FLAG_IF, 0
	V86_FAULT "vme-int-not-redirected-iopl-0", 0, GP, 0, int $0x45
	GATE 0x45, CODE32, (event_stubs+16*0x45), PRESENT | DPL(3) | TYPE_INT32
	LOW
8:	int $0x45
9:	nop
	END_LOW
	CASE "vme-int-not-redirected-iopl-3"
	TO_V86 IOPL(3)
	FAULTS 0x45
	DEFAULT_GATE 0x45
	CLEAR_CR4_BITS CR4_VME

	// Protected-mode virtual interrupts (§21.4).
	LOAD_CR4_BITS CR4_PVI
	CASE "pvi-cli-sti"
	TO_USER
	sti
	pushf
	pop %ebx
	cli
	pushf
	pop %ecx
	TO_KERNEL
	RUNS
	and $(FLAG_VIF | FLAG_IF), %ebx
	EQUAL "after sti", %ebx, FLAG_VIF
	and $(FLAG_VIF | FLAG_IF), %ecx
	EQUAL "after cli", %ecx, 0
	CASE "pvi-sti-vip"
	mov $USER_DATA, %eax
	push $USER_DATA
	push $user_stack_top
	push $(2 | FLAG_VIP)
	push $USER_CODE32
	push $9f
	iret
9:	sti
	FAULTS GP, 0
	CLEAR_CR4_BITS CR4_PVI

	SEGMENT TSS, tss, 0x67, PRESENT | TYPE_TSS32
	movl $0x680000, tss + 100
	RESTORE_TASK
	popa
	ret
	.section .note.GNU-stack, "", @progbits
