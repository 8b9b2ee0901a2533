# Demonstration of privilege: a program in ring 3, what it may not do, and how it asks ring 0 (SDM vol. 3A §5.8, §6.12.1).

.include "common.inc"

COMMAND 53, rings, command_rings, "ring 3: forbidden instructions, system call, call gate"

# What INT 30h does for ring 3, by EAX.
.set SERVICE_PRINT, 0                   # string at ESI
.set SERVICE_HEX, 1                     # EBX in ECX digits
.set SERVICE_EXPECT, 2                  # the next fault resumes at EBX
.set SERVICE_REPORT, 3                  # tells what fault came

.macro USER_SAY text:vararg
  .pushsection .rodata.text, "a"
  .Luser\@: .ascii \text
  .byte 0
  .popsection
  movl $.Luser\@, %esi
  movl $SERVICE_PRINT, %eax
  int $SERVICE_VECTOR
.endm

.macro USER_HEX value, digits=8
  movl \value, %ebx
  movl $\digits, %ecx
  movl $SERVICE_HEX, %eax
  int $SERVICE_VECTOR
.endm

.macro USER_EXPECT label
  movl $\label, %ebx
  movl $SERVICE_EXPECT, %eax
  int $SERVICE_VECTOR
.endm

.macro USER_REPORT
  movl $SERVICE_REPORT, %eax
  int $SERVICE_VECTOR
.endm

.text
BITS 32
command_rings:
  pushal
  cli
  HEADING "Ring 3"
  SAY "A program that must not harm the system runs in ring 3. It gets segments of\n"
  SAY "privilege 3 and pages with the U/S bit; all others belong to ring 0.\n"
  call load_demonstration_gdt
  call build_page_tables

  # Gates that ring 3 may use with INT (EEh: DPL 3).
  movb $0xEE, %cl
  movl $SERVICE_VECTOR, %eax
  movl $service_entry, %edx
  call set_gate
  movl $LEAVE_VECTOR, %eax
  movl $leave_entry, %edx
  call set_gate

  # The task state segment tells where ring 0's stack is. No I/O permission bitmap: its offset is beyond the limit.
  movl $DATA32, main_tss + 8
  movl %esp, %eax
  subl $64, %eax                          # what is above stays for the way back
  movl %eax, main_tss + 4
  movw $104, main_tss + 102
  movl $MAIN_TASK, %eax
  ltr %ax
  movl %esp, ring0_stack
  call paging_on

  # There is no jump outwards: an interrupt return with a made-up frame does it.
  movl $USER_DATA, %eax
  movl %eax, %ds
  movl %eax, %es
  pushl %eax
  pushl $(USER_STACK_PAGE + 0x1000)
  pushl $0x202                            # interrupts on, IOPL 0
  pushl $USER_CODE
  pushl $user_program
  iret

# INT 31h from ring 3: back in command_rings, with its stack.
leave_entry:
  movl $DATA32, %eax
  movl %eax, %ds
  movl %eax, %es
  movl ring0_stack, %esp
  call paging_off
  call load_rom_gdt
  SAY "INT 31 ended it: back in ring 0.\n"
  sti
  popal
  ret

# INT 30h from ring 3: the system call. The interrupt gate has turned interrupts off.
service_entry:
  pushl %ds
  pushl %es
  pushal
  movl $DATA32, %edx
  movl %edx, %ds
  movl %edx, %es
  cmpl $SERVICE_REPORT, %eax
  ja 1f
  call *services(, %eax, 4)
1:
  popal
  popl %es
  popl %ds
  iret

service_hex:
  movl %ebx, %eax
  call put_hex32
  ret

service_expect:
  movl $-1, fault_vector
  movl %ebx, fault_resume
  ret

# The call gate leads here: ring 0 with ring 0's stack, onto which the processor has copied the two parameters.
.global gate_entry
gate_entry:
  movl 8(%esp), %eax
  imull 12(%esp), %eax
  movl %cs, %edx
  lretl $8

# ---- Ring 3.
user_program:
  USER_SAY "1. In ring 3: CS = "
  movl %cs, %edi
  USER_HEX %edi, 4
  USER_SAY ", and its two lowest bits are the ring. These words were\n"
  USER_SAY "   printed by INT 30: through a gate open to ring 3, to ring 0 and its stack.\n"

  USER_SAY "2. CLI, for a program without the right to stop interrupts:\n"
  USER_EXPECT 1f
  cli
1:
  USER_REPORT

  USER_SAY "3. OUT to port 80, with IOPL 0 and no I/O permission bitmap:\n"
  USER_EXPECT 1f
  outb %al, $0x80
1:
  USER_REPORT

  USER_SAY "4. INT 20 is a gate for hardware, DPL 0:\n"
  USER_EXPECT 1f
  int $IRQ_BASE
1:
  USER_REPORT

  USER_SAY "5. Reading a page of ring 0 (error bit 2: from ring 3):\n"
  USER_EXPECT 1f
  movl SECRET_PAGE, %eax
1:
  USER_REPORT

  USER_SAY "6. A call gate with two parameters: 6 * 7 is "
  pushl $7
  pushl $6
  lcall $CALL_GATE, $0
  movl %edx, %edi
  USER_HEX %eax, 2
  USER_SAY " hex, done with CS = "
  USER_HEX %edi, 4
  USER_SAY ".\n"
  int $LEAVE_VECTOR

.section .rodata, "a"
.balign 4
services: .long put_string32, service_hex, service_expect, report_fault32

.bss
.balign 4
ring0_stack: .long 0
