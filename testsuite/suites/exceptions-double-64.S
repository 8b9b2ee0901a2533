// Faults during the delivery of exceptions, and the order of the faults of one instruction (SDM vol. 3A tables 7-2 and 7-5).
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

	// Which fault during the delivery of which gives a double fault (SDM vol. 3A table 7-5). The delivery of \first fails because its gate
	// is not present (np) or no gate (gp), or its stack is not canonical (ss) or not mapped (pf).
	.macro SECOND_np vector
	GATE \vector, CODE64, 0, TYPE_INT32
	.endm
	.macro SECOND_gp vector
	GATE \vector, CODE64, 0, PRESENT
	.endm
	.macro SECOND_ss vector
	GATE \vector, CODE64, 0, PRESENT | TYPE_INT32 | 0x700
	movabs $0x800000000000, %rax
	mov %rax, tss + 84
	.endm
	.macro SECOND_pf vector
	GATE \vector, CODE64, 0, PRESENT | TYPE_INT32 | 0x700
	movq $0x40001000, tss + 84
	.endm
	.macro RAISE_ud
	ud2
	.endm
	.macro RAISE_db
	.byte 0xF1
	.endm
	.macro RAISE_nm
	LOAD_CR0_BITS CR0_TS
	fld1
	.endm
	.macro RAISE_mf
	fninit
	movw $0x37B, area
	fldcw area
	fld1
	fldz
	fdivrp
	fwait
	.endm
	.macro RAISE_ac
	LOAD_CR0_BITS CR0_AM
	TO_USER
	pushf
	orl $FLAG_AC, (%rsp)
	popf
	mov area + 1, %eax
	.endm
	.macro RAISE_xm
	movl $0x1F00, area                    // invalid operation unmasked
	ldmxcsr area
	xorps %xmm0, %xmm0
	divss %xmm0, %xmm0
	.endm
	.macro RAISE_de
	xor %ecx, %ecx
	div %ecx
	.endm
	.macro RAISE_np
	SEGMENT SCRATCH, 0, 0xFFFFF, DATA_RW | GRANULAR
	mov $SCRATCH, %eax
	mov %eax, %es
	.endm
	.macro RAISE_ss
	movabs $0x800000000000, %rbp
	mov (%rbp), %eax
	.endm
	.macro RAISE_gp
	mov $0xFF8, %eax
	mov %eax, %es
	.endm
	.macro RAISE_pf
	mov 0x40000000, %eax
	.endm
	.macro COMBINE first, vector, second, want, error
	CASE "\first-then-\second"
	SECOND_\second \vector
	RAISE_\first
	FAULTS \want, \error, ANYWHERE
	CLEAR_CR0_BITS CR0_TS | CR0_AM
	fninit
	movl $0x1F80, area
	ldmxcsr area
	DEFAULT_GATE \vector
	.endm
	.macro BENIGN first, vector
	COMBINE \first, \vector, np, NP, IDT_ERROR(\vector)+1
	COMBINE \first, \vector, gp, GP, IDT_ERROR(\vector)+1
	COMBINE \first, \vector, ss, SS, 1
	COMBINE \first, \vector, pf, PF, 2
	.endm
	.macro CONTRIBUTORY first, vector
	.ifnc \first,np
	COMBINE \first, \vector, np, DF, 0
	.endif
	.ifnc \first,gp
	COMBINE \first, \vector, gp, DF, 0
	.endif
	.ifnc \first,ss
	COMBINE \first, \vector, ss, DF, 0
	.endif
	COMBINE \first, \vector, pf, PF, 2
	.endm
	BENIGN ud, UD
	BENIGN nm, NM
	BENIGN mf, MF
	BENIGN xm, XM
	BENIGN ac, AC
	BENIGN db, DB
	CONTRIBUTORY de, DE
	CONTRIBUTORY np, NP
	CONTRIBUTORY ss, SS
	CONTRIBUTORY gp, GP
	COMBINE pf, PF, np, DF, 0
	COMBINE pf, PF, gp, DF, 0
	COMBINE pf, PF, ss, DF, 0
	COMBINE pf, PF, pf, DF, 0
	CASE "int-n-then-pf"                  // software interrupts are benign
	GATE 0x43, CODE64, 0, PRESENT | TYPE_INT32 | 0x700
	movq $0x40001000, tss + 84
9:	int $0x43
	FAULTS PF, 2
	EVENT "cr2", 0, EVENT_CR2, 0x40000FF8
	DEFAULT_GATE 0x43

	// The order of faults of one instruction (table 7-2): decoding, then privilege and availability, then memory.
	FAULT "order-lock-before-page-fault", UD, NO_ERROR, .byte 0xF0, 0x89, 0x04, 0x25, 0, 0, 0, 0x40
	CASE "order-nm-before-page-fault"
	LOAD_CR0_BITS CR0_TS
9:	fldl 0x40000000
	FAULTS NM
	CASE "order-sse-nm-before-page-fault"
	LOAD_CR0_BITS CR0_TS
9:	movups 0x40000000, %xmm0
	FAULTS NM
	clts
	CASE "order-mf-before-page-fault"
	fninit
	movw $0x37B, area
	fldcw area
	fld1
	fldz
	fdivrp
9:	fldl 0x40000000
	FAULTS MF
	fninit
	USER_FAULT "order-privilege-before-page-fault", GP, 0, lgdt 0x40000000
	USER_FAULT "order-invlpg-privilege", GP, 0, invlpg 0x40000000
	CASE "order-fetch-before-decoding"    // the instruction's second byte is not mapped: #PF, whatever it might be
	movb $0x0F, 0x3FFFFFFF
	mov $0x3FFFFFFF, %eax
	jmp *%rax
	FAULTS PF, 0, 0x3FFFFFFF
	EVENT "cr2", 0, EVENT_CR2, 0x40000000
	CASE "order-canonical-before-page"
	movabs $0x7FFFFFFFFFFD, %rbx
9:	mov (%rbx), %rax
	FAULTS GP, 0
	CASE "order-gate-privilege-before-target"
	GATE 0x43, 0xFF8, 0, TYPE_INT32
	TO_USER
9:	int $0x43
	FAULTS GP, IDT_ERROR(0x43)
	CASE "order-gate-present-before-target"
9:	int $0x43
	FAULTS NP, IDT_ERROR(0x43)
	DEFAULT_GATE 0x43

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
	.skip 4096
	.section .note.GNU-stack, "", @progbits
