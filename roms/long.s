# Demonstration of long mode: four-level paging, 64-bit registers, SSE2, exceptions (SDM vol. 3A §4.5, §6.14, §9.8.5).

.include "common.inc"
.include "faults.inc"

COMMAND 55, long, command_long, "long mode: 64-bit registers, four-level paging, SSE2"

.set EFER, 0xC0000080
.set EFER_LME, 1 << 8
.set CR4_PAE, 1 << 5
.set CR4_SSE, 1 << 9 | 1 << 10          # OSFXSR, OSXMMEXCPT
.set CR0_PG, 1 << 31
.set CR0_MP_EM_TS, 0x0E

.set PML4, LONG_TABLES
.set LOW_PDPT, LONG_TABLES + 0x1000
.set LOW_DIRECTORY, LONG_TABLES + 0x2000
.set HIGH_PDPT, LONG_TABLES + 0x3000
.set HIGH_DIRECTORY, LONG_TABLES + 0x4000
.set HIGH_TABLE, LONG_TABLES + 0x5000
.set PRESENT_WRITABLE, 3
.set LARGE, 0x80
# Entry 256 of the PML4 begins the upper half of the address space.
.set UPPER_HALF, 0xFFFF800000000000

.text
BITS 32
command_long:
  HEADING "Long mode"
  testl $(1 << 29), cpu_features_e
  jnz 1f
  SAY "This processor has no long mode: CPUID does not report it in leaf 80000001.\n"
  ret
1:
  pushal
  cli
  SAY "64-bit mode needs paging with four levels of tables. They are built, and then:\n"
  SAY "CR4.PAE, CR3, EFER.LME, CR0.PG, and a jump to a code segment with the L bit.\n"
  call build_long_tables
  call build_long_idt
  .arch i586
  movl %cr4, %eax
  orl $(CR4_PAE | CR4_SSE), %eax
  movl %eax, %cr4
  movl $PML4, %eax
  movl %eax, %cr3
  movl $EFER, %ecx
  rdmsr
  orl $EFER_LME, %eax
  wrmsr
  movl %cr0, %eax
  andl $~CR0_MP_EM_TS, %eax               # SSE needs EM = 0; without TS nothing needs MP
  orl $CR0_PG, %eax
  movl %esp, long_stack
  movl %eax, %cr0
  ljmpl $CODE64, $long_demonstration

# Back in a 32-bit segment, now in compatibility mode. Clearing PG leaves long mode, then the rest is put back.
compatibility:
  movl %cr0, %eax
  andl $~CR0_PG, %eax
  movl %eax, %cr0
  movl $EFER, %ecx
  rdmsr
  andl $~EFER_LME, %eax
  wrmsr
  movl %cr4, %eax
  andl $~(CR4_PAE | CR4_SSE), %eax
  movl %eax, %cr4
  .arch i386
  xorl %eax, %eax
  movl %eax, %cr3
  lidtl idt_pointer
  SAY "PG and LME are clear: back in 32-bit protected mode.\n"
  sti
  popal
  ret

# The first GiB maps to itself in pages of 2 MiB; the first 4 KiB page of the upper half shows ALIASED_PAGE.
build_long_tables:
  cld
  movl $LONG_TABLES, %edi
  movl $(6 * 1024), %ecx
  xorl %eax, %eax
  rep stosl
  movl $(LOW_PDPT | PRESENT_WRITABLE), PML4
  movl $(LOW_DIRECTORY | PRESENT_WRITABLE), LOW_PDPT
  movl $LOW_DIRECTORY, %edi
  movl $(PRESENT_WRITABLE | LARGE), %eax
1:
  movl %eax, (%edi)
  addl $8, %edi
  addl $0x200000, %eax
  cmpl $0x40000000, %eax
  jb 1b
  movl $(HIGH_PDPT | PRESENT_WRITABLE), PML4 + 256 * 8
  movl $(HIGH_DIRECTORY | PRESENT_WRITABLE), HIGH_PDPT
  movl $(HIGH_TABLE | PRESENT_WRITABLE), HIGH_DIRECTORY
  movl $(ALIASED_PAGE | PRESENT_WRITABLE), HIGH_TABLE
  ret

# Gates of 16 bytes (SDM vol. 3A §6.14.1); the upper half of the addresses is 0.
build_long_idt:
  xorl %ecx, %ecx
  movl $long_idt, %edi
