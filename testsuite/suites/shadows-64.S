// What MOV SS, POP SS and STI hold back, and what they do not (SDM vol. 2B, MOV, POP, STI; vol. 3A §7.8.1, §7.8.3). An interrupt waits in
// the local APIC; RIP in its frame says where it came.
#include "suite.h"

#define VECTOR 0x91
#define SPURIOUS 0xEF
#define APIC 0xFEE00000

	.text
	.globl suite_main
suite_main:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	call map_devices_here
	movl $(0x100 | SPURIOUS), 0xF0(%r15)  // SVR: enabled
	movl $0x10700, 0x350(%r15)            // LINT0 and LINT1 masked
	movl $0x10400, 0x360(%r15)

	// Begins a case with an interrupt to come when IF is set; R15 is the APIC's address.
	.macro PENDING name
	CASE "\name"
	MOV $end_interrupt, event_hook
	call map_devices_here
	movl $(0x44000 | VECTOR), 0x300(%r15)
1:	testl $(1 << (VECTOR & 31)), 0x200 + (VECTOR / 32 * 16)(%r15)
	jz 1b
	mov $DATA, %eax
	push %rax
	.endm
	.macro COMES count=1
	cli
	RUNS_WITH_EVENTS
	EQUAL "events", event_count, \count
	.if \count
	EVENT "vector", 0, EVENT_VECTOR, VECTOR
	EVENT "ip", 0, EVENT_IP, 9b
	.else
	sti
	nop
	nop
	cli
	.endif
	.endm

	PENDING "sti-shadow"                  // interrupts are off for one more instruction
	sti
	nop
9:	nop
	nop
	COMES
	PENDING "sti-cli"
	sti
	cli
	nop
	COMES 0
	PENDING "sti-with-if-set-has-no-shadow"
	sti
	sti
9:	nop
	nop
	COMES
	PENDING "sti-hlt"
	sti
	hlt
9:	nop
	COMES
	PENDING "sti-ret"                     // the pattern of vol. 2B, STI: the return is still protected
	push $9f
	sti
	ret
	nop
9:	nop
	COMES
	PENDING "popf-has-no-shadow"
	pushf
	orl $FLAG_IF, (%rsp)
	popf
9:	nop
	nop
	COMES
	PENDING "iret-has-no-shadow"
	mov %rsp, %rbx
	push $DATA
	push %rbx
	push $(2 | FLAG_IF)
	push $CODE64
	push $9f
	iretq
9:	nop
	nop
	COMES
	PENDING "mov-ss-shadow"
	pushf
	orl $FLAG_IF, (%rsp)
	cli
	mov $DATA, %eax
	mov %eax, %ss
	popf                                  // the instruction behind MOV SS: interrupts come behind it
9:	nop
	nop
	COMES
	// STI with MOV SS behind it is left out: of such a sequence only the first is sure to hold back (vol. 2B, STI).
	PENDING "sti-mov-ds"
	sti
	mov %eax, %ds
9:	nop
	nop
	COMES
	PENDING "sti-lss"                     // LSS has no shadow
	mov %rsp, area
	movw $DATA, area + 8
	sti
	.byte 0x48
	lss area, %esp
9:	nop
	nop
	COMES
	PENDING "mov-ss-cr8"                  // behind MOV SS the interrupt that MOV to CR8 lets in waits for one instruction
	mov $9, %ecx
	mov %rcx, %cr8
	sti
	nop
	xor %ecx, %ecx
	mov %eax, %ss
	mov %rcx, %cr8
9:	nop
	nop
	COMES
	PENDING "cr8-lets-in-at-once"
	mov $9, %ecx
	mov %rcx, %cr8
	sti
	nop
	xor %ecx, %ecx
	mov %rcx, %cr8
9:	nop
	nop
	COMES
	PENDING "cli-in-time"
	cli
	nop
	COMES 0
	PENDING "fault-in-shadow"             // a fault is not held back, and the interrupt waits for IF of its handler's frame
	MOV $end_fault, event_hook
	sti
8:	ud2
9:	nop
	nop
	cli
	RUNS_WITH_EVENTS
	EVENT "first", 0, EVENT_VECTOR, UD
	EVENT "first ip", 0, EVENT_IP, 8b
	EVENT "second", 1, EVENT_VECTOR, VECTOR
	EVENT "second ip", 1, EVENT_IP, 9b
	PENDING "sti-rep-zero"
	xor %ecx, %ecx
	mov $area, %edi
	sti
	rep stosb
9:	nop
	nop
	COMES
	PENDING "sti-rep-is-interrupted-behind-first-iteration-at-the-earliest"
	mov $area, %edi
	mov $100, %ecx
	sti
9:	rep stosb
8:	nop
	nop
	cli
	RUNS_WITH_EVENTS
	EQUAL "events", event_count, 1
	EQUAL "rcx", %rcx, 0
	EQUAL "rdi", %rdi, area+100
	CASE "mov-ss-fault-has-no-shadow"
	mov $0xFF8, %eax
9:	mov %eax, %ss
	FAULTS GP, 0xFF8
	CASE "mov-ss-holds-single-step"
	mov $DATA, %eax
	pushf
	orl $FLAG_TF, (%rsp)
	popf
	mov %eax, %ss
	nop
9:	nop
	FAULTS DB

	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	// R15: the local APIC, which the fourth GiB's large pages reach.
map_devices_here:
	mov $APIC, %r15d
	movl $(device_directory + 7), page_pointers + 24
	movl $(APIC & 0xFFE00000) + 0x9F, device_directory + (APIC >> 21 & 511) * 8
	ret

	// Event hooks: end the interrupt, and go back.
end_interrupt:
	cmpq $SPURIOUS, 15 * 8(%rdi)          // vol. 3A §12.9: counts for nothing
	jne 1f
	decq event_count
	mov $1, %eax
	ret
1:	mov $APIC, %eax
	movl $0, 0xB0(%rax)
	mov $1, %eax
	ret
end_fault:
	mov $APIC, %eax
	cmpq $UD, 15 * 8(%rdi)
	jne 1f
	addq $2, 17 * 8(%rdi)                 // over UD2
	mov $1, %eax
	ret
1:	movl $0, 0xB0(%rax)
	mov $1, %eax
	ret

	.bss
	.align 4096
device_directory:
	.skip 4096
area:
	.skip 4096
	.section .note.GNU-stack, "", @progbits
