// Hardware task switching (SDM vol. 3A chapter 9).
#include "suite.h"

#include "tasks.inc"

	.text
	.globl suite_main
suite_main:
	pusha

	// Descriptors and a new task that begins at label 8 with every register its own.
	.macro TASK_CASE name
	CASE "\name"
	call new_task
	movl $8f, new + EIP
	.endm
	// In the new task, with whatever was compared noted in `seen…`: TR is given back and the case goes on at 7 in the old task's registers.
	.macro BACK_BY_HAND
	mov $DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov case_sp, %esp
	call old_task
	jmp 7f
	.endm

	TASK_CASE "jmp-loads-all"
	ljmp $NEW, $0
	jmp 7f
8:	pusha
	mov %esp, %ebp
	mov %ss:0(%ebp), %eax
	mov %eax, seen + 0
	mov %ss:4(%ebp), %eax
	mov %eax, seen + 4
	mov %ss:12(%ebp), %eax
	mov %eax, seen + 8
	mov %ss:28(%ebp), %eax
	mov %eax, seen + 12
	lea 32(%ebp), %eax
	mov %eax, seen + 16
	str %eax
	mov %eax, seen + 20
	mov %fs, %eax
	mov %eax, seen + 24
	pushf
	pop %eax
	mov %eax, seen + 28
	mov gdt + NEW + 4, %eax
	mov %eax, seen + 32
	mov gdt + TSS + 4, %eax
	mov %eax, seen + 36
	mov %cr0, %eax
	and $CR0_TS, %eax
	mov %eax, seen + 40
	clts
	BACK_BY_HAND
7:	RUNS
	EQUAL "edi", seen, 0x0D0D0D0D
	EQUAL "esi", seen+4, 0x51515151
	EQUAL "esp in pusha", seen+8, task_stack
	EQUAL "eax", seen+12, 0xA0A0A0A0
	EQUAL "esp", seen+16, task_stack
	EQUAL "tr", seen+20, NEW
	EQUAL "fs", seen+24, DATA
	EQUAL "flags", seen+28, (2|FLAG_CF)
	mov seen + 32, %eax
	and $0x200, %eax
	EQUAL "new task busy", %eax, 0x200
	mov seen + 36, %eax
	and $0x200, %eax
	EQUAL "old task busy", %eax, 0        // JMP makes the old task available (§9.3, table 9-2)
	EQUAL "ts", seen+40, CR0_TS

	TASK_CASE "jmp-saves-all"
	mov $0x11111111, %eax
	mov $0x22222222, %ecx
	mov $0x33333333, %edx
	mov $0x44444444, %ebx
	mov $0x55555555, %ebp
	mov $0x66666666, %esi
	mov $0x77777777, %edi
	movl $0xDEADDEAD, tss + LINK
	movl $0xDEADDEAD, tss + TASK_CR3
	ljmp $NEW, $0
9:	jmp 7f
8:	clts
	BACK_BY_HAND
7:	RUNS
	EQUAL "eax", tss+EAX, 0x11111111
	EQUAL "ecx", tss+ECX, 0x22222222
	EQUAL "edx", tss+EDX, 0x33333333
	EQUAL "ebx", tss+EBX, 0x44444444
	EQUAL "ebp", tss+EBP, 0x55555555
	EQUAL "esi", tss+ESI, 0x66666666
	EQUAL "edi", tss+EDI, 0x77777777
	EQUAL "eip", tss+EIP, 9b
	movzwl tss + CS, %eax
	EQUAL "cs", %eax, CODE32
	EQUAL "link untouched", tss+LINK, 0xDEADDEAD
	EQUAL "cr3 untouched", tss+TASK_CR3, 0xDEADDEAD

	TASK_CASE "call-and-iret"             // CALL nests: link, NT, both busy; IRET goes back
	mov $0x12345678, %ebx
	lcall $NEW, $0
9:	jmp 7f
8:	pushf
	pop %eax
	mov %eax, seen
	mov new + LINK, %eax
	mov %eax, seen + 4
	mov gdt + TSS + 4, %eax
	mov %eax, seen + 8
	mov gdt + NEW + 4, %eax
	mov %eax, seen + 12
	clts
	iret