1:
  movl fault_table64(, %ecx, 4), %eax
  movw %ax, (%edi)
  movw $CODE64, 2(%edi)
  movw $0x8E00, 4(%edi)
  shrl $16, %eax
  movw %ax, 6(%edi)
  movl $0, 8(%edi)
  movl $0, 12(%edi)
  addl $16, %edi
  incl %ecx
  cmpl $32, %ecx
  jb 1b
  ret

# ---- 64-bit code.
BITS 64
fault_entries 64
fault_report 64

# Stack from RSP up, with RAX pushed: RAX, vector, error code, RIP, CS, RFLAGS, RSP, SS.
fault_common64:
  pushq %rax
  movl 8(%rsp), %eax
  movl %eax, fault_vector
  movl 16(%rsp), %eax
  movl %eax, fault_error
  movq 24(%rsp), %rax
  movq %rax, fault_pointer
  movl 32(%rsp), %eax
  movl %eax, fault_selector
  movq %cr2, %rax
  movq %rax, fault_address
  xorl %eax, %eax
  xchgl fault_resume, %eax
  testl %eax, %eax
  jnz 1f
  SAY "Unexpected exception:\n"
  call report_fault64
  movl $leave_long_mode, %eax
1:
  movq %rax, 24(%rsp)
  popq %rax
  addq $16, %rsp
  iretq

long_demonstration:
  movl %esp, %esp                         # the upper half was undefined in 32-bit code
  lidtq long_idt_pointer
  SAY "In 64-bit mode: EFER = "
  movl $EFER, %ecx
  rdmsr
  HEX %eax
  SAY " (LMA is bit 10), CR3 = "
  movq %cr3, %rax
  call put_hex_quad
  SAY ".\n"

  SAY "1. There are 16 registers of 64 bits. R9 = R8 = "
  movabsq $0xFEDCBA9876543210, %r8
  movq %r8, %r9
  movq %r8, %rax
  call put_hex_quad
  SAY ";\n   R8 * R9 = "
  mulq %r9
  xchgq %rdx, %rax
  call put_hex_quad
  xchgq %rdx, %rax
  call put_hex_quad
  SAY ", 128 bits.\n"

  SAY "2. Address "
  movabsq $UPPER_HALF, %rbx
  leaq 8(%rbx), %rax
  call put_hex_quad
  SAY " is walked through four tables:\n   PML4 entry 256 = "
  movq PML4 + 256 * 8, %rax
  HEX %eax
  SAY ", then "
  movq HIGH_PDPT, %rax
  HEX %eax
  SAY ", "
  movq HIGH_DIRECTORY, %rax
  HEX %eax
  SAY ", page "
  movq HIGH_TABLE, %rax
  HEX %eax
  SAY ".\n   CAFE64 written there is found at "
  movl $0x00CAFE64, 8(%rbx)
  movl $(ALIASED_PAGE + 8), %eax
  HEX %eax
  SAY ": "
  movl (%rax), %eax
  HEX %eax, 6
  SAY ".\n"

  SAY "3. SSE2 adds two doubles at once: 0.5 + 1.5 + ... + 7.5 = "
  xorpd %xmm0, %xmm0
  movl $4, %ecx
  leaq halves(%rip), %rsi                 # 64-bit code finds its data relative to RIP
1:
  addpd (%rsi), %xmm0
  addq $16, %rsi
  decl %ecx
  jnz 1b
  movapd %xmm0, %xmm1
  unpckhpd %xmm1, %xmm1
  addsd %xmm1, %xmm0
  cvttsd2si %xmm0, %eax
  DECIMAL %eax
  SAY ".\n"

  SAY "4. Nothing is mapped at FFFF800000123456. Reading it:\n"
  EXPECT_FAULT 1f
  movb 0x123456(%rbx), %al
1:
  call report_fault64

  SAY "5. Bits 63-47 of an address must be equal. 0000800000000000 is not canonical:\n"
  EXPECT_FAULT 1f
  movabsq $0x0000800000000000, %rdx
  movb (%rdx), %al
1:
  call report_fault64

  SAY "6. PUSHA is gone in 64-bit mode (as are segment limits and task switches):\n"
  EXPECT_FAULT 1f
  .byte 0x60
1:
  call report_fault64

leave_long_mode:
  movl long_stack, %esp
  pushq $CODE32
  pushq $compatibility
  lretq

.section .rodata, "a"
.balign 16
halves: .double 0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5
long_idt_pointer:
  .word 32 * 16 - 1
  .quad long_idt

.bss
.balign 16
long_idt: .skip 32 * 16
long_stack: .long 0
