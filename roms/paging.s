# Demonstration of paging with two levels of tables, as on a 386 (SDM vol. 3A §4.3), and what the others use of it.

.include "common.inc"

COMMAND 52, paging, command_paging, "paging: page faults, demand paging, a page seen twice"

.set PRESENT, 1
.set WRITABLE, 2
.set USER, 4
.set WRITE_PROTECT, 1 << 16
# A linear address at the end of the first 4 MiB, where there need not be any memory.
.set ALIAS, 0x3FF000

.text
BITS 32

# Maps the first 4 MiB one to one, with three exceptions: an absent page, a read-only one, and one that is seen elsewhere too.
# The ROM and one page of stack are open to ring 3. Preserves all registers.
.global build_page_tables
build_page_tables:
  pushal
  cld
  movl $PAGE_DIRECTORY, %edi
  movl $1024, %ecx
  xorl %eax, %eax
  rep stosl
  # The directory's bits open what the table's bits may still close.
  movl $(PAGE_TABLE | PRESENT | WRITABLE | USER), PAGE_DIRECTORY

  movl $PAGE_TABLE, %edi
  movl $(PRESENT | WRITABLE), %eax
1:
  stosl
  addl $0x1000, %eax
  cmpl $0x400000, %eax
  jb 1b

  movl $(PAGE_TABLE + 4 * (ROM_BASE >> 12)), %edi
  movl $16, %ecx
2:
  movl (%edi), %eax
  andl $~WRITABLE, %eax
  orl $USER, %eax
  stosl
  loop 2b
  orl $USER, PAGE_TABLE + 4 * (USER_STACK_PAGE >> 12)
  movl $0, PAGE_TABLE + 4 * (ABSENT_PAGE >> 12)
  andl $~WRITABLE, PAGE_TABLE + 4 * (READ_ONLY_PAGE >> 12)
  movl $(ALIASED_PAGE | PRESENT | WRITABLE), PAGE_TABLE + 4 * (ALIAS >> 12)
  popal
  ret

# Preserves all registers.
.global paging_on
paging_on:
  pushl %eax
  movl $PAGE_DIRECTORY, %eax
  movl %eax, %cr3
  movl %cr0, %eax
  orl $0x80000000, %eax
  cmpb $0, is_486
  je 1f
  orl $WRITE_PROTECT, %eax                # the 486 brought it
1:
  movl %eax, %cr0
  jmp 2f                                  # the 386 wants its prefetch queue emptied
2:
  popl %eax
  ret

.global paging_off
paging_off:
  pushl %eax
  movl %cr0, %eax
  andl $~(0x80000000 | WRITE_PROTECT), %eax
  movl %eax, %cr0
  jmp 1f
1:
  xorl %eax, %eax
  movl %eax, %cr3                         # also empties the TLB
  popl %eax
  ret

command_paging:
  cli
  HEADING "Paging"
  SAY "A page directory at "
  movl $PAGE_DIRECTORY, %eax
  HEX %eax
  SAY " and a page table at "
  movl $PAGE_TABLE, %eax
  HEX %eax
  SAY " map the first 4 MiB\nto themselves, page by page, with some exceptions. CR3 gets the address of the\n"
  SAY "directory, and CR0 bit 31 (PG) turns paging on.\n"
  movl $0x600DF00D, ABSENT_PAGE + 8       # put there while there is no paging
  call build_page_tables
  call paging_on
  SAY "CR0 = "
  movl %cr0, %eax
  HEX %eax
  SAY ", CR3 = "
  movl %cr3, %eax
  HEX %eax
  SAY ": this line was printed through page tables.\n"

  SAY "1. Linear pages "
  movl $ALIASED_PAGE, %eax
  HEX %eax
  SAY " and "
  movl $ALIAS, %eax
  HEX %eax
  SAY " are one physical page. 1234ABCD written\n   through the first reads "
  movl $0x1234ABCD, ALIASED_PAGE + 4
  HEX ALIAS+4
  SAY " through the second. Their entries now:\n   "
  HEX PAGE_TABLE+4*(ALIASED_PAGE>>12)
  SAY " (dirty 40, accessed 20) and "
  HEX PAGE_TABLE+4*(ALIAS>>12)
  SAY " (accessed).\n"

  SAY "2. Page "
  movl $ABSENT_PAGE, %eax
  HEX %eax
  SAY " is not present (P = 0). Reading it:\n"
  EXPECT_FAULT 1f
  movl ABSENT_PAGE + 8, %ebx
1:
  call report_fault32

  SAY "3. Demand paging: the handler now sets P and returns; the same read runs again:\n"
  movl $-1, fault_vector
  movl $bring_in, fault_repair
  movl ABSENT_PAGE + 8, %ebx
  call report_fault32
  SAY "   The program noticed nothing and read "
  HEX %ebx
  SAY ".\n"

  SAY "4. Page "
  movl $READ_ONLY_PAGE, %eax
  HEX %eax
  SAY " is read-only (R/W = 0). Ring 0 writes to it"
  cmpb $0, is_486
  je 2f
  SAY ", with CR0.WP set:\n"
  EXPECT_FAULT 1f
  movl $0, READ_ONLY_PAGE
1:
  call report_fault32
  jmp 3f
2:
  SAY ", and may: a 386\n   has no CR0.WP and lets ring 0 write everywhere.\n"
3:
  SAY "Error code: bit 0 the page was present, 1 it was a write, 2 it was ring 3.\n"
  call paging_off
  SAY "Paging is off again.\n"
  sti
  ret

# The repair of step 3.
bring_in:
  movl $(ABSENT_PAGE | PRESENT | WRITABLE), PAGE_TABLE + 4 * (ABSENT_PAGE >> 12)
  ret