6:	nop
7:	RUNS
	clts
	EQUAL "ebx", %ebx, 0x12345678
	mov seen, %eax
	and $FLAG_NT, %eax
	EQUAL "nt", %eax, FLAG_NT
	movzwl seen + 4, %eax
	EQUAL "link", %eax, TSS
	mov seen + 8, %eax
	and $0x200, %eax
	EQUAL "old task busy", %eax, 0x200
	mov seen + 12, %eax
	and $0x200, %eax
	EQUAL "new task busy", %eax, 0x200
	mov gdt + NEW + 4, %eax
	and $0x200, %eax
	EQUAL "new task busy after iret", %eax, 0
	str %eax
	EQUAL "tr", %eax, TSS
	EQUAL "eip saved by iret", new+EIP, 6b
	mov new + EFLAGS, %eax
	and $FLAG_NT, %eax
	EQUAL "nt saved by iret", %eax, 0     // §9.3: NT is cleared in the image for IRET

	TASK_CASE "call-keeps-nt-of-old-task"
	push $(2 | FLAG_NT)
	popf
	lcall $NEW, $0
	jmp 7f
8:	mov tss + EFLAGS, %eax
	mov %eax, seen
	clts
	iret
7:	pushf
	pop %ebx
	push $2
	popf
	RUNS
	and $FLAG_NT, %ebx
	EQUAL "nt", %ebx, FLAG_NT
	mov seen, %eax
	and $FLAG_NT, %eax
	EQUAL "nt saved", %eax, FLAG_NT

	TASK_CASE "jmp-gate"
	ljmp $TASK_GATE, $0
	jmp 7f
8:	clts
	str %eax
	mov %eax, seen
	BACK_BY_HAND
7:	RUNS
	EQUAL "tr", seen, NEW
	TASK_CASE "int-gate"                  // INT n through a task gate nests like CALL, without an error code
	GATE 0x43, NEW, 0, PRESENT | TYPE_TASK
	int $0x43
9:	jmp 7f
8:	mov %esp, seen
	mov tss + EIP, %eax
	mov %eax, seen + 4
	clts
	iret
7:	RUNS
	EQUAL "esp", seen, task_stack
	EQUAL "eip", seen+4, 9b
	TASK_CASE "exception-gate-error-code" // the error code is pushed on the new task's stack
	GATE GP, NEW, 0, PRESENT | TYPE_TASK
	mov $0xFF8, %eax
9:	mov %eax, %es
	nop
	jmp 7f
8:	pop %eax
	mov %eax, seen
	mov tss + EIP, %eax
	mov %eax, seen + 4
	mov tss + EFLAGS, %eax
	mov %eax, seen + 8
	addl $2, tss + EIP
	clts
	iret
7:	RUNS
	EQUAL "error", seen, 0xFF8
	EQUAL "eip", seen+4, 9b
	mov seen + 8, %eax
	and $FLAG_RF, %eax
	EQUAL "rf in image", %eax, FLAG_RF    // vol. 3B §18.3.1.1 holds for images in a TSS too
	DEFAULT_GATE GP
	TASK_CASE "df-task-gate"              // the usual use: a double fault on a stack that is no good
	GATE DF, NEW, 0, PRESENT | TYPE_TASK
	SEGMENT SCRATCH, user_stack_top-0x1000, 0xF, PRESENT | DATA_RW | BIG
	mov $SCRATCH, %eax
	mov %eax, %ss
	mov $0x10, %esp
	push %eax
	push %eax
	push %eax
	push %eax
	push %eax
8:	pop %eax
	mov %eax, seen
	mov %esp, seen + 4
	clts
	BACK_BY_HAND
7:	RUNS
	EQUAL "error", seen, 0
	EQUAL "esp", seen+4, task_stack
	DEFAULT_GATE DF
	TASK_CASE "user-int-gate-dpl-3"
	GATE 0x43, NEW, 0, PRESENT | DPL(3) | TYPE_TASK
	TO_USER
	int $0x43
	mov %cs, %ebx
	TO_KERNEL
	jmp 7f
8:	clts
	iret
7:	RUNS
	EQUAL "cs", %ebx, USER_CODE32
	DEFAULT_GATE 0x43

	// Faults before the switch belong to the old task (§9.3, §7.15 vector 10).
	TASK_CASE "jmp-busy"
	movb $0x8B, gdt + NEW + 5
8:
9:	ljmp $NEW, $0
	FAULTS GP, NEW
	TASK_CASE "call-own-task"
8:
9:	lcall $TSS, $0
	FAULTS GP, TSS
	TASK_CASE "jmp-not-present"
	movb $0x09, gdt + NEW + 5
8:
9:	ljmp $NEW, $0
	FAULTS NP, NEW
	TASK_CASE "jmp-limit"                 // below 67h: #TS
	SEGMENT NEW, new, 0x66, PRESENT | TYPE_TSS32
8:
9:	ljmp $NEW, $0
	FAULTS TS, NEW
	TASK_CASE "jmp-small-limit"
	SEGMENT SMALL, small, 0x2A, PRESENT | TYPE_TSS16
8:
9:	ljmp $SMALL, $0
	FAULTS TS, SMALL
	TASK_CASE "jmp-dpl-from-user"
	TO_USER
8:
9:	ljmp $NEW, $0
	FAULTS GP, NEW
	TASK_CASE "jmp-rpl"
8:
9:	ljmp $NEW+3, $0
	FAULTS GP, NEW
	TASK_CASE "gate-null"
	CCALL set_call_gate, $TASK_GATE, $0, $0, $(PRESENT | TYPE_TASK)
8:
9:	ljmp $TASK_GATE, $0
	FAULTS GP, 0
	TASK_CASE "gate-to-ldt"
	CCALL set_call_gate, $TASK_GATE, $(NEW + 4), $0, $(PRESENT | TYPE_TASK)
8:
9:	ljmp $TASK_GATE, $0
	FAULTS GP, NEW+4
	TASK_CASE "gate-to-data"
	CCALL set_call_gate, $TASK_GATE, $DATA, $0, $(PRESENT | TYPE_TASK)
8:
9:	ljmp $TASK_GATE, $0
	FAULTS GP, DATA
	TASK_CASE "gate-to-busy"
	movb $0x8B, gdt + NEW + 5
8:
9:	ljmp $TASK_GATE, $0
	FAULTS GP, NEW
	TASK_CASE "gate-not-present"
	CCALL set_call_gate, $TASK_GATE, $NEW, $0, $(TYPE_TASK)
8:
9:	ljmp $TASK_GATE, $0
	FAULTS NP, TASK_GATE
	TASK_CASE "gate-dpl-from-user"
	TO_USER
8:
9:	ljmp $TASK_GATE, $0
	FAULTS GP, TASK_GATE
	TASK_CASE "int-gate-to-busy"
	GATE 0x43, NEW, 0, PRESENT | TYPE_TASK
	movb $0x8B, gdt + NEW + 5
8:
9:	int $0x43
	FAULTS GP, NEW
	TASK_CASE "exception-gate-to-busy"    // EXT
	GATE UD, NEW, 0, PRESENT | TYPE_TASK
	movb $0x8B, gdt + NEW + 5
8:
9:	ud2
	FAULTS GP, NEW+1
	DEFAULT_GATE UD
	DEFAULT_GATE 0x43
	// IRET with NT: the link must name a busy TSS in the GDT: #TS.
	.macro LINK_FAULT name, link, vector, error
	TASK_CASE "\name"
	movl $(\link), tss + LINK
	push $(2 | FLAG_NT)
	popf
8:
9:	iret
	FAULTS \vector, \error
	.endm
	LINK_FAULT "iret-link-not-busy", NEW, TS, NEW
	LINK_FAULT "iret-link-null", 0, TS, 0
	LINK_FAULT "iret-link-in-ldt", 0x8C, TS, 0x8C
	LINK_FAULT "iret-link-data", DATA, TS, DATA
	LINK_FAULT "iret-link-beyond-gdt", 0xFF8, TS, 0xFF8
	CASE "iret-link-not-present"
	call new_task
	movb $0x0B, gdt + NEW + 5
	movl $NEW, tss + LINK
	push $(2 | FLAG_NT)
	popf
9:	iret
	FAULTS NP, NEW

	// Faults after the switch belong to the new task: its EIP and its TR (§9.3, step 12 ff.). Its stack may be what is wrong, so their
	// handlers are tasks of their own, as §7.15 asks for #TS; the fault's frame is the new task's TSS and their back link.
	.macro TASK_FAULTS vector, error, eip=8b
	RUNS
	EQUAL "vector", seen_vector, \vector
	EQUAL "error", seen_error, \error
	EQUAL "task", seen_link, NEW
	EQUAL "eip", new+EIP, \eip
	call reset_handlers
	.endm
	.macro NEW_FAULT name, field, value, vector, error, ss=DATA
	TASK_CASE "\name"
	call task_handlers
	movl $\ss, new + TASK_SS
	movl $\ss, new + DS
	movl $\ss, new + ES
	movl $\ss, new + FS
	movl $\ss, new + GS
	movl $(\value), new + \field
	ljmp $NEW, $0
