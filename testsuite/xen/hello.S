# A paravirtual Xen guest that says hello: the smallest kernel that `xenolith create` starts.
#
# It has no interrupt handlers, no page tables of its own and no stack but the one it was given. It shows how a guest tells the
# hypervisor what it is (ELF notes), where it finds what it was given (start_info), and how it calls the hypervisor: by SYSCALL with a
# number in RAX and arguments in RDI, RSI, RDX, R10, R8, R9. Its kernel runs in ring 3, and says so.
#
# Sources: xen/include/public/xen.h, elfnote.h, sched.h, event_channel.h, io/console.h.

	.set	HYPERVISOR_console_io, 18
	.set	HYPERVISOR_sched_op, 29
	.set	HYPERVISOR_event_channel_op, 32
	.set	SCHEDOP_yield, 0
	.set	SCHEDOP_shutdown, 2
	.set	EVTCHNOP_send, 4
	# struct start_info
	.set	START_INFO_PAGES, 32
	.set	START_INFO_CONSOLE_MFN, 72
	.set	START_INFO_CONSOLE_EVTCHN, 80
	# struct xencons_interface
	.set	CONSOLE_OUT, 1024
	.set	CONSOLE_OUT_CONS, 3080
	.set	CONSOLE_OUT_PROD, 3084
	# The hypervisor's read-only table: which of its own frames has the guest at a machine frame?
	.set	MACHINE_TO_PHYSICAL, 0xffff800000000000
	.set	BASE, 0x100000

	.section .note, "a", @note
	.macro	note type, value:vararg
	.long	4, 2f - 1f, \type
	.asciz	"Xen"
1:	\value
2:	.balign	4
	.endm
	note	6, .asciz "hello"		# XEN_ELFNOTE_GUEST_OS
	note	8, .asciz "generic"		# XEN_ELFNOTE_LOADER
	note	5, .asciz "xen-3.0"		# XEN_ELFNOTE_XEN_VERSION
	note	3, .quad 0			# XEN_ELFNOTE_VIRT_BASE
	note	1, .quad start			# XEN_ELFNOTE_ENTRY

	.text
	.globl	start
start:					# RSI: start_info; RSP: a stack
	mov	%rsi, %rbx
	mov	%cs, %eax		# the privilege this code runs with
	and	$3, %al
	add	%al, ring(%rip)

	# The console: a page whose machine frame start_info names. The first page tables map pseudo-physical memory from address 0 on.
	mov	START_INFO_CONSOLE_MFN(%rbx), %rax
	movabs	$MACHINE_TO_PHYSICAL, %rcx
	mov	(%rcx,%rax,8), %rbp	# pseudo-physical frame
	shl	$12, %rbp		# and so its address

	lea	text(%rip), %rsi
	mov	$text_end - text, %ecx
	mov	CONSOLE_OUT_PROD(%rbp), %edx
1:	lodsb
	mov	%edx, %edi
	and	$2047, %edi		# the ring has 2048 bytes
	mov	%al, CONSOLE_OUT(%rbp,%rdi)
	inc	%edx
	loop	1b
	mov	%edx, CONSOLE_OUT_PROD(%rbp)

	# Whoever reads the console is told by its event channel.
	mov	START_INFO_CONSOLE_EVTCHN(%rbx), %eax
	mov	%eax, port(%rip)
	mov	$EVTCHNOP_send, %edi
	lea	port(%rip), %rsi
	mov	$HYPERVISOR_event_channel_op, %eax
	syscall

	# Until all of it was taken.
2:	mov	CONSOLE_OUT_CONS(%rbp), %eax
	cmp	CONSOLE_OUT_PROD(%rbp), %eax
	je	3f
	mov	$SCHEDOP_yield, %edi
	mov	$HYPERVISOR_sched_op, %eax
	syscall
	jmp	2b

3:	mov	$SCHEDOP_shutdown, %edi
	lea	reason(%rip), %rsi
	mov	$HYPERVISOR_sched_op, %eax
	syscall
	ud2				# does not come back

	.data
text:	.ascii	"Hello from a paravirtual guest. Its kernel runs in ring "
ring:	.ascii	"0.\r\n"
text_end:
	.balign	4
port:	.long	0
reason:	.long	0			# SHUTDOWN_poweroff
