// Segmentation in 32-bit protected mode: limits, types, privileges, conforming code, call gates (SDM vol. 3A chapters 3 and 6, vol. 2).
#include "suite.h"

	.text
	.globl suite_main
suite_main:
	pusha

	// Limits (vol. 3A §6.3). ES has a segment of \limit + 1 bytes at `area`; each size is tried at its last place and one beyond.
	.macro LIMIT_PAIR name, last, instruction
	CASE "\name-inside"
	mov $SCRATCH, %eax
	mov %eax, %es
	mov $(\last), %ebx
	\instruction %es:(%ebx)
	RUNS
	CASE "\name-beyond"
	mov $SCRATCH, %eax
	mov %eax, %es
	mov $(\last+1), %ebx
9:	\instruction %es:(%ebx)
	FAULTS GP, 0
	.endm
	SEGMENT SCRATCH, area, 0x7F, PRESENT | DATA_RW | BIG
	LIMIT_PAIR "limit-byte", 0x7F, incb
	LIMIT_PAIR "limit-word", 0x7E, incw
	LIMIT_PAIR "limit-dword", 0x7C, incl
	LIMIT_PAIR "limit-qword", 0x78, fildll
	fninit
	LIMIT_PAIR "limit-tbyte", 0x76, fldt
	fninit
	SEGMENT SCRATCH, area, 0, PRESENT | DATA_RW | GRANULAR | BIG
	LIMIT_PAIR "granular-byte", 0xFFF, incb
	LIMIT_PAIR "granular-dword", 0xFFC, incl
	SEGMENT SCRATCH, area, 0, PRESENT | DATA_RW | BIG
	LIMIT_PAIR "limit-0-byte", 0, incb
	// An offset that wraps past 4 GiB: beyond a limit below the largest; what comes at the largest is up to the processor.
	SEGMENT SCRATCH, 0, 0xFFFFE, PRESENT | DATA_RW | GRANULAR | BIG
	CASE "limit-wrap"
	mov $SCRATCH, %eax
	mov %eax, %es
	mov $0xFFFFFFFE, %ebx
9:	mov %es:(%ebx), %eax
	FAULTS GP, 0
	CASE "limit-instruction-of-two-pages"
	SEGMENT SCRATCH, area, 0x7F, PRESENT | DATA_RW | BIG
	mov $SCRATCH, %eax
	mov %eax, %es
	mov $0x70, %edi
	mov $8, %ecx
	cld
9:	rep stosl
	FAULTS GP, 0
	EQUAL "ecx", %ecx, 4
	EQUAL "edi", %edi, 0x80
	CASE "limit-string-down"
	mov $SCRATCH, %eax
	mov %eax, %es
	mov $4, %edi
	mov $8, %ecx
	std
9:	rep stosl
	FAULTS GP, 0
	EQUAL "ecx", %ecx, 6
	EQUAL "edi", %edi, -4
	CASE "limit-both-strings-source-first"
	mov $SCRATCH, %eax
	mov %eax, %ds
	mov $0x80, %esi
	mov $area, %edi
	mov $1, %ecx
9:	rep movsb
	FAULTS GP, 0
	CASE "limit-rep-zero-does-nothing"
	mov $SCRATCH, %eax
	mov %eax, %ds
	mov $0x80, %esi
	xor %ecx, %ecx
	rep lodsb
	mov $DATA, %eax
	mov %eax, %ds
	RUNS

	// Expand-down (§6.3): valid are limit + 1 to FFFFh or FFFFFFFFh.
	SEGMENT SCRATCH, 0, 0xFFF, PRESENT | DATA_DOWN | BIG
	.macro DOWN name, offset, good, instruction
	CASE "\name"
	mov $SCRATCH, %eax
	mov %eax, %es
	mov $(\offset), %ebx
	.if \good
	\instruction %es:(%ebx)
	RUNS
	.else
