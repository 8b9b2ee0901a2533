# Exceptions in 32-bit code: expected ones are noted, repaired or skipped; any other brings back the prompt.

.include "common.inc"
.include "faults.inc"

.text
BITS 32
fault_entries 32
fault_report 32

# Stack from ESP up: the registers of PUSHAL, ES, DS, vector, error code, EIP, CS, EFLAGS (and ESP, SS of a ring 3 program).
.set FRAME_VECTOR, 40
.set FRAME_ERROR, 44
.set FRAME_EIP, 48
.set FRAME_CS, 52

fault_common32:
  pushl %ds
  pushl %es
  pushal
  cld
  movl $DATA32, %eax                      # ring 3's segments are not ours
  movl %eax, %ds
  movl %eax, %es
  movl FRAME_VECTOR(%esp), %eax
  movl %eax, fault_vector
  movl FRAME_ERROR(%esp), %eax
  movl %eax, fault_error
  movl FRAME_EIP(%esp), %eax
  movl %eax, fault_pointer
  movl FRAME_CS(%esp), %eax
  movl %eax, fault_selector
  movl %cr2, %eax
  movl %eax, fault_address

  # A repair removes the cause: the instruction runs again.
  xorl %eax, %eax
  xchgl fault_repair, %eax
  testl %eax, %eax
  jz 1f
  call *%eax
  jmp 2f
1:
  xorl %eax, %eax
  xchgl fault_resume, %eax
  testl %eax, %eax
  jz unexpected
  movl %eax, FRAME_EIP(%esp)
2:
  popal
  popl %es
  popl %ds
  addl $8, %esp
  iret

unexpected:
  SAY "\nUnexpected exception:\n"
  call report_fault32
  # Whatever a demonstration was doing, the shell needs its own tables, paging off and an empty stack.
  movl %cr0, %eax
  andl $0x7FFFFFFF, %eax
  movl %eax, %cr0
  lgdtl gdt_pointer
  lidtl idt_pointer
  ljmpl $CODE32, $1f
1:
  movl $DATA32, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %fs
  movl %eax, %gs
  movl %eax, %ss
  movl $STACK_TOP, %esp
  sti
  jmp prompt

.section .rodata, "a"
.global exception_names, reserved_name
exception_names:
  .asciz "#DE divide error"
  .asciz "#DB debug exception"
  .asciz "NMI"
  .asciz "#BP breakpoint"
  .asciz "#OF overflow"
  .asciz "#BR bound range exceeded"
  .asciz "#UD invalid opcode"
  .asciz "#NM device not available"
  .asciz "#DF double fault"
  .asciz "coprocessor segment overrun"
  .asciz "#TS invalid TSS"
  .asciz "#NP segment not present"
  .asciz "#SS stack-segment fault"
  .asciz "#GP general protection"
  .asciz "#PF page fault"
reserved_name:
  .asciz "reserved"
  .asciz "#MF x87 floating-point error"
  .asciz "#AC alignment check"
  .asciz "#MC machine check"
  .asciz "#XM SIMD floating-point exception"
  .byte 0

.bss
.global fault_vector, fault_error, fault_selector, fault_pointer, fault_address, fault_resume, fault_repair
.balign 8
fault_pointer: .quad 0
fault_address: .quad 0              # CR2
fault_vector: .long 0               # -1 while none has come
fault_error: .long 0
fault_selector: .long 0
fault_resume: .long 0               # where to go on after one exception, or 0
fault_repair: .long 0               # what to call before the instruction runs again, or 0
