# Demonstration of hardware task switching: state segments, nested tasks, and a task gate that survives a double fault
# (SDM vol. 3A chapter 7).

.include "common.inc"

COMMAND 54, tasks, command_tasks, "task switches through TSS, a double fault in a task gate"

# Fields of a 32-bit TSS (SDM vol. 3A §7.2.1).
.set TSS_LINK, 0
.set TSS_EIP, 32
.set TSS_EFLAGS, 36
.set TSS_ESP, 56
.set TSS_ES, 72
.set TSS_CS, 76
.set TSS_SS, 80
.set TSS_DS, 84
.set TSS_IO_BITMAP, 102

.text
BITS 32
command_tasks:
  pushal
  cli
  HEADING "Tasks"
  SAY "A task state segment (TSS) holds every register of a task that does not run.\n"
  SAY "A far call to its selector saves all registers in one TSS and loads them from\n"
  SAY "another.\n"
  call load_demonstration_gdt
  movl $other_tss, %edi
  movl $other_task, %eax
  movl $TASK_STACK_TOP, %edx
  call build_tss
  movl $fault_tss, %edi
  movl $fault_task, %eax
  movl $FAULT_TASK_STACK_TOP, %edx
  call build_tss
  movl $MAIN_TASK, %eax
  ltr %ax

  SAY "1. This is task "
  strw %ax
  movzwl %ax, %eax
  HEX %eax, 4
  SAY ". It calls task "
  movl $OTHER_TASK, %eax
  HEX %eax, 4
  SAY " three times.\n"
  lcall $OTHER_TASK, $0
  lcall $OTHER_TASK, $0
  lcall $OTHER_TASK, $0
  SAY "   Back in task "
  strw %ax
  movzwl %ax, %eax
  HEX %eax, 4
  SAY ". The access byte of the other is "
  movl $OTHER_TASK, %eax
  call descriptor_access
  HEX %eax, 2
  SAY ": not busy.\n"

  SAY "2. Gate 13 of the IDT is marked absent and gate 8 becomes a task gate. Then we\n"
  SAY "   load a bad selector: #GP cannot be delivered, which is a double fault.\n"
  movb $0x0E, idt + 13 * 8 + 5
  pushl idt + 8 * 8
  pushl idt + 8 * 8 + 4
  movl $(FAULT_TASK << 16), idt + 8 * 8
  movl $0x8500, idt + 8 * 8 + 4           # present task gate
  movl $0x0123, %eax
  movl %eax, %fs
after_double_fault:
  popl idt + 8 * 8 + 4
  popl idt + 8 * 8
  movb $0x8E, idt + 13 * 8 + 5
  SAY "   The fault task changed EIP in our TSS and returned: we go on.\n"
  # Every switch sets CR0.TS, so that the next x87 instruction traps and its registers can be switched too.
  clts
  call load_rom_gdt
  sti
  popal
  ret

# Makes the TSS at EDI start a task at EAX with the stack EDX in this address space. Preserves all registers.
build_tss:
  pushal
  cld
  movl %edi, %ebx
  movl %eax, %esi
  xorl %eax, %eax
  movl $26, %ecx
  rep stosl
  movl %esi, TSS_EIP(%ebx)
  movl %edx, TSS_ESP(%ebx)
  movl $2, TSS_EFLAGS(%ebx)               # bit 1 is always set
  movl $CODE32, TSS_CS(%ebx)
  movl $DATA32, TSS_SS(%ebx)
  movl $DATA32, TSS_DS(%ebx)
  movl $DATA32, TSS_ES(%ebx)
  movw $104, TSS_IO_BITMAP(%ebx)          # beyond the limit: none
  popal
  ret

# The other task. Its registers start as the TSS has them: 0.
other_task:
  incl %ebx
  SAY "   Task "
  strw %ax
  movzwl %ax, %eax
  HEX %eax, 4
  SAY ": back link "
  HEX other_tss+TSS_LINK, 4
  SAY ", EFLAGS.NT "
  pushfl
  popl %eax
  shrl $14, %eax
  andl $1, %eax
  HEX %eax, 1
  SAY ", and EBX, kept in the TSS, counts "
  DECIMAL %ebx
  SAY ".\n"
  iret                                    # with NT set: to the task of the back link
  jmp other_task                          # the next call goes on here

# Takes double faults. The error code, always 0, is on its stack.
fault_task:
  addl $4, %esp
  COLOUR BRIGHT
  SAY "  => vector 8, #DF double fault, in task "
  strw %ax
  movzwl %ax, %eax
  HEX %eax, 4
  SAY "; it struck at "
  HEX main_tss+TSS_CS, 4
  CHARACTER $':'
  HEX main_tss+TSS_EIP
  SAY "\n"
  COLOUR PLAIN
  # A double fault is an abort: the program cannot in general go on. Here we know where it can.
  movl $after_double_fault, main_tss + TSS_EIP
  iret
  jmp fault_task