9:	\instruction %es:(%ebx)
	FAULTS GP, 0
	.endif
	.endm
	DOWN "down-at-limit", 0xFFF, 0, incb
	DOWN "down-behind-limit", 0x1000, 1, "testb $0,"
	DOWN "down-dword-across-limit", 0xFFD, 0, incl
	DOWN "down-zero", 0, 0, incb
	DOWN "down-big-above-64k", 0x100000, 1, "testb $0,"
	SEGMENT SCRATCH, area-0x8000, 0x7FFF, PRESENT | DATA_DOWN
	DOWN "down-small-last-byte", 0xFFFF, 1, "testb $0,"
	DOWN "down-small-above-64k", 0x10000, 0, incb
	DOWN "down-small-across-64k", 0xFFFE, 0, incl
	DOWN "down-small-at-limit", 0x7FFF, 0, incb
	DOWN "down-small-behind-limit", 0x8000, 1, incb
	SEGMENT SCRATCH, 0, 0x100, PRESENT | DATA_DOWN | GRANULAR | BIG
	DOWN "down-granular-at-limit", 0x100FFF, 0, incb
	DOWN "down-granular-behind-limit", 0x101000, 1, "testb $0,"

	// The stack: #SS(0); B selects SP or ESP (§3.4.5).
	SEGMENT SCRATCH, stack_area, 0xFF, PRESENT | DPL(3) | DATA_RW | BIG
	.macro STACK name, sp, vector, instruction:vararg
	CASE "\name"
	TO_USER
	mov $SCRATCH+3, %eax
	mov %eax, %ss
	mov $(\sp), %esp
9:	\instruction
	FAULTS \vector, 0
	.endm
	STACK "stack-push-beyond", 0x104, SS, push %eax
	STACK "stack-push-wraps", 0, SS, push %eax
	STACK "stack-push-partly-below-zero", 2, SS, push %eax
	STACK "stack-pop-beyond", 0xFD, SS, pop %eax
	STACK "stack-call-beyond", 0x110, SS, call suite_main
	STACK "stack-ret-beyond", 0x100, SS, ret
	STACK "stack-enter", 2, SS, enter $0, $0
	STACK "stack-pusha-partly", 0x10, SS, pusha
	STACK "stack-iret-beyond", 0xF8, SS, iret
	STACK "stack-esp-operand", 0x200, SS, mov (%esp), %eax
	CASE "stack-small-wraps-at-64k"       // B = 0: only SP counts and wraps
	SEGMENT SCRATCH+8, area-0x8000, 0xFFFF, PRESENT | DPL(3) | DATA_RW
	TO_USER
	mov $SCRATCH+8+3, %eax
	mov %eax, %ss
	mov $0x12348004, %esp
	push $0x55AA1234
	mov %esp, %ebx
	pop %ecx
	TO_KERNEL
	RUNS
	EQUAL "esp", %ebx, 0x12348000
	EQUAL "value", %ecx, 0x55AA1234
	EQUAL "memory", area, 0x55AA1234
	CASE "stack-small-leave"              // LEAVE: SP from BP only
	TO_USER
	mov $SCRATCH+8+3, %eax
	mov %eax, %ss
	mov $0x12340000, %esp
	mov $0x98768000, %ebp
	movl $0xAABBCCDD, area
	leave
	mov %esp, %ebx
	TO_KERNEL
	RUNS
	EQUAL "esp", %ebx, 0x12348004
	EQUAL "ebp", %ebp, 0xAABBCCDD
	CASE "stack-push-esp"                 // vol. 2B, PUSH: the value before
	mov %esp, %ebx
	push %esp
	pop %ecx
	sub %ecx, %ebx
	RUNS
	EQUAL "difference", %ebx, 0
	CASE "pop-memory-esp"                 // vol. 2B, POP: the address is computed after the increment
	mov $stack_area + 0x80, %esp
	movl $0x1234, stack_area + 0x80
	movl $0, stack_area + 0x84
	popl (%esp)
	RUNS
	EQUAL "memory", stack_area+0x84, 0x1234

	// Types (§6.5).
	CASE "write-read-only"
	SEGMENT SCRATCH, 0, 0xFFFFF, PRESENT | DATA_RO | GRANULAR | BIG
	mov $SCRATCH, %eax
	mov %eax, %es
