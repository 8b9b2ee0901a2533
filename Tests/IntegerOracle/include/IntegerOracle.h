// Runs single unprivileged integer instructions on the host processor, so that tests can compare with silicon.
// Test-only; on hosts other than x86-64 nothing is available.
#ifndef INTEGER_ORACLE_H
#define INTEGER_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

// RAX is the destination, RBX the source, RCX the count or third operand, RDX the upper half; then the status flags.
typedef struct {
  uint64_t rax, rbx, rcx, rdx;
  uint64_t flags;
} HostRegisters;

// Index of an operation such as "add" with an operand of `size` bytes, or -1 where the host has no such thing.
int host_operation(const char *name, int size);

// Loads registers and the status flags, executes the operation once and stores them again. A divide error is the
// caller's to avoid.
void host_execute(int operation, HostRegisters *registers);

// Whether undefined flags can be expected as on the AMD processors that the choices were measured on.
bool host_is_amd(void);

#endif
