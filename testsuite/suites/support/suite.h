// What the programs of the conformance suites have: constants, the cases' macros (assembly), the reporting functions (C).
//
// A case begins with CASE and ends with FAULTS (an event must have come) or RUNS (none may have come); EQUAL compares further values.
// Every event that comes in between is noted in `events`. Then the general registers are as they were, the segments, the stack
// and the flags are the suite's own again, and execution goes on at FAULTS or RUNS, or, for the first `event_returns` events,
// where the event interrupted it.
#pragma once

#ifdef __x86_64__
#define WORD 8
#define CODE CODE64
#define USER_CODE USER_CODE64
#define CODE_WIDTH LONG
#else
#define WORD 4
#define CODE CODE32
#define USER_CODE USER_CODE32
#define CODE_WIDTH BIG
#endif

// Selectors of the GDT in boot.S; those from SCRATCH on are for the cases.
#define CODE32       0x08
#define DATA         0x10
#define CODE64       0x18
#define TSS          0x20           // 16 bytes in IA-32e mode
#define USER_CODE32  0x33
#define USER_DATA    0x3B
#define USER_CODE32_0 0x30         // the same with RPL 0
#define USER_DATA_0  0x38
#define USER_CODE64  0x43
#define CODE16       0x48           // base 0
#define DATA16       0x50           // base 0, 64 KiB
#define SCRATCH      0x80
#define GDT_SIZE     0x400

// Access bytes and flags of `set_segment` (SDM vol. 3A §3.4.5): the access byte below, G and D/B and L above.
#define PRESENT      0x80
#define DPL(n)       ((n) << 5)
#define DATA_RW      0x13           // accessed bit set
#define DATA_RO      0x11
#define DATA_DOWN    0x17           // expand-down, writable
#define CODE_RX      0x1B
#define CODE_X       0x19
#define CODE_CONFORM 0x1F           // readable
#define BIG          0x4000
#define LONG         0x2000
#define GRANULAR     0x8000
#define TYPE_TSS16   1
#define TYPE_LDT     2
#define TYPE_CALL16  4
#define TYPE_TASK    5
#define TYPE_INT16   6
#define TYPE_TRAP16  7
#define TYPE_TSS32   9
#define TYPE_CALL32  12
#define TYPE_INT32   14
#define TYPE_TRAP32  15

// Vectors (SDM vol. 3A table 7-1).
#define DE 0
#define DB 1
#define NMI 2
#define BP 3
#define OF 4
#define BR 5
#define UD 6
#define NM 7
#define DF 8
#define TS 10
#define NP 11
#define SS 12
#define GP 13
#define PF 14
#define MF 16
#define AC 17
#define MC 18
#define XM 19
#define VECTORS 256
#define RETURN_VECTOR 0x80          // TO_KERNEL; DPL 3

// RFLAGS, CR0, CR4, EFER.
#define FLAG_CF 0x1
#define FLAG_ZF 0x40
#define FLAG_TF 0x100
#define FLAG_IF 0x200
#define FLAG_DF 0x400
#define FLAG_OF 0x800
#define FLAG_NT 0x4000
#define FLAG_RF 0x10000
#define FLAG_VM 0x20000
#define FLAG_AC 0x40000
#define FLAG_VIF 0x80000
#define FLAG_VIP 0x100000
#define FLAG_ID 0x200000
#define IOPL(n) ((n) << 12)
#define CR0_PE 0x1
#define CR0_MP 0x2
#define CR0_EM 0x4
#define CR0_TS 0x8
#define CR0_NE 0x20
#define CR0_WP 0x10000
#define CR0_AM 0x40000
#define CR0_PG 0x80000000
#define CR4_VME 0x1
#define CR4_PVI 0x2
#define CR4_TSD 0x4
#define CR4_DE 0x8
#define CR4_PSE 0x10
#define CR4_PAE 0x20
#define CR4_PGE 0x80
#define CR4_PCE 0x100
#define CR4_OSFXSR 0x200
#define CR4_OSXMMEXCPT 0x400
#define CR4_UMIP 0x800
#define CR4_LA57 0x1000
#define CR4_FSGSBASE 0x10000
#define CR4_PCIDE 0x20000
#define CR4_OSXSAVE 0x40000
#define CR4_SMEP 0x100000
#define CR4_SMAP 0x200000
#define CR4_PKE 0x400000
#define MSR_EFER 0xC0000080
#define EFER_SCE 0x1
#define EFER_LME 0x100
#define EFER_LMA 0x400
#define EFER_NXE 0x800

#define MAXIMUM_EVENTS 64

#define IDT_ERROR(vector) ((vector)*8+2)    // error code that names a gate of the IDT, without EXT
#define NO_ERROR (-1)               // FAULTS: the event has no error code
#define ANYWHERE (-1)               // FAULTS: do not compare RIP

#define LOW_START 0x8000            // where the .low section lies, for 16-bit code

#ifdef __ASSEMBLER__
#include "suite.inc"
#else
#include <stddef.h>
#include <stdint.h>

typedef uintptr_t word;

struct event {
	word vector, error, ip, cs, flags, sp, ss, cr2, dr6, frame;
};

extern struct event events[MAXIMUM_EVENTS];
extern word event_count, event_returns;
extern uint64_t gdt[];

// A suite defines `suite_main`, which is called twice, and `suite_name`.
void suite_main(void);

void case_begin(const char *name);
void case_skip(const char *name, const char *reason);
void check_event(word vector, word error, word ip);
void check_none(void);
void check_equal(const char *what, word got, word want);

void set_segment(word selector, word base, word limit, word attributes);
void set_gate(word vector, word selector, word offset, word attributes);
void set_call_gate(word selector, word target, word offset, word attributes);
#endif