8:	TASK_FAULTS \vector, \error
	.endm
	SEGMENT ABSENT, 0, 0xFFFFF, DATA_RW | GRANULAR | BIG
	NEW_FAULT "new-cs-null", CS, 0, TS, 0
	NEW_FAULT "new-cs-beyond-gdt", CS, 0xFF8, TS, 0xFF8
	NEW_FAULT "new-cs-data", CS, DATA, TS, DATA
	NEW_FAULT "new-cs-rpl", CS, CODE32+3, TS, CODE32, USER_DATA
	NEW_FAULT "new-ss-null", TASK_SS, 0, TS, 0
	NEW_FAULT "new-ss-beyond-gdt", TASK_SS, 0xFF8, TS, 0xFF8
	NEW_FAULT "new-ss-code", TASK_SS, CODE32, TS, CODE32
	NEW_FAULT "new-ss-rpl", TASK_SS, DATA+3, TS, DATA
	NEW_FAULT "new-ss-dpl", TASK_SS, USER_DATA_0, TS, USER_DATA_0
	NEW_FAULT "new-ss-not-present", TASK_SS, ABSENT, SS, ABSENT
	NEW_FAULT "new-ds-beyond-gdt", DS, 0xFF8, TS, 0xFF8
	NEW_FAULT "new-ds-not-present", DS, ABSENT, NP, ABSENT
	NEW_FAULT "new-es-system", ES, TSS, TS, TSS
	NEW_FAULT "new-gs-beyond-gdt", GS, 0xFFB, TS, 0xFF8
	NEW_FAULT "new-ldt-data", LDT, DATA, TS, DATA
	NEW_FAULT "new-ldt-beyond-gdt", LDT, 0xFF8, TS, 0xFF8
	NEW_FAULT "new-ldt-in-ldt", LDT, 0xC, TS, 0xC
	SEGMENT LDT_SELECTOR, ldt, 0xF, TYPE_LDT
	NEW_FAULT "new-ldt-not-present-is-ts", LDT, LDT_SELECTOR, TS, LDT_SELECTOR
	TASK_CASE "new-eip-beyond-limit"      // #GP(0)
	call task_handlers
	SEGMENT SCRATCH, 0, 0xFFF, PRESENT | CODE_RX | BIG
	movl $SCRATCH, new + CS
	movl $0x1000, new + EIP
	ljmp $NEW, $0
	TASK_FAULTS GP, 0, 0x1000
	TASK_CASE "new-data-null-is-fine"
	movl $0, new + DS
	movl $3, new + ES
	ljmp $NEW, $0
	jmp 7f
8:	clts
	mov %es, %ebx
	mov $DATA, %eax
	mov %eax, %ds
	mov %ebx, seen
	BACK_BY_HAND
7:	RUNS
	EQUAL "es", seen, 3
	// The LDT and the debug trap.
	TASK_CASE "new-ldt"
	SEGMENT LDT_SELECTOR, ldt, 0xF, PRESENT | TYPE_LDT
	movl $0x0000FFFF, ldt + 8
	movl $0x00CF9300, ldt + 12
	movl $LDT_SELECTOR, new + LDT
	movl $0xC, new + ES
	ljmp $NEW, $0
	jmp 7f
8:	clts
	sldt %eax
	mov %eax, seen
	mov %es, %eax
	mov %eax, seen + 4
	mov %es:magic, %eax
	mov %eax, seen + 8
	xor %eax, %eax
	lldt %ax
	BACK_BY_HAND
7:	RUNS
	EQUAL "ldtr", seen, LDT_SELECTOR
	EQUAL "es", seen+4, 0xC
	EQUAL "read", seen+8, 0x600DF00D
	TASK_CASE "trap-bit"                  // §9.2.1, T: #DB before the first instruction, DR6.BT
	movl $1, new + TRAP
	ljmp $NEW, $0
8:	nop
	FAULTS DB, NO_ERROR, 8b
	clts
	call old_task
	EVENT_BITS "bt", 0, EVENT_DR6, 0x8000, 0x8000
	CASE "local-breakpoints-end"          // vol. 3B §18.2.4: a task switch clears L0–L3 and LE
	call new_task
	movl $8f, new + EIP
	mov $0x509, %eax                      // LE, L0 and G1, of an address nobody comes to
	xor %ecx, %ecx
	mov %ecx, %db0
	mov %ecx, %db1
	mov %eax, %db7
	ljmp $NEW, $0
	jmp 7f
8:	clts
	mov %db7, %eax
	mov %eax, seen
	xor %eax, %eax
	mov %eax, %db7
	BACK_BY_HAND
7:	RUNS
	EQUAL "dr7", seen, 0x408

	// A TSS of 16 bits (§9.6): half registers, no FS and GS, no CR3.
	.macro SMALL_IP
	mov $8f, %eax
	sub $0x100000, %eax
	mov %ax, small + 14
	.endm
	TASK_CASE "jmp-16-bit-task"
	SMALL_IP
	mov $0x5A5A5A5A, %ebp
	ljmp $SMALL, $0
	jmp 7f
	.code16
