// Accesses with more to them than one page and one privilege: across pages, to descriptor tables, to stacks of other privileges, and
// the implicit ones (SDM vol. 3A §5.6.1, §5.7, §7.5).
#include "suite.h"

	.set FIRST, 0x40000000               // its page table is `table`
	.set SECOND, 0x40001000
#define RW 7                           // present, writable, user
#define RO 5
#define SUPERVISOR 3

	.text
	.globl suite_main
suite_main:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	movl $(directory + 7), page_pointers + 8
	movl $(table + 7), directory
	LOAD_CR0_BITS CR0_WP

	// The pages at FIRST and SECOND.
	.macro PAGES first, second
	movq $(page_1 + \first), table
	.if \second
	movq $(page_2 + \second), table + 8
	.else
	movq $0, table + 8
	.endif
	mov %cr3, %rax
	mov %rax, %cr3
	.endm

	// ---- Across two pages, of which the second faults: nothing is written, CR2 is the first byte that faults.
	.macro ACROSS name, back, error, second, instruction:vararg
	CASE "\name"
	PAGES RW, \second
	movabs $0x1111111111111111, %rax
	.irp at, 0xFD0, 0xFD8, 0xFE0, 0xFE8, 0xFF0, 0xFF8
	mov %rax, page_1 + \at
	.endr
	movabs $0x2222222222222222, %rax
	mov $SECOND-\back, %ebx
9:	\instruction
	FAULTS PF, \error
	EVENT "cr2", 0, EVENT_CR2, SECOND
	movabs $0x1111111111111111, %rdx
	xor %ecx, %ecx
	.irp at, 0xFD0, 0xFD8, 0xFE0, 0xFE8, 0xFF0, 0xFF8
	mov page_1 + \at, %rsi
	xor %rdx, %rsi
	or %rsi, %rcx
	.endr
	EQUAL "memory changed", %rcx, 0
	.endm
	ACROSS "write-word", 1, 2, 0, mov %ax, (%rbx)
	ACROSS "write-dword", 3, 2, 0, mov %eax, (%rbx)
	ACROSS "write-qword", 4, 2, 0, mov %rax, (%rbx)
	ACROSS "write-qword-one-byte", 7, 2, 0, mov %rax, (%rbx)
	ACROSS "write-read-only", 4, 3, RO, mov %rax, (%rbx)
	ACROSS "read-modify-write-read-only", 4, 3, RO, addq $1, (%rbx)
	ACROSS "lock-read-modify-write", 4, 3, RO, lock addq $1, (%rbx)
	ACROSS "xchg", 4, 3, RO, xchg %rax, (%rbx)
	ACROSS "cmpxchg8b", 4, 3, RO, lock cmpxchg8b (%rbx)
	ACROSS "movups", 8, 2, 0, movups %xmm0, (%rbx)
	ACROSS "fstpl", 4, 2, 0, fstl (%rbx)
	ACROSS "fstpt", 2, 2, 0, fstpt (%rbx)
	ACROSS "movbe", 4, 2, 0, movbe %rax, (%rbx)
	ACROSS "pop-memory", 4, 2, 0, popq (%rbx)
	ACROSS "fisttp", 4, 2, 0, fisttpll (%rbx)
	ACROSS "read-qword", 4, 0, 0, mov (%rbx), %rax
	ACROSS "read-movups", 8, 0, 0, movups (%rbx), %xmm0
	ACROSS "read-fldt", 2, 0, 0, fldt (%rbx)
	fninit
	CASE "push-across"
	PAGES RW, 0
	movq $0x11111111, page_1 + 0xFF8
	mov $SECOND + 4, %esp
9:	push %rax
	FAULTS PF, 2
	EVENT "cr2", 0, EVENT_CR2, SECOND
	EVENT "rsp", 0, EVENT_SP, SECOND+4
	EQUAL "memory", page_1+0xFF8, 0x11111111
	CASE "enter-restarts"                 // a later push of ENTER faults: RSP and RBP stay
	PAGES RW, RW
	movq $0, table
	mov %cr3, %rax
	mov %rax, %cr3
	mov $SECOND + 8, %esp
	mov $SECOND + 0x100, %ebp
