#include "IntegerOracle.h"

#include <stddef.h>
#include <string.h>

#if defined(__x86_64__)

#include <cpuid.h>

// The stack pointer moves by 128 first because PUSHF would write into the caller's red zone.
#define DEFINE(name, size, text, feature)                                                  \
  static void run_##name##size(HostRegisters *r) {                                         \
    uint64_t a = r->rax, b = r->rbx, c = r->rcx, d = r->rdx, f = r->flags;                  \
    __asm__ volatile("leaq -128(%%rsp), %%rsp\n\t"                                         \
                     "pushq %[f]\n\tpopfq\n\t" text "\n\tpushfq\n\tpopq %[f]\n\t"          \
                     "leaq 128(%%rsp), %%rsp"                                              \
                     : "+a"(a), "+b"(b), "+c"(c), "+d"(d), [f] "+r"(f)                     \
                     :                                                                     \
                     : "cc", "memory");                                                    \
    r->rax = a; r->rbx = b; r->rcx = c; r->rdx = d; r->flags = f;                           \
  }

// Registers by width: A destination, B source, C third operand.
#define BINARY(X, m)                                                                       \
  X(m, 1, #m "b %%bl, %%al", NONE) X(m, 2, #m "w %%bx, %%ax", NONE)                          \
  X(m, 4, #m "l %%ebx, %%eax", NONE) X(m, 8, #m "q %%rbx, %%rax", NONE)
#define UNARY(X, m)                                                                        \
  X(m, 1, #m "b %%al", NONE) X(m, 2, #m "w %%ax", NONE)                                      \
  X(m, 4, #m "l %%eax", NONE) X(m, 8, #m "q %%rax", NONE)
#define ONE_B(X, m)                                                                        \
  X(m, 1, #m "b %%bl", NONE) X(m, 2, #m "w %%bx", NONE)                                      \
  X(m, 4, #m "l %%ebx", NONE) X(m, 8, #m "q %%rbx", NONE)
#define SHIFT(X, m)                                                                        \
  X(m, 1, #m "b %%cl, %%al", NONE) X(m, 2, #m "w %%cl, %%ax", NONE)                          \
  X(m, 4, #m "l %%cl, %%eax", NONE) X(m, 8, #m "q %%cl, %%rax", NONE)
#define DOUBLE_SHIFT(X, m)                                                                 \
  X(m, 2, #m "w %%cl, %%bx, %%ax", NONE) X(m, 4, #m "l %%cl, %%ebx, %%eax", NONE)            \
  X(m, 8, #m "q %%cl, %%rbx, %%rax", NONE)
#define BINARY_WIDE(X, m, feature)                                                         \
  X(m, 2, #m "w %%bx, %%ax", feature) X(m, 4, #m "l %%ebx, %%eax", feature)                  \
  X(m, 8, #m "q %%rbx, %%rax", feature)
#define BINARY_LARGE(X, m, feature)                                                        \
  X(m, 4, #m "l %%ebx, %%eax", feature) X(m, 8, #m "q %%rbx, %%rax", feature)
// Intel order would be A, B, C.
#define TERNARY(X, m, feature)                                                             \
  X(m, 4, #m "l %%ecx, %%ebx, %%eax", feature) X(m, 8, #m "q %%rcx, %%rbx, %%rax", feature)
#define CRC(X)                                                                             \
  X(crc32, 1, "crc32b %%bl, %%eax", SSE42) X(crc32, 2, "crc32w %%bx, %%eax", SSE42)          \
  X(crc32, 4, "crc32l %%ebx, %%eax", SSE42) X(crc32, 8, "crc32q %%rbx, %%rax", SSE42)
#define CONDITION(X, cc)                                                                   \
  X(set##cc, 1, "set" #cc " %%al", NONE)                                                    \
  X(cmov##cc, 2, "cmov" #cc "w %%bx, %%ax", NONE)                                           \
  X(cmov##cc, 4, "cmov" #cc "l %%ebx, %%eax", NONE)                                         \
  X(cmov##cc, 8, "cmov" #cc "q %%rbx, %%rax", NONE)

#define OPERATIONS(X)                                                                      \
  BINARY(X, add) BINARY(X, or) BINARY(X, adc) BINARY(X, sbb) BINARY(X, and) BINARY(X, sub)   \
  BINARY(X, xor) BINARY(X, cmp) BINARY(X, test) BINARY(X, xadd) BINARY(X, xchg)              \
  UNARY(X, inc) UNARY(X, dec) UNARY(X, neg) UNARY(X, not)                                   \
  ONE_B(X, mul) ONE_B(X, imul) ONE_B(X, div) ONE_B(X, idiv)                                 \
  SHIFT(X, rol) SHIFT(X, ror) SHIFT(X, rcl) SHIFT(X, rcr) SHIFT(X, shl) SHIFT(X, shr)        \
  SHIFT(X, sar) DOUBLE_SHIFT(X, shld) DOUBLE_SHIFT(X, shrd)                                 \
  X(imul2, 2, "imulw %%bx, %%ax", NONE) X(imul2, 4, "imull %%ebx, %%eax", NONE)              \
  X(imul2, 8, "imulq %%rbx, %%rax", NONE)                                                   \
  BINARY_WIDE(X, bt, NONE) BINARY_WIDE(X, bts, NONE) BINARY_WIDE(X, btr, NONE)               \
  BINARY_WIDE(X, btc, NONE) BINARY_WIDE(X, bsf, NONE) BINARY_WIDE(X, bsr, NONE)              \
  BINARY_WIDE(X, popcnt, POPCNT) BINARY_WIDE(X, lzcnt, LZCNT) BINARY_WIDE(X, tzcnt, BMI1)    \
  X(cmpxchg, 1, "cmpxchgb %%bl, %%cl", NONE) X(cmpxchg, 2, "cmpxchgw %%bx, %%cx", NONE)      \
  X(cmpxchg, 4, "cmpxchgl %%ebx, %%ecx", NONE) X(cmpxchg, 8, "cmpxchgq %%rbx, %%rcx", NONE)  \
  X(bswap, 4, "bswapl %%eax", NONE) X(bswap, 8, "bswapq %%rax", NONE)                        \
  X(bswap, 2, ".byte 0x66, 0x0f, 0xc8", NONE)                                              \
  X(cbw, 2, "cbtw", NONE) X(cbw, 4, "cwtl", NONE) X(cbw, 8, "cltq", NONE)                    \
  X(cwd, 2, "cwtd", NONE) X(cwd, 4, "cltd", NONE) X(cwd, 8, "cqto", NONE)                    \
  X(lahf, 1, "lahf", LAHF) X(sahf, 1, "sahf", LAHF)                                        \
  X(cmc, 1, "cmc", NONE)                                                                   \
  BINARY_LARGE(X, adcx, ADX) BINARY_LARGE(X, adox, ADX)                                     \
  TERNARY(X, andn, BMI1) TERNARY(X, bextr, BMI1) TERNARY(X, bzhi, BMI2)                     \
  TERNARY(X, pdep, BMI2) TERNARY(X, pext, BMI2) TERNARY(X, sarx, BMI2)                      \
  TERNARY(X, shlx, BMI2) TERNARY(X, shrx, BMI2) TERNARY(X, mulx, BMI2)                      \
  BINARY_LARGE(X, blsi, BMI1) BINARY_LARGE(X, blsmsk, BMI1) BINARY_LARGE(X, blsr, BMI1)      \
  X(rorx, 4, "rorxl $5, %%ebx, %%eax", BMI2) X(rorx, 8, "rorxq $37, %%rbx, %%rax", BMI2)     \
  CRC(X)                                                                                   \
  CONDITION(X, o) CONDITION(X, no) CONDITION(X, b) CONDITION(X, nb) CONDITION(X, z)          \
  CONDITION(X, nz) CONDITION(X, be) CONDITION(X, nbe) CONDITION(X, s) CONDITION(X, ns)       \
  CONDITION(X, p) CONDITION(X, np) CONDITION(X, l) CONDITION(X, nl) CONDITION(X, le)         \
  CONDITION(X, nle)

OPERATIONS(DEFINE)

enum Feature { NONE, SSE42, POPCNT, LZCNT, BMI1, BMI2, ADX, LAHF };

static bool host_has(enum Feature feature) {
  unsigned a, b, c, d, b7, c7, d7, ae, be, ce, de;
  __cpuid(1, a, b, c, d);
  __cpuid_count(7, 0, a, b7, c7, d7);
  __cpuid(0x80000001, ae, be, ce, de);
  switch (feature) {
  case NONE: return true;
  case SSE42: return c >> 20 & 1;
  case POPCNT: return c >> 23 & 1;
  case LZCNT: return ce >> 5 & 1;
  case BMI1: return b7 >> 3 & 1;
  case BMI2: return b7 >> 8 & 1;
  case ADX: return b7 >> 19 & 1;
  case LAHF: return ce & 1;
  }
  return false;
}

#define ENTRY(name, size, text, feature) {#name, size, feature, run_##name##size},
static const struct {
  const char *name;
  int size;
  enum Feature feature;
  void (*run)(HostRegisters *);
} operations[] = {OPERATIONS(ENTRY)};

int host_operation(const char *name, int size) {
  for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
    if (operations[i].size == size && strcmp(operations[i].name, name) == 0)
      return host_has(operations[i].feature) ? (int)i : -1;
  return -1;
}

void host_execute(int operation, HostRegisters *registers) { operations[operation].run(registers); }

bool host_is_amd(void) {
  unsigned a, b, c, d;
  __cpuid(0, a, b, c, d);
  return b == 0x68747541;
}

#else

int host_operation(const char *name, int size) { return -1; }
void host_execute(int operation, HostRegisters *registers) {}
bool host_is_amd(void) { return false; }

#endif