9:	incl %es:area
	FAULTS GP, 0
	CASE "cmpxchg-read-only-not-equal"    // vol. 2A, CMPXCHG writes always
	mov $SCRATCH, %eax
	mov %eax, %es
	movl $1, area
	mov $2, %eax
9:	cmpxchg %ecx, %es:area
	FAULTS GP, 0
	CASE "read-execute-only"
	SEGMENT SCRATCH, 0, 0xFFFFF, PRESENT | CODE_X | GRANULAR | BIG
	ljmp $SCRATCH, $1f
1:
9:	mov %cs:area, %eax
	FAULTS GP, 0
	CASE "read-code"
	mov $CODE32, %eax
	mov %eax, %es
	mov %es:area, %eax
	RUNS
	CASE "write-code-through-es"
	mov $CODE32, %eax
	mov %eax, %es
9:	mov %eax, %es:area
	FAULTS GP, 0
	CASE "null-fs"
	xor %eax, %eax
	mov %eax, %fs
9:	mov %fs:area, %eax
	FAULTS GP, 0
	CASE "null-3-loads-and-reads-back"
	mov $3, %eax
	mov %eax, %gs
	mov %gs, %ebx
	RUNS
	EQUAL "gs", %ebx, 3
	CASE "lgs-null-is-no-fault"
	movl $0x12345678, area
	movw $2, area + 4
	lgs area, %ecx
	RUNS
	EQUAL "ecx", %ecx, 0x12345678
	CASE "les-bad-keeps-register"
	movw $0xFF8, area + 4
	mov $7, %ecx
9:	les area, %ecx
	FAULTS GP, 0xFF8
	EQUAL "ecx", %ecx, 7
	CASE "pop-bad-keeps-esp"              // vol. 2B, POP: the register changes only if the load succeeds
	push $0xFF8
	mov %esp, %ebx
9:	pop %es
	FAULTS GP, 0xFF8
	sub events + EVENT_SP, %ebx
	EQUAL "esp", %ebx, 0
	CASE "outward-return-nulls-data"      // vol. 2B, RET: data segments of too much privilege become null
	mov $DATA, %eax
	mov %eax, %es
	mov $USER_DATA, %eax
	mov %eax, %fs
	SEGMENT SCRATCH, 0, 0xFFFFF, PRESENT | CODE_CONFORM | GRANULAR | BIG
	mov $SCRATCH, %eax
	mov %eax, %gs
	push $USER_DATA
	push $user_stack_top
	push $USER_CODE32
	push $1f
	lret
1:	mov %es, %ebx
	mov %fs, %ecx
	mov %gs, %edx
	mov %ds, %esi
	TO_KERNEL
	RUNS
	EQUAL "es", %ebx, 0
	EQUAL "fs", %ecx, USER_DATA
	EQUAL "gs", %edx, SCRATCH
	EQUAL "ds", %esi, 0

	// Conforming code (§6.8.1.2).
	SEGMENT SCRATCH, 0, 0xFFFFF, PRESENT | CODE_CONFORM | GRANULAR | BIG
	SEGMENT SCRATCH+8, 0, 0xFFFFF, PRESENT | DPL(3) | CODE_CONFORM | GRANULAR | BIG
	CASE "conforming-from-user"
	TO_USER
	ljmp $SCRATCH, $1f
1:	mov %cs, %ebx
	TO_KERNEL
	RUNS
	EQUAL "cs", %ebx, SCRATCH+3
	CASE "conforming-keeps-cpl"
	TO_USER
	ljmp $SCRATCH, $1f
1:
9:	hlt
	FAULTS GP, 0
	CASE "conforming-outward"
9:	ljmp $SCRATCH+8, $1f
1:	nop
	FAULTS GP, SCRATCH+8
	CASE "conforming-ignores-rpl"
	ljmp $SCRATCH+3, $1f
1:	mov %cs, %ebx
	RUNS
	ljmp $CODE32, $1f
1:	EQUAL "cs", %ebx, SCRATCH
	CASE "conforming-data-any-privilege"  // §6.6: readable conforming code is loaded whatever CPL and RPL
	TO_USER
	mov $SCRATCH+3, %eax
	mov %eax, %es
	mov %es:area, %eax
	TO_KERNEL
	RUNS

	// Call gates (§6.8.3, §6.8.5). Ring 1 lies between: bad stacks of it are found with a good stack of ring 0.
	SEGMENT 0xC0, 0, 0xFFFFF, PRESENT | DPL(1) | CODE_RX | GRANULAR | BIG
	SEGMENT 0xC8, 0, 0xFFFFF, PRESENT | DPL(1) | DATA_RW | GRANULAR | BIG
	.macro CALL_GATE selector, target, offset, attributes
	CCALL set_call_gate, "$\selector", "$\target", "$\offset", "$(\attributes)"
	.endm
	CASE "call-gate-same-privilege"
	CALL_GATE 0xD0, CODE32, 1f, PRESENT|TYPE_CALL32
	lcall $0xD0, $0x12345678
9:	nop
1:	pop %eax
	pop %ebx
	RUNS
	EQUAL "eip", %eax, 9b
	EQUAL "cs", %ebx, CODE32
	CASE "call-gate-16"
	CALL_GATE 0xD0, CODE32, 1f-0x100000, PRESENT|TYPE_CALL16
	SEGMENT SCRATCH, 0x100000, 0xFFFF, PRESENT | CODE_RX | GRANULAR | BIG
	CALL_GATE 0xD0, SCRATCH, 1f-0x100000, PRESENT|TYPE_CALL16
	mov %esp, %ebp
	lcall $0xD0, $0
1:	sub %esp, %ebp
	ljmp $CODE32, $1f
1:	RUNS
	EQUAL "size", %ebp, 4
	CASE "call-gate-parameters"
	CALL_GATE 0xD0, CODE32, 1f, PRESENT|DPL(3)|TYPE_CALL32|0x300
	TO_USER
	push $0x33333333
	push $0x22222222
	push $0x11111111
	lcall $0xD0, $0
9:	nop
1:	mov %esp, %ebp
	mov (%esp), %eax
	mov 8(%esp), %ebx
	mov 16(%esp), %ecx
	mov 20(%esp), %edx
	mov 24(%esp), %esi
	TO_KERNEL
	RUNS
	EQUAL "new esp", %ebp, kernel_stack_top-28
	EQUAL "eip", %eax, 9b
	EQUAL "first", %ebx, 0x11111111
	EQUAL "third", %ecx, 0x33333333
	EQUAL "old esp", %edx, user_stack_top-12
	EQUAL "old ss", %esi, USER_DATA
	CASE "call-gate-return-discards"      // RET n outward discards on both stacks
	CALL_GATE 0xD0, CODE32, 1f, PRESENT|DPL(3)|TYPE_CALL32|0x200
	TO_USER
	push $2
	push $1
	lcall $0xD0, $0
	mov %esp, %ebx
	mov %cs, %ecx
	TO_KERNEL
	jmp 2f
1:	lret $8
2:	RUNS
	EQUAL "esp", %ebx, user_stack_top
	EQUAL "cs", %ecx, USER_CODE32
	CASE "call-gate-dpl-below-cpl"
	CALL_GATE 0xD0, CODE32, 0, PRESENT|DPL(2)|TYPE_CALL32
	TO_USER
9:	lcall $0xD0, $0
	FAULTS GP, 0xD0
	CASE "call-gate-rpl-above-dpl"
	CALL_GATE 0xD0, CODE32, 0, PRESENT|DPL(2)|TYPE_CALL32
9:	lcall $0xD3, $0
	FAULTS GP, 0xD0
	CASE "call-gate-dpl-before-present"
	CALL_GATE 0xD0, CODE32, 0, DPL(2)|TYPE_CALL32
9:	lcall $0xD3, $0
	FAULTS GP, 0xD0
	CASE "call-gate-not-present"
	CALL_GATE 0xD0, CODE32, 0, TYPE_CALL32
9:	lcall $0xD0, $0
	FAULTS NP, 0xD0
	CASE "call-gate-null"
	CALL_GATE 0xD0, 3, 0, PRESENT|TYPE_CALL32
9:	lcall $0xD0, $0
	FAULTS GP, 0
	CASE "call-gate-outward"              // code of less privilege: #GP(code segment)
	CALL_GATE 0xD0, USER_CODE32, 0, PRESENT|TYPE_CALL32
