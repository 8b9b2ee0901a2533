// Runs unprivileged machine code on the host's processor, in a child process that can do nothing else, and reports the state it
// ends in. On hosts other than x86-64 Linux nothing is available.
#ifndef HOST_ORACLE_H
#define HOST_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

// Where code and data lie: the same in the child and in the emulated address space. Everything around them is not mapped.
#define HOST_CODE 0x10000000ull
#define HOST_CODE_SIZE 0x2000
// Ends that far transfers may go to: in 64-bit and in 32-bit code.
#define HOST_STUBS 0x10004000ull
#define HOST_END64 0x10004100ull
#define HOST_END32 0x10004200ull
// A pointer to HOST_STUBS, where a case ends: in the child by a jump to its own code, in the emulated address space by an INT3.
#define HOST_END_POINTER 0x10004040ull
#define HOST_TAIL_BYTES 8
// Two pages for reading and writing, one for reading.
#define HOST_DATA 0x20000000ull
#define HOST_DATA_SIZE 0x2000
#define HOST_READ_ONLY 0x20002000ull
#define HOST_READ_ONLY_SIZE 0x1000

// Contents that a case's data pages begin with; bank 0 is all zeros. The page for reading holds the start of bank 1.
#define HOST_BANKS 16
#define HOST_PATCHES 4
#define HOST_CODE_BYTES 64
// Lines of 64 bytes that are reported one by one.
#define HOST_LINES 24
// Cases in one of the two buffers.
#define HOST_BATCH 128
// `HostState.vector` where no exception ended the code.
#define HOST_NO_VECTOR 0xFFFFFFFFu

typedef struct {
  uint64_t gpr[16];
  uint64_t rip, rflags;
  uint64_t fsBase, gsBase;
  uint16_t es, cs, ss, ds, fs, gs;
  uint32_t vector;
  uint32_t errorCode;
  int32_t signal;
  uint64_t faultAddress;
  // YMM0-15, and what FXSAVE64 stores; MXCSR is in the latter, its XMM registers count for nothing.
  uint64_t ymm[16][4];
  uint8_t fx[512];
} HostState;

typedef struct {
  uint16_t offset;
  uint16_t length;
  uint8_t bytes[76];
} HostPatch;

typedef struct {
  // How many lines of the data pages differ from the bank (patched ones included), a hash of all data, and the first of them.
  uint32_t count;
  uint32_t unused;
  uint64_t hash;
  uint16_t index[HOST_LINES];
  uint64_t bytes[HOST_LINES][8];
} HostLines;

typedef struct {
  HostState start, end;
  uint16_t codeOffset;
  uint8_t codeLength;
  // 32-bit code of compatibility mode.
  uint8_t is32;
  uint8_t bank;
  uint8_t patchCount;
  uint8_t unused[10];
  uint8_t code[HOST_CODE_BYTES];
  HostPatch patches[HOST_PATCHES];
  HostLines lines;
} HostCase;

typedef struct HostOracle HostOracle;

// Whether this host can be an oracle at all: an x86-64 Linux, a processor with AVX2, and use of FSGSBASE by programs.
bool host_oracle_available(void);

// Starts the child. NULL if the system refuses.
HostOracle *host_oracle_start(void);
void host_oracle_stop(HostOracle *oracle);

// HOST_BATCH cases of buffer 0 or 1, and the banks, HOST_DATA_SIZE bytes each; both are shared with the child.
HostCase *host_oracle_cases(HostOracle *oracle, int buffer);
uint8_t *host_oracle_banks(HostOracle *oracle);

// Makes the child run the first `count` cases of a buffer; `wait` returns when it is done. If the child died, or took longer than
// `seconds`, a new one is started and `wait` returns the number of the case that is to blame; otherwise -1. -2: no new one could be started.
void host_oracle_begin(HostOracle *oracle, int buffer, int count);
int host_oracle_wait(HostOracle *oracle, int seconds);

// Fills the page at HOST_STUBS: ends, and INT3 everywhere else.
void host_oracle_stubs(uint8_t *page);

// What follows the code of a case: a step for the single-step trap of a POPF, and the way to the end, through HOST_END_POINTER in 64-bit
// code, by a far jump to HOST_STUBS in 32-bit code.
void host_oracle_tail(const HostCase *c, uint8_t *tail);

// Fills the data pages of a case, and finds what has changed in them afterwards: for both sides alike.
void host_oracle_fill(uint8_t *data, const uint8_t *banks, const HostCase *c);
void host_oracle_compare(const uint8_t *data, const uint8_t *banks, const HostCase *c, HostLines *lines);

// CPUID of the host: EAX, EBX, ECX, EDX.
void host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t *registers);
uint64_t host_xcr0(void);

#endif