8:	mov $seen, %ebx
	movzwl %ax, %eax
	mov %eax, (%ebx)
	mov %cs, %eax
	mov %eax, 4(%ebx)
	movzwl %sp, %eax
	mov %eax, 8(%ebx)
	ljmpl $CODE32, $6f
	.code32
6:	clts
	BACK_BY_HAND
7:	RUNS
	EQUAL "ax", seen, 0xA0A0
	EQUAL "cs", seen+4, SCRATCH
	EQUAL "sp", seen+8, 0x7000
	EQUAL "ebp saved in the old task", tss+EBP, 0x5A5A5A5A
	TASK_CASE "call-16-bit-task-and-iret"
	SMALL_IP
	mov $0x12345678, %ebx
	lcall $SMALL, $0
	jmp 7f
	.code16
8:	clts
	iretw
	.code32
7:	RUNS
	clts
	EQUAL "ebx", %ebx, 0x12345678
	movzwl small, %eax
	EQUAL "link", %eax, TSS

	// Tasks of virtual-8086 mode (vol. 3B §21.2.4).
	.pushsection .low, "awx"
	.code16
8:	ud2
	.popsection
	.code32
	CASE "jmp-v86-task"
	call new_task
	movl $(2 | FLAG_VM), new + EFLAGS
	movl $0x800, new + CS
	movl $8b - 0x8000, new + EIP
	movl $0x7000, new + ESP
	movl $0, new + TASK_SS
	movl $0x1234, new + DS
	ljmp $NEW, $0
	FAULTS UD, NO_ERROR, 8b-0x8000
	clts
	call old_task
	EVENT "cs", 0, EVENT_CS, 0x800
	EVENT "sp", 0, EVENT_SP, 0x7000
	EVENT_BITS "vm", 0, EVENT_FLAGS, FLAG_VM, FLAG_VM
	EQUAL "ds", kernel_stack_top-12, 0x1234
	.pushsection .low, "awx"
	.code16
8:	int $0x43
	mov %ds, %bx
9:	ud2
	.popsection
	.code32
	CASE "v86-int-task-gate-and-iret"
	call new_task
	GATE 0x43, NEW, 0, PRESENT | DPL(3) | TYPE_TASK
	movl $7f, new + EIP
	push $0
	push $0
	push $0x1234
	push $0
	push $0
	push $0x7000
	push $(2 | FLAG_VM | IOPL(3))
	push $0
	push $8b
	iret
7:	mov tss + EFLAGS, %eax
	mov %eax, seen
	mov tss + DS, %eax
	mov %eax, seen + 4
	clts
	iret
	FAULTS UD
	DEFAULT_GATE 0x43
	movzwl %bx, %ebx
	EQUAL "ds", %ebx, 0x1234
	EVENT_BITS "vm", 0, EVENT_FLAGS, FLAG_VM, FLAG_VM
	mov seen, %eax
	and $FLAG_VM, %eax
	EQUAL "vm saved", %eax, FLAG_VM
	movzwl seen + 4, %eax
	EQUAL "ds saved", %eax, 0x1234
	clts

	// Paging: CR3 is loaded from the new TSS.
	TASK_CASE "new-cr3"
	call paging_on
	mov $directory_2, %eax
	mov %eax, new + TASK_CR3
	movl $directory, tss + TASK_CR3
	movl $0x11, page
	movl $0x22, page_2
	mov 0x40000000, %ebx
	lcall $NEW, $0
	mov 0x40000000, %ecx
	mov %cr3, %esi
	call paging_off
	jmp 7f
8:	mov 0x40000000, %eax
	mov %eax, seen
	mov %cr3, %eax
	mov %eax, seen + 4
	clts
	iret
7:	RUNS
	EQUAL "before", %ebx, 0x11
	EQUAL "in the task", seen, 0x22
	EQUAL "cr3", seen+4, directory_2
	EQUAL "after", %ecx, 0x11
	EQUAL "cr3 after", %esi, directory
	TASK_CASE "new-tss-not-mapped"        // a page fault before the switch
	call paging_on
	SEGMENT NEW, 0x40001000, 0x67, PRESENT | TYPE_TSS32
8:
9:	ljmp $NEW, $0
	FAULTS PF, 0
	call paging_off
	EVENT "cr2", 0, EVENT_CR2, 0x40001000

	popa
	ret

	.section .note.GNU-stack, "", @progbits