9:	lcall $0xD0, $0
	FAULTS GP, USER_CODE32_0
	CASE "jmp-call-gate-inward"           // JMP never changes the privilege
	CALL_GATE 0xD0, CODE32, 0, PRESENT|DPL(3)|TYPE_CALL32
	TO_USER
9:	ljmp $0xD0, $0
	FAULTS GP, CODE32
	CASE "call-gate-to-gate"
	CALL_GATE 0xD0, 0xD8, 0, PRESENT|TYPE_CALL32
	CALL_GATE 0xD8, CODE32, 0, PRESENT|TYPE_CALL32
9:	lcall $0xD0, $0
	FAULTS GP, 0xD8
	CASE "call-gate-beyond-code-limit"
	SEGMENT SCRATCH, 0, 0xFFF, PRESENT | CODE_RX | BIG
	CALL_GATE 0xD0, SCRATCH, 0x1000, PRESENT|TYPE_CALL32
9:	lcall $0xD0, $0
	FAULTS GP, 0
	.macro RING_1_STACK name, ss, vector, error
	CASE "\name"
	movl $(\ss), tss + 16
	movl $ring_1_stack, tss + 12
	CALL_GATE 0xD0, 0xC0, 1f, PRESENT|DPL(3)|TYPE_CALL32
	TO_USER
9:	lcall $0xD0, $0
1:	nop
	FAULTS \vector, \error
	.endm
	SEGMENT 0xE0, 0, 0xFFFFF, DPL(1) | DATA_RW | GRANULAR | BIG
	SEGMENT 0xE8, 0, 0xFFFFF, PRESENT | DPL(1) | DATA_RO | GRANULAR | BIG
	SEGMENT 0xF0, ring_1_stack-0x100, 0xFF, PRESENT | DPL(1) | DATA_RW | BIG
	RING_1_STACK "inner-stack-null", 0, TS, 0
	RING_1_STACK "inner-stack-null-rpl-1", 1, TS, 0
	RING_1_STACK "inner-stack-beyond-gdt", 0xFF9, TS, 0xFF8
	RING_1_STACK "inner-stack-rpl-0", 0xC8, TS, 0xC8
	RING_1_STACK "inner-stack-dpl-0", DATA+1, TS, DATA
	RING_1_STACK "inner-stack-dpl-3", USER_DATA_0+1, TS, USER_DATA_0
	RING_1_STACK "inner-stack-read-only", 0xE9, TS, 0xE8
	RING_1_STACK "inner-stack-code", 0xC1, TS, 0xC0
	RING_1_STACK "inner-stack-not-present", 0xE1, SS, 0xE0
	RING_1_STACK "inner-stack-too-small", 0xF1, SS, 0xF0
	CASE "inner-stack-ring-1-good"
	movl $0xC9, tss + 16
	movl $ring_1_stack, tss + 12
	CALL_GATE 0xD0, 0xC0, 1f, PRESENT|DPL(3)|TYPE_CALL32
	TO_USER
	lcall $0xD0, $0
1:	mov %cs, %ebx
	mov %ss, %ecx
	mov %esp, %edx
	TO_KERNEL
	RUNS
	EQUAL "cs", %ebx, 0xC1
	EQUAL "ss", %ecx, 0xC9
	EQUAL "esp", %edx, ring_1_stack-16
	CASE "inner-stack-tss-limit"          // ESP1 at 0Ch, SS1 at 10h: #TS with the selector of TR
	SEGMENT TSS, tss, 0x10, PRESENT | TYPE_TSS32
	mov $TSS, %eax
	ltr %ax
	TO_USER
9:	lcall $0xD0, $0
	FAULTS TS, TSS
	SEGMENT TSS, tss, 0x67, PRESENT | TYPE_TSS32
	RESTORE_TASK

	popa
	ret

	.bss
	.align 64
	.skip 4096                            // what emulators without limits write to
area:
	.skip 8192
stack_area:
	.skip 4096
	.skip 4096
ring_1_stack:
	.section .note.GNU-stack, "", @progbits
