# A Xen guest with page tables of its own (PVH): it turns on paging and 64-bit mode, looks at what the processor notes in its tables, and
# changes one of them.
#
# Nothing here knows of shadow page tables: the guest's tables are memory of its own, full of its own physical addresses. But the
# processor does not walk them while it can help it; it walks the hypervisor's, which say the same with the machine's addresses. What that
# took stands in the hypervisor's messages when the guest ends (`xenolith create --trace FILE` tells every step).
#
# Sources: docs/misc/pvh.pandoc, xen/include/public/elfnote.h, hvm/params.h, io/console.h; SDM vol. 3A §5.5.

	.set	HYPERVISOR_sched_op, 29
	.set	HYPERVISOR_event_channel_op, 32
	.set	HYPERVISOR_hvm_op, 34
	.set	SCHEDOP_yield, 0
	.set	SCHEDOP_shutdown, 2
	.set	EVTCHNOP_send, 4
	.set	HVMOP_get_param, 1
	.set	HVM_PARAM_CONSOLE_PFN, 17
	.set	HVM_PARAM_CONSOLE_EVTCHN, 18
	.set	DOMID_SELF, 0x7ff0
	.set	CONSOLE_OUT, 1024
	.set	CONSOLE_OUT_CONS, 3080
	.set	CONSOLE_OUT_PROD, 3084
	# Bits of table entries
	.set	TABLE, 7			# present, writable, user
	.set	LARGE, 0x80
	.set	WINDOW, 0x400000		# an address that one page table of its own maps

	.section .note, "a", @note
	.macro	note type, value:vararg
	.long	4, 2f - 1f, \type
	.asciz	"Xen"
1:	\value
2:	.balign	4
	.endm
	note	18, .long start			# XEN_ELFNOTE_PHYS32_ENTRY

	.text
	.code32
	.globl	start
start:					# protected mode, flat segments, no paging; EBX: struct hvm_start_info
	# The first 2 MiB and those of the console are one large page each; the window has a table of 4 KiB pages.
	movl	$directory_pointers + TABLE, root
	movl	$directory + TABLE, directory_pointers
	movl	$console_directory + TABLE, directory_pointers + 3*8
	movl	$TABLE + LARGE, directory
	movl	$window_table + TABLE, directory + 2*8
	movl	$0xfee00000 + TABLE + LARGE, console_directory + 0x1f7*8
	movl	$first + TABLE, window_table

	mov	$0x20, %eax		# CR4.PAE
	mov	%eax, %cr4
	mov	$root, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx	# IA32_EFER.LME
	rdmsr
	or	$0x100, %eax
	wrmsr
	mov	$0x80000001, %eax	# CR0.PG, CR0.PE
	mov	%eax, %cr0
	lgdt	gdt_register
	ljmp	$8, $long_mode

	.code64
long_mode:
	xor	%eax, %eax
	mov	%eax, %ss
	mov	%eax, %ds
	mov	%eax, %es
	lea	stack_end(%rip), %rsp

	# The console's page and port, by hypercalls.
	mov	$HVM_PARAM_CONSOLE_PFN, %ecx
	call	parameter
	shl	$12, %rax
	mov	%rax, %rbp
	mov	$HVM_PARAM_CONSOLE_EVTCHN, %ecx
	call	parameter
	mov	%eax, port(%rip)

	lea	text_on(%rip), %rsi
	call	print

	mov	WINDOW, %al		# a read
	lea	text_read(%rip), %rsi
	call	show
	movb	$'B', second(%rip)
	movb	$'C', WINDOW		# a store
	mov	WINDOW, %al
	lea	text_written(%rip), %rsi
	call	show

	# Another page: the processor may go on with what it knows until it is told.
	movq	$second + TABLE, window_table(%rip)
	invlpg	WINDOW
	mov	WINDOW, %al
	lea	text_changed(%rip), %rsi
	call	show

	mov	$SCHEDOP_shutdown, %edi
	lea	reason(%rip), %rsi
	mov	$HYPERVISOR_sched_op, %eax
	vmcall
	ud2				# does not come back

# Prints RSI, the byte in AL, and the accessed and dirty bits that the processor has set in the window's entry.
show:
	push	%rax
	call	print
	pop	%rax
	mov	%al, text_byte(%rip)
	mov	window_table(%rip), %rax
	mov	%eax, %ecx
	shr	$5, %eax
	and	$1, %al
	add	$'0', %al
	mov	%al, text_accessed(%rip)
	shr	$6, %ecx
	and	$1, %cl
	add	$'0', %cl
	mov	%cl, text_dirty(%rip)
	lea	text_bits(%rip), %rsi
	jmp	print

# ECX: number of a parameter. RAX: its value.
parameter:
	movw	$DOMID_SELF, argument(%rip)
	mov	%ecx, argument + 4(%rip)
	mov	$HVMOP_get_param, %edi
	lea	argument(%rip), %rsi
	mov	$HYPERVISOR_hvm_op, %eax
	vmcall
	mov	argument + 8(%rip), %rax
	ret

# Prints the text at RSI by the ring in the console's page, and waits until it is taken.
print:
	mov	CONSOLE_OUT_PROD(%rbp), %edx
1:	lodsb
	test	%al, %al
	jz	2f
	mov	%edx, %edi
	and	$2047, %edi
	mov	%al, CONSOLE_OUT(%rbp,%rdi)
	inc	%edx
	jmp	1b
2:	mov	%edx, CONSOLE_OUT_PROD(%rbp)
	mov	$EVTCHNOP_send, %edi
	lea	port(%rip), %rsi
	mov	$HYPERVISOR_event_channel_op, %eax
	vmcall
3:	mov	CONSOLE_OUT_CONS(%rbp), %eax
	cmp	CONSOLE_OUT_PROD(%rbp), %eax
	je	4f
	mov	$SCHEDOP_yield, %edi
	mov	$HYPERVISOR_sched_op, %eax
	vmcall
	jmp	3b
4:	ret

	.data
text_on:	.asciz	"Paging is on, by tables of the guest's own.\r\n"
text_read:	.asciz	"After a read   "
text_written:	.asciz	"After a store  "
text_changed:	.asciz	"After a change "
text_bits:	.ascii	"the window shows "
text_byte:	.ascii	"?, accessed "
text_accessed:	.ascii	"?, dirty "
text_dirty:	.asciz	"?.\r\n"
	.balign	8
argument:	.quad	0, 0
gdt:		.quad	0, 0x00af9b000000ffff	# 64-bit code
gdt_register:	.word	15
		.long	gdt
port:		.long	0
reason:		.long	0			# SHUTDOWN_poweroff

	.balign	4096
first:		.fill	4096, 1, 'A'
second:		.fill	4096, 1, 0

	.bss
	.balign	4096
root:			.skip	4096
directory_pointers:	.skip	4096
directory:		.skip	4096
console_directory:	.skip	4096
window_table:		.skip	4096
stack:			.skip	4096
stack_end:
