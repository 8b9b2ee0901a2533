# What the processor is: by CPUID, or without it by what it can do with EFLAGS (SDM vol. 1 §20.1, vol. 2A CPUID).

.include "common.inc"

COMMAND 20, cpu, command_cpu, "the processor and its features"

.set EFLAGS_AC, 1 << 18
.set EFLAGS_ID, 1 << 21

.text
BITS 32

# Fills in the variables below. CPUID's features stay 0 on a processor without CPUID.
.global identify_processor
identify_processor:
  pushal
  movl $EFLAGS_AC, %eax
  call can_toggle
  movb %al, is_486
  movl $EFLAGS_ID, %eax
  call can_toggle
  movb %al, has_cpuid
  testb %al, %al
  jz 2f

  .arch i586
  xorl %eax, %eax
  cpuid
  movl %eax, last_leaf
  movl %ebx, vendor
  movl %edx, vendor+4
  movl %ecx, vendor+8
  testl %eax, %eax
  jz 2f
  movl $1, %eax
  cpuid
  movl %eax, signature
  movl %edx, cpu_features
  movl %ecx, cpu_features_2
  cmpl $7, last_leaf
  jb 1f
  movl $7, %eax
  xorl %ecx, %ecx
  cpuid
  movl %ebx, cpu_features_7
1:
  movl $0x80000000, %eax
  cpuid
  movl %eax, last_extended_leaf
  cmpl $0x80000001, %eax
  jb 2f
  cmpl $0x8000FFFF, %eax                  # what an old processor answers need not be a leaf number
  ja 2f
  movl $0x80000001, %eax
  cpuid
  movl %edx, cpu_features_e
  movl %ecx, cpu_features_e2
  cmpl $0x80000004, last_extended_leaf
  jb 2f
  movl $brand, %edi
  movl $0x80000002, %esi
1:
  movl %esi, %eax
  cpuid
  movl %eax, (%edi)
  movl %ebx, 4(%edi)
  movl %ecx, 8(%edi)
  movl %edx, 12(%edi)
  addl $16, %edi
  incl %esi
  cmpl $0x80000005, %esi
  jb 1b
  .arch i386
2:
  popal
  ret

# Returns 1 in AL if the EFLAGS bits in EAX can be changed, else 0.
can_toggle:
  pushl %ecx
  pushfl
  popl %ecx
  xorl %ecx, %eax
  pushl %eax
  popfl
  pushfl
  popl %eax
  pushl %ecx
  popfl
  xorl %ecx, %eax
  setnz %al
  movzbl %al, %eax
  popl %ecx
  ret

# One line about the processor. Preserves all registers.
.global show_processor
show_processor:
  pushal
  SAY "Processor: "
  cmpb $0, has_cpuid
  jne 2f
  cmpb $0, is_486
  jne 1f
  SAY "386, no CPUID"
  jmp 4f
1:
  SAY "486, no CPUID"
  jmp 4f
2:
  movl $brand, %esi
  cmpb $0, (%esi)
  je 3f
1: # some brand strings begin with spaces
  cmpb $' ', (%esi)
  jne 2f
  incl %esi
  jmp 1b
2:
  call put_string32
  jmp 4f
3:
  movl $vendor, %esi
  call put_string32
  call decode_signature
  SAY " family "
  DECIMAL %ebx
  SAY " model "
  DECIMAL %ecx
4:
  testl $(1 << 29), cpu_features_e
  jz 5f
  SAY ", 64-bit"
  jmp 6f
5:
  SAY ", 32-bit"
6:
  SAY "\n"
  popal
  ret

# Returns family in EBX, model in ECX, stepping in EDX (SDM vol. 2A, CPUID, figure 3-6).
decode_signature:
  movl signature, %eax
  movl %eax, %edx
  andl $15, %edx
  movl %eax, %ecx
  shrl $4, %ecx
  andl $15, %ecx
  movl %eax, %ebx
  shrl $8, %ebx
  andl $15, %ebx
  cmpl $6, %ebx                           # the extended model counts from family 6 on
  jb 1f
  shrl $12, %eax
  andl $0xF0, %eax
  orl %eax, %ecx
1:
  cmpl $15, %ebx
  jne 2f
  movl signature, %eax
  shrl $20, %eax
  andl $0xFF, %eax
  addl %eax, %ebx
2:
  ret

command_cpu:
  call show_processor
  SAY "At reset EDX held "
  HEX reset_signature
  SAY ": family "
  movl reset_signature, %eax
  shrl $8, %eax
  HEX %eax, 1
  SAY "; EAX held "
  HEX reset_self_test
  cmpl $0, reset_self_test
  jne 1f
  SAY ": the self-test passed"
1:
  SAY ".\n"
  # An x87 unit clears its status word at FNINIT; without one the word stays as it is (SDM vol. 3A §9.2.1).
  movw $0x5A5A, scratch
  .arch .387
  fninit
  fnstsw scratch
  .arch i386
  cmpb $0, scratch
  je 1f
  SAY "There is no x87 unit.\n"
  jmp 2f
1:
  SAY "There is an x87 unit.\n"
