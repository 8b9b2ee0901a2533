#define _GNU_SOURCE
#include "VectorOracle.h"

#include <stddef.h>

#if defined(__x86_64__) && defined(__linux__)

#include <cpuid.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

_Static_assert(offsetof(VectorState, rflags) == 128, "layout known to the assembly below");
_Static_assert(offsetof(VectorState, mxcsr) == 136, "layout known to the assembly below");
_Static_assert(offsetof(VectorState, ymm) == 192, "layout known to the assembly below");
_Static_assert(offsetof(VectorState, fx) == 704, "layout known to the assembly below");

void vector_oracle_enter(VectorState *state, const void *code);
extern const char vector_oracle_leave[];

#define EACH16(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define LOAD_YMM(n) "vmovups 192+32*" #n "(%rdi), %ymm" #n "\n"
#define STORE_YMM(n) "vmovups %ymm" #n ", 192+32*" #n "(%rdi)\n"
#define GPRS(X) X(0, rax) X(1, rcx) X(2, rdx) X(3, rbx) X(5, rbp) X(6, rsi) \
  X(8, r8) X(9, r9) X(10, r10) X(11, r11) X(12, r12) X(13, r13) X(14, r14) X(15, r15)
#define LOAD_GPR(n, r) "movq 8*" #n "(%rdi), %" #r "\n"
#define STORE_GPR(n, r) "movq %" #r ", 8*" #n "(%rdi)\n"

__asm__(
  ".bss\n.balign 8\n"
  "vector_oracle_state: .zero 8\n"
  "vector_oracle_code: .zero 8\n"
  "vector_oracle_stack: .zero 8\n"
  "vector_oracle_rdi: .zero 8\n"
  "vector_oracle_default: .zero 8\n"
  ".text\n"
  ".globl vector_oracle_enter\n.hidden vector_oracle_enter\n.type vector_oracle_enter, @function\n"
  "vector_oracle_enter:\n"
  "pushq %rbx\npushq %rbp\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
  "movq %rsp, vector_oracle_stack(%rip)\n"
  "movq %rdi, vector_oracle_state(%rip)\n"
  "movq %rsi, vector_oracle_code(%rip)\n"
  "stmxcsr vector_oracle_default(%rip)\n"
  "fxrstor64 704(%rdi)\n"
  EACH16(LOAD_YMM)
  "ldmxcsr 136(%rdi)\n"
  "pushq 128(%rdi)\npopfq\n"
  GPRS(LOAD_GPR)
  LOAD_GPR(7, rdi)
  "jmpq *vector_oracle_code(%rip)\n"
  ".globl vector_oracle_leave\n.hidden vector_oracle_leave\n"
  "vector_oracle_leave:\n"
  "movq vector_oracle_stack(%rip), %rsp\n"
  "movq %rdi, vector_oracle_rdi(%rip)\n"
  "movq vector_oracle_state(%rip), %rdi\n"
  GPRS(STORE_GPR)
  "pushfq\npopq 128(%rdi)\n"
  "movq vector_oracle_rdi(%rip), %rax\nmovq %rax, 8*7(%rdi)\n"
  EACH16(STORE_YMM)
  "stmxcsr 136(%rdi)\n"
  "fxsave64 704(%rdi)\n"
  "vzeroupper\nfninit\ncld\n"
  "ldmxcsr vector_oracle_default(%rip)\n"
  "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbp\npopq %rbx\n"
  "ret\n");

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static uint8_t *code;
// FXSAVE wants alignment.
static VectorState registers __attribute__((aligned(64)));
static bool running;
static uint8_t *data;
static struct sigaction previous[32];
static const int caught[] = {SIGFPE, SIGILL, SIGSEGV, SIGBUS};

// Goes on behind the instruction with the registers as they were when it faulted.
static void on_signal(int number, siginfo_t *information, void *context) {
  ucontext_t *c = context;
  greg_t rip = c->uc_mcontext.gregs[REG_RIP];
  if (!running || rip < (greg_t)code || rip >= (greg_t)code + 4096) {
    sigaction(number, &previous[number], NULL);
    return;
  }
  registers.signal = number;
  c->uc_mcontext.gregs[REG_RIP] = (greg_t)vector_oracle_leave;
}

uint8_t *vector_oracle_memory(void) {
  if (data == NULL) {
    uint8_t *p = mmap((void *)(VECTOR_MEMORY - 4096), VECTOR_MEMORY_SIZE + 8192, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (p != (uint8_t *)(VECTOR_MEMORY - 4096)) return NULL;
    data = p + 4096;
    mprotect(data, VECTOR_MEMORY_SIZE, PROT_READ | PROT_WRITE);
  }
  return data;
}

void vector_oracle_execute(const uint8_t *bytes, int length, VectorState *state) {
  pthread_mutex_lock(&turn);
  if (code == NULL) {
    code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  // The instruction, then a jump to the address that follows the jump.
  static const uint8_t jump[] = {0xFF, 0x25, 0, 0, 0, 0};
  const char *leave = vector_oracle_leave;
  memcpy(code, bytes, length);
  memcpy(code + length, jump, sizeof jump);
  memcpy(code + length + sizeof jump, &leave, sizeof leave);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO;
  for (size_t n = 0; n < sizeof caught / sizeof caught[0]; n++) sigaction(caught[n], &action, &previous[caught[n]]);
  registers = *state;
  registers.signal = 0;
  ((uint32_t *)registers.fx)[6] = registers.mxcsr;
  running = true;
  vector_oracle_enter(&registers, code);
  running = false;
  *state = registers;
  for (size_t n = 0; n < sizeof caught / sizeof caught[0]; n++) sigaction(caught[n], &previous[caught[n]], NULL);
  pthread_mutex_unlock(&turn);
}

static bool leaf1(int bit) {
  unsigned a, b, c, d;
  __cpuid(1, a, b, c, d);
  return c >> bit & 1;
}

static unsigned leaf7(void) {
  unsigned a, b, c, d;
  __cpuid_count(7, 0, a, b, c, d);
  return b;
}

static unsigned leafD(void) {
  unsigned a, b, c, d;
  __cpuid_count(0xD, 1, a, b, c, d);
  return a;
}

bool vector_oracle_available(void) {
  unsigned a, d;
  if (!leaf1(27)) return false;
  __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  return (a & 6) == 6 && leaf1(28) && (leaf7() >> 5 & 1) && vector_oracle_memory() != NULL;
}
bool vector_oracle_has_fma(void) { return leaf1(12); }
bool vector_oracle_has_f16c(void) { return leaf1(29); }
bool vector_oracle_has_aes(void) { return leaf1(25); }
bool vector_oracle_has_pclmulqdq(void) { return leaf1(1); }
bool vector_oracle_has_sha(void) { return leaf7() >> 29 & 1; }
bool vector_oracle_has_xsavec(void) { return leafD() >> 1 & 1; }
bool vector_oracle_has_xsaveopt(void) { return leafD() & 1; }

#else

bool vector_oracle_available(void) { return false; }
bool vector_oracle_has_fma(void) { return false; }
bool vector_oracle_has_f16c(void) { return false; }
bool vector_oracle_has_aes(void) { return false; }
bool vector_oracle_has_pclmulqdq(void) { return false; }
bool vector_oracle_has_sha(void) { return false; }
bool vector_oracle_has_xsavec(void) { return false; }
bool vector_oracle_has_xsaveopt(void) { return false; }
uint8_t *vector_oracle_memory(void) { return NULL; }
void vector_oracle_execute(const uint8_t *bytes, int length, VectorState *state) {}

#endif