9:	enter $0, $4
	FAULTS PF, 2
	EVENT "rsp", 0, EVENT_SP, SECOND+8
	EQUAL "rbp", %rbp, SECOND+0x100
	CASE "rep-movsq-stops-at-the-page"
	PAGES RW, 0
	mov $SECOND - 20, %edi
	mov $area, %esi
	mov $8, %ecx
9:	rep movsq
	FAULTS PF, 2
	EQUAL "rcx", %rcx, 6
	EQUAL "rdi", %rdi, SECOND-4
	EQUAL "rsi", %rsi, area+16
	CASE "rep-stosb-down-to-the-page"
	PAGES RW, RW
	movq $0, table
	mov %cr3, %rax
	mov %rax, %cr3
	mov $SECOND + 3, %edi
	mov $8, %ecx
	std
9:	rep stosb
	FAULTS PF, 2
	EQUAL "rcx", %rcx, 4
	EQUAL "rdi", %rdi, SECOND-1
	CASE "rep-cmpsb-flags-of-the-iterations-before"
	PAGES RW, 0
	movl $0x41414141, page_1 + 0xFFC
	mov $SECOND - 4, %edi
	mov $letters, %esi
	mov $8, %ecx
9:	repe cmpsb
	FAULTS PF, 0
	EQUAL "rcx", %rcx, 4
	EVENT_BITS "zf", 0, EVENT_FLAGS, FLAG_ZF, FLAG_ZF
	CASE "rep-insb-faults-at-the-page"
	PAGES RW, 0
	mov $SECOND - 2, %edi
	mov $0x80, %edx
	mov $4, %ecx
9:	rep insb
	FAULTS PF, 2
	EQUAL "rcx", %rcx, 2
	CASE "cmpxchg16b-misaligned-is-gp"
	PAGES RW, RW
	mov $SECOND - 8, %ebx
9:	lock cmpxchg16b (%rbx)
	FAULTS GP, 0
	CASE "fetch-across"
	PAGES RW, 0
	movb $0xB8, page_1 + 0xFFE            // MOV EAX, imm32
	mov $SECOND - 2, %eax
	jmp *%rax
	FAULTS PF, 0, SECOND-2
	EVENT "cr2", 0, EVENT_CR2, SECOND
	CASE "write-to-read-only-user"
	PAGES RO, RO
	TO_USER
	mov $FIRST, %ebx
9:	incl (%rbx)
	FAULTS PF, 7

	// ---- Descriptor tables: accesses to them are the supervisor's, whatever CPL is (§5.6: implicit supervisor-mode accesses).
	.macro LDT_AT address, limit
	SEGMENT SCRATCH, \address, \limit, PRESENT | TYPE_LDT
	movq $0, gdt + SCRATCH + 8
	mov $SCRATCH, %eax
	lldt %ax
	.endm
	.macro LDT_ENTRY access
	movl $0x0000FFFF, page_1 + 8
	movl $(0x00CF0000 | \access << 8), page_1 + 12
	.endm
	CASE "descriptor-in-supervisor-page-from-user"
	PAGES SUPERVISOR, 0
	LDT_AT FIRST, 0xFFF
	LDT_ENTRY (PRESENT|DPL(3)|DATA_RW)
	TO_USER
	mov $0xF, %eax
	mov %eax, %es
	mov %es, %ebx
	TO_KERNEL
	RUNS
	EQUAL "es", %rbx, 0xF
	CASE "descriptor-not-mapped-from-user"        // U/S of the error code is 0
	movq $0, table
	mov %cr3, %rax
	mov %rax, %cr3
	TO_USER
	mov $0xF, %eax
9:	mov %eax, %es
	FAULTS PF, 0
	EVENT "cr2", 0, EVENT_CR2, FIRST+8
	EVENT "cs", 0, EVENT_CS, USER_CODE64
	CASE "descriptor-read-only-and-accessed"      // no write is needed
	PAGES 1, 0
	LDT_ENTRY (PRESENT|DPL(3)|DATA_RW)
	mov $0xF, %eax
	mov %eax, %es
	RUNS
	CASE "descriptor-read-only-not-accessed"      // the accessed bit must be set: a write
	PAGES 1, 0
	LDT_ENTRY (PRESENT|DPL(3)|0x12)
	mov $0xF, %eax
9:	mov %eax, %es
	FAULTS PF, 3
	CASE "descriptor-lar-writes-nothing"
	mov $0xF, %eax
	lar %eax, %ebx
	setz %cl
	RUNS
	movzbl %cl, %ecx
	EQUAL "zf", %rcx, 1
	CASE "descriptor-lar-page-fault"
	movq $0, table
	mov %cr3, %rax
	mov %rax, %cr3
	mov $0xF, %eax
9:	lar %eax, %ebx
	FAULTS PF, 0
	CASE "descriptor-across-pages"
	PAGES SUPERVISOR, 0
	LDT_AT (FIRST+4), 0x1FFF
	mov $0xFFF, %eax                      // index 1FFh: at FIRST + FFCh
9:	mov %eax, %es
	FAULTS PF, 0
	EVENT "cr2", 0, EVENT_CR2, SECOND

	// The suite's own memory in supervisor pages, for SMAP, and back.
	.macro SUPERVISOR_PAGES
	andb $~4, page_directory
	LOAD_CR4_BITS CR4_SMAP
	mov %cr3, %rax
	mov %rax, %cr3
	.endm
	.macro USER_PAGES
	CLEAR_CR4_BITS CR4_SMAP
	orb $4, page_directory
	mov %cr3, %rax
	mov %rax, %cr3
	.endm
	// SMAP concerns implicit accesses even with AC set (§5.6.1).
	.macro SMAP_CASE name, flags
	CASE "\name"
	PAGES RW, 0
	LDT_AT FIRST, 0xFFF
	LDT_ENTRY (PRESENT|DPL(3)|DATA_RW)
	SUPERVISOR_PAGES
	mov $0xF, %eax
	push $(2 | \flags)
	popf
9:	mov %eax, %es
	FAULTS PF, 1
	USER_PAGES
	EVENT "cr2", 0, EVENT_CR2, FIRST+8
	.endm
	SMAP_CASE "smap-descriptor", 0
	SMAP_CASE "smap-descriptor-with-ac", FLAG_AC
	CASE "smap-data-with-ac"
	SUPERVISOR_PAGES
	stac
	mov FIRST, %rax
	clac
	RUNS
	USER_PAGES
	CASE "smap-data-without-ac"
	SUPERVISOR_PAGES
9:	mov FIRST, %rax
	FAULTS PF, 1
	USER_PAGES
	CASE "ud-stac-user"                   // vol. 2B, STAC: #UD at CPL > 0
	TO_USER
9:	stac
	FAULTS UD
	CASE "stack-of-the-gate-not-mapped"
	movq $0x40003000, tss + 4
	GATE 0x43, CODE64, 0, PRESENT | DPL(3) | TYPE_INT32
	TO_USER
9:	int $0x43
	FAULTS PF, 2
	EVENT "cr2", 0, EVENT_CR2, 0x40002FF8
	movq $kernel_stack_top, tss + 4
	DEFAULT_GATE 0x43
	xor %eax, %eax
	lldt %ax

	CLEAR_CR0_BITS CR0_WP
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	.data
letters:
	.ascii "AAAAAAAA"
	.bss
	.align 4096
directory:
	.skip 4096
table:
	.skip 4096
page_1:
	.skip 4096
page_2:
	.skip 4096
area:
	.skip 4096
	.section .note.GNU-stack, "", @progbits
