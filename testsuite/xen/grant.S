# Two paravirtual Xen guests that share a page: one gives it, the other takes it, and an event channel rings the bell.
#
# Both are this program; the command line says which one a domain is, and the number of the other domain: "give 2", "take 1".
#
#   giver                                               taker
#   makes a port that the taker may bind
#   writes a message into a page of its own
#   grants the page: a line in its grant table          maps the grant (again and again until it is there)
#   waits for an event on its port                      prints the message, writes an answer into the page
#                                                       unmaps the page, binds the port, sends an event
#   prints the answer, takes the grant back
#
# Nothing else connects them: neither can name a frame of the other's, only a number in the other's grant table. The reference and the
# port are fixed here, where real guests tell each other by xenstore. See hello.S for how a guest begins, prints and ends.
#
# Sources: xen/include/public/xen.h, grant_table.h, event_channel.h, sched.h.

	.set	HYPERVISOR_update_va_mapping, 14
	.set	HYPERVISOR_grant_table_op, 20
	.set	HYPERVISOR_sched_op, 29
	.set	HYPERVISOR_event_channel_op, 32
	.set	GNTTABOP_map_grant_ref, 0
	.set	GNTTABOP_unmap_grant_ref, 1
	.set	GNTTABOP_setup_table, 2
	.set	EVTCHNOP_bind_interdomain, 0
	.set	EVTCHNOP_send, 4
	.set	EVTCHNOP_alloc_unbound, 6
	.set	SCHEDOP_yield, 0
	.set	SCHEDOP_shutdown, 2
	.set	SCHEDOP_poll, 3
	.set	DOMID_SELF, 0x7ff0
	.set	GNTMAP_host_map, 2
	.set	GTF_permit_access, 1
	.set	UVMF_INVLPG, 2
	# struct start_info
	.set	START_INFO_CONSOLE_MFN, 72
	.set	START_INFO_CONSOLE_EVTCHN, 80
	.set	START_INFO_MFN_LIST, 104
	.set	START_INFO_CMD_LINE, 128
	# struct xencons_interface
	.set	CONSOLE_OUT, 1024
	.set	CONSOLE_OUT_CONS, 3080
	.set	CONSOLE_OUT_PROD, 3084
	.set	MACHINE_TO_PHYSICAL, 0xffff800000000000
	# Both sides know these: the first references belong to Xen's own pages; the first two ports are the console's and xenstore's.
	.set	REFERENCE, 8
	.set	PORT, 3
	.set	BASE, 0x100000

	.section .note, "a", @note
	.macro	note type, value:vararg
	.long	4, 2f - 1f, \type
	.asciz	"Xen"
1:	\value
2:	.balign	4
	.endm
	note	6, .asciz "grant"		# XEN_ELFNOTE_GUEST_OS
	note	8, .asciz "generic"		# XEN_ELFNOTE_LOADER
	note	5, .asciz "xen-3.0"		# XEN_ELFNOTE_XEN_VERSION
	note	3, .quad 0			# XEN_ELFNOTE_VIRT_BASE
	note	1, .quad start			# XEN_ELFNOTE_ENTRY

	# A hypercall with a sub-operation and the address of a structure; one structure, where the call takes an array.
	.macro	hypercall number, operation, structure
	mov	$\operation, %edi
	lea	\structure(%rip), %rsi
	mov	$1, %edx
	mov	$\number, %eax
	syscall
	.endm

	.text
	.globl	start
start:					# RSI: start_info; RSP: a stack
	mov	%rsi, %rbx
	mov	START_INFO_CONSOLE_MFN(%rbx), %rax
	movabs	$MACHINE_TO_PHYSICAL, %rcx
	mov	(%rcx,%rax,8), %rbp	# the console's pseudo-physical frame
	shl	$12, %rbp		# and so its address
	mov	START_INFO_CONSOLE_EVTCHN(%rbx), %eax
	mov	%eax, console_port(%rip)

	movzbl	START_INFO_CMD_LINE + 5(%rbx), %r12d
	sub	$'0', %r12d		# the other domain
	cmpb	$'g', START_INFO_CMD_LINE(%rbx)
	jne	take

# The giver

