// Runs single unprivileged instructions, given as bytes, on the host processor, so that tests can compare vector instructions
// with silicon. Test-only; on hosts other than x86-64 Linux nothing is available.
#ifndef VECTOR_ORACLE_H
#define VECTOR_ORACLE_H

#include <stdbool.h>
#include <stdint.h>

// Registers before and after. RSP (gpr[4]) is not loaded; the instruction must not name it.
typedef struct {
  uint64_t gpr[16];
  uint64_t rflags;
  uint32_t mxcsr;
  // 0, or the signal that the instruction ended in.
  int32_t signal;
  uint64_t unused[6];
  uint64_t ymm[16][4];
  // FXSAVE64 image; its MXCSR and XMM parts are overridden by the fields above.
  uint64_t fx[64];
} VectorState;

// Whether the host can run AVX2 code at all.
bool vector_oracle_available(void);
bool vector_oracle_has_fma(void);
bool vector_oracle_has_f16c(void);
bool vector_oracle_has_aes(void);
bool vector_oracle_has_pclmulqdq(void);
bool vector_oracle_has_sha(void);
bool vector_oracle_has_xsavec(void);
bool vector_oracle_has_xsaveopt(void);

// Memory for operands at a fixed low address, VECTOR_MEMORY_SIZE bytes, followed and preceded by pages without access.
#define VECTOR_MEMORY 0x20000000ull
#define VECTOR_MEMORY_SIZE 8192
uint8_t *vector_oracle_memory(void);

// Executes the instruction on the state. Not reentrant; callers take turns.
void vector_oracle_execute(const uint8_t *bytes, int length, VectorState *state);

#endif