2:
  cmpb $0, has_cpuid
  jne 3f
  SAY "EFLAGS.ID (bit 21) cannot be changed: the CPUID instruction does not exist.\n"
  SAY "EFLAGS.AC (bit 18) "
  cmpb $0, is_486
  jne 1f
  SAY "cannot be changed either: a 386.\n"
  ret
1:
  SAY "can be changed: a 486.\n"
  ret
3:
  SAY "CPUID: vendor "
  movl $vendor, %esi
  call put_string32
  call decode_signature
  SAY ", family "
  DECIMAL %ebx
  SAY ", model "
  DECIMAL %ecx
  SAY ", stepping "
  DECIMAL %edx
  SAY ", leaves to "
  HEX last_leaf, 2
  SAY ".\nFeatures:"
  movl cpu_features, %eax
  movl $names_1d, %esi
  call show_features
  movl cpu_features_2, %eax
  movl $names_1c, %esi
  call show_features
  movl cpu_features_7, %eax
  movl $names_7b, %esi
  call show_features
  movl cpu_features_e, %eax
  movl $names_ed, %esi
  call show_features
  movl cpu_features_e2, %eax
  movl $names_ec, %esi
  call show_features
  SAY "\n"
  ret

# Prints the names at ESI of the bits that EAX has: bit number, name; FFh ends.
show_features:
  movl %eax, %ebx
1:
  movzbl (%esi), %ecx
  incl %esi
  cmpb $0xFF, %cl
  je 4f
  btl %ecx, %ebx
  jnc 3f
  call column
  cmpl $66, %eax
  jbe 2f
  SAY "\n         "
2:
  CHARACTER $' '
  call put_string32
3:
  cmpb $0, (%esi)
  leal 1(%esi), %esi
  jne 3b
  jmp 1b
4:
  ret

.section .rodata, "a"
.macro FEATURE bit, name
  .byte \bit
  .asciz "\name"
.endm
names_1d: # leaf 1, EDX
  FEATURE 0, FPU
  FEATURE 1, VME
  FEATURE 2, DE
  FEATURE 3, PSE
  FEATURE 4, TSC
  FEATURE 5, MSR
  FEATURE 6, PAE
  FEATURE 7, MCE
  FEATURE 8, CX8
  FEATURE 9, APIC
  FEATURE 11, SEP
  FEATURE 12, MTRR
  FEATURE 13, PGE
  FEATURE 14, MCA
  FEATURE 15, CMOV
  FEATURE 16, PAT
  FEATURE 17, PSE-36
  FEATURE 19, CLFSH
  FEATURE 23, MMX
  FEATURE 24, FXSR
  FEATURE 25, SSE
  FEATURE 26, SSE2
  FEATURE 28, HTT
  .byte 0xFF
names_1c: # leaf 1, ECX
  FEATURE 0, SSE3
  FEATURE 1, PCLMULQDQ
  FEATURE 3, MONITOR
  FEATURE 5, VMX
  FEATURE 9, SSSE3
  FEATURE 12, FMA
  FEATURE 13, CX16
  FEATURE 17, PCID
  FEATURE 19, SSE4.1
  FEATURE 20, SSE4.2
  FEATURE 21, x2APIC
  FEATURE 22, MOVBE
  FEATURE 23, POPCNT
  FEATURE 24, TSC-deadline
  FEATURE 25, AES
  FEATURE 26, XSAVE
  FEATURE 28, AVX
  FEATURE 29, F16C
  FEATURE 30, RDRAND
  FEATURE 31, hypervisor
  .byte 0xFF
names_7b: # leaf 7, EBX
  FEATURE 0, FSGSBASE
  FEATURE 3, BMI1
  FEATURE 5, AVX2
  FEATURE 7, SMEP
  FEATURE 8, BMI2
  FEATURE 9, ERMS
  FEATURE 10, INVPCID
  FEATURE 16, AVX512F
  FEATURE 18, RDSEED
  FEATURE 19, ADX
  FEATURE 20, SMAP
  FEATURE 23, CLFLUSHOPT
  FEATURE 24, CLWB
  FEATURE 29, SHA
  .byte 0xFF
names_ed: # leaf 80000001, EDX
  FEATURE 11, SYSCALL
  FEATURE 20, NX
  FEATURE 26, 1-GiB-pages
  FEATURE 27, RDTSCP
  FEATURE 29, long-mode
  .byte 0xFF
names_ec: # leaf 80000001, ECX
  FEATURE 0, LAHF64
  FEATURE 2, SVM
  FEATURE 5, LZCNT
  FEATURE 6, SSE4A
  FEATURE 8, PREFETCHW
  .byte 0xFF

.bss
.global is_486, has_cpuid, cpu_features, cpu_features_e
.balign 4
vendor: .skip 16                    # zero-terminated
brand: .skip 52
signature: .long 0
last_leaf: .long 0
last_extended_leaf: .long 0
cpu_features: .long 0               # leaf 1 EDX
cpu_features_2: .long 0             # leaf 1 ECX
cpu_features_7: .long 0             # leaf 7 EBX
cpu_features_e: .long 0             # leaf 80000001 EDX
cpu_features_e2: .long 0            # leaf 80000001 ECX
scratch: .long 0
is_486: .byte 0                     # 486 or later
has_cpuid: .byte 0