give:	mov	%r12w, unbound_remote(%rip)
	hypercall HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, unbound

	# The grant table is a page of the hypervisor's. It says which machine frame; the guest maps it where it likes.
	hypercall HYPERVISOR_grant_table_op, GNTTABOP_setup_table, setup
	mov	$table, %edi
	mov	table_frame(%rip), %rsi
	shl	$12, %rsi
	or	$0x67, %rsi		# present, writable, user, accessed, dirty
	mov	$UVMF_INVLPG, %edx
	mov	$HYPERVISOR_update_va_mapping, %eax
	syscall

	# The message, and the machine frame that it is in: start_info has the list.
	mov	$page, %edi
	lea	message(%rip), %rsi
	mov	$message_end - message, %ecx
	rep movsb
	mov	START_INFO_MFN_LIST(%rbx), %rax
	mov	$page, %ecx
	shr	$12, %ecx
	mov	(%rax,%rcx,8), %rcx

	# struct grant_entry_v1: { flags u16, domid u16, frame u32 }. The flags come last: they make it a grant.
	mov	%ecx, table + REFERENCE * 8 + 4
	mov	%r12w, table + REFERENCE * 8 + 2
	movw	$GTF_permit_access, table + REFERENCE * 8

	hypercall HYPERVISOR_sched_op, SCHEDOP_poll, poll
	mov	$page, %esi
	call	print
	# Nobody has the page mapped any more, or the hypervisor would have set bits beside this one.
	lock andw $~GTF_permit_access, table + REFERENCE * 8
	jmp	end

# The taker

take:	mov	%r12w, map_giver(%rip)
	mov	%r12w, bind_remote(%rip)
	hypercall HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, map
	cmpw	$0, map_status(%rip)
	je	1f
	call	yield			# no grant there yet
	jmp	take

1:	mov	$window, %esi
	call	print
	mov	$window, %edi
	lea	answer(%rip), %rsi
	mov	$answer_end - answer, %ecx
	rep movsb

	mov	map_handle(%rip), %eax
	mov	%eax, unmap_handle(%rip)
	hypercall HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, unmap
	hypercall HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain, bind
	hypercall HYPERVISOR_event_channel_op, EVTCHNOP_send, bind_local

end:	mov	CONSOLE_OUT_CONS(%rbp), %eax
	cmp	CONSOLE_OUT_PROD(%rbp), %eax
	je	1f
	call	yield			# until all of the text was taken
	jmp	end
1:	hypercall HYPERVISOR_sched_op, SCHEDOP_shutdown, reason
	ud2				# does not come back

yield:	hypercall HYPERVISOR_sched_op, SCHEDOP_yield, reason
	ret

# Text at RSI, up to a zero, into the console's ring.
print:	mov	CONSOLE_OUT_PROD(%rbp), %edx
1:	lodsb
	test	%al, %al
	jz	2f
	mov	%edx, %edi
	and	$2047, %edi
	mov	%al, CONSOLE_OUT(%rbp,%rdi)
	inc	%edx
	jmp	1b
2:	mov	%edx, CONSOLE_OUT_PROD(%rbp)
	hypercall HYPERVISOR_event_channel_op, EVTCHNOP_send, console_port
	ret

	.data
message: .asciz	"The page says: a message.\r\n"
message_end:
answer:	.asciz	"The page says: an answer.\r\n"
answer_end:

	.balign	8
unbound:				# struct evtchn_alloc_unbound
	.short	DOMID_SELF
unbound_remote:
	.short	0
	.long	0			# out: the port, PORT
setup:					# struct gnttab_setup_table
	.short	DOMID_SELF, 0
	.long	1			# frames
	.quad	0			# out: status
	.quad	table_frame		# list of frames
table_frame:
	.quad	0
map:					# struct gnttab_map_grant_ref
	.quad	window
	.long	GNTMAP_host_map, REFERENCE
map_giver:
	.short	0
map_status:
	.short	0
map_handle:
	.long	0
	.quad	0
unmap:					# struct gnttab_unmap_grant_ref
	.quad	window, 0
unmap_handle:
	.long	0
	.short	0, 0
bind:					# struct evtchn_bind_interdomain
bind_remote:
	.short	0, 0
	.long	PORT
bind_local:
	.long	0			# out: the port at this end
poll:					# struct sched_poll
	.quad	poll_port
	.long	1, 0
	.quad	0			# no timeout
poll_port:
	.long	PORT
console_port:
	.long	0
reason:	.long	0			# SHUTDOWN_poweroff

	.balign	4096
page:	.skip	4096			# the giver's, which is granted
table:	.skip	4096			# where the giver maps its grant table
window:	.skip	4096			# where the taker maps the page
