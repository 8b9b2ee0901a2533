#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "HostOracle.h"

#include <stddef.h>
#include <string.h>

// MARK: Code and data

// JMP 33:HOST_STUBS, in 32-bit code.
static const uint8_t far_jump[HOST_TAIL_BYTES] = {0x90, 0xEA, 0, 0x40, 0, 0x10, 0x33, 0};

// JMP [pointer] at `at`, in 64-bit code.
static void put_jump(uint8_t *to, uint64_t at, uint64_t pointer) {
  const int32_t distance = (int32_t)(pointer - (at + 6));
  to[0] = 0xFF;
  to[1] = 0x25;
  memcpy(to + 2, &distance, 4);
}

void host_oracle_stubs(uint8_t *page) {
  const uint64_t end = HOST_STUBS;
  memset(page, 0xCC, 4096);
  memcpy(page + (HOST_END_POINTER - HOST_STUBS), &end, 8);
  put_jump(page + (HOST_END64 - HOST_STUBS), HOST_END64, HOST_END_POINTER);
  memcpy(page + (HOST_END32 - HOST_STUBS), far_jump + 1, sizeof far_jump - 1);
}

void host_oracle_tail(const HostCase *c, uint8_t *tail) {
  memcpy(tail, far_jump, HOST_TAIL_BYTES);
  if (c->is32) return;
  put_jump(tail + 1, HOST_CODE + c->codeOffset + c->codeLength + 1, HOST_END_POINTER);
  tail[HOST_TAIL_BYTES - 1] = 0xCC;
}

void host_oracle_fill(uint8_t *data, const uint8_t *banks, const HostCase *c) {
  memcpy(data, banks + (c->bank % HOST_BANKS) * HOST_DATA_SIZE, HOST_DATA_SIZE);
  for (int n = 0; n < c->patchCount && n < HOST_PATCHES; n++) {
    const HostPatch *p = &c->patches[n];
    if (p->offset + p->length <= HOST_DATA_SIZE && p->length <= sizeof p->bytes) memcpy(data + p->offset, p->bytes, p->length);
  }
}

void host_oracle_compare(const uint8_t *data, const uint8_t *banks, const HostCase *c, HostLines *lines) {
  const uint64_t *a = (const uint64_t *)data;
  const uint64_t *b = (const uint64_t *)(banks + (c->bank % HOST_BANKS) * HOST_DATA_SIZE);
  uint32_t count = 0;
  lines->hash = 0;
  for (int n = 0; n < HOST_DATA_SIZE / 64; n++, a += 8, b += 8) {
    uint64_t different = 0;
    for (int k = 0; k < 8; k++) different |= a[k] ^ b[k];
    if (different == 0) continue;
    if (count < HOST_LINES) {
      lines->index[count] = (uint16_t)n;
      memcpy(lines->bytes[count], a, 64);
    }
    for (int k = 0; k < 8; k++) lines->hash = (lines->hash ^ a[k]) * 0x100000001B3 + (lines->hash >> 29);
    count++;
  }
  lines->count = count;
}

#if defined(__x86_64__) && defined(__linux__)

#include <cpuid.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

// The child's code must not touch thread-local storage while a case's FS base is loaded.
#define NO_TLS __attribute__((no_stack_protector))

typedef struct {
  // 0: the child waits; n: it is to run buffer n - 1.
  uint32_t turn;
  uint32_t count;
  uint32_t at;
} Control;

struct HostOracle {
  Control *control;
  HostCase *cases;
  uint8_t *banks;
  void *shared;
  size_t sharedSize;
  pid_t child;
  int count;
};

// MARK: Entering and leaving a case

_Static_assert(offsetof(HostState, rip) == 128 && offsetof(HostState, rflags) == 136, "known to the assembly below");
_Static_assert(offsetof(HostState, fsBase) == 144 && offsetof(HostState, gsBase) == 152, "known to the assembly below");
_Static_assert(offsetof(HostState, es) == 160 && offsetof(HostState, gs) == 170, "known to the assembly below");
_Static_assert(offsetof(HostState, ymm) == 192 && offsetof(HostState, fx) == 704, "known to the assembly below");
_Static_assert(offsetof(HostState, fx) % 16 == 0 && sizeof(HostCase) % 16 == 0, "FXSAVE is aligned");

void host_oracle_enter(const HostState *start, HostState *end);
extern const char host_oracle_leave[];
__attribute__((noreturn)) void host_oracle_abandon(HostState *end);

#define EACH16(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define LOAD_YMM(n) "vmovups 192+32*" #n "(%rdi), %ymm" #n "\n"
#define STORE_YMM(n) "vmovups %ymm" #n ", 192+32*" #n "(%rdi)\n"
#define GPRS(X) X(0, rax) X(1, rcx) X(2, rdx) X(3, rbx) X(5, rbp) X(6, rsi) \
  X(8, r8) X(9, r9) X(10, r10) X(11, r11) X(12, r12) X(13, r13) X(14, r14) X(15, r15)
#define LOAD_GPR(n, r) "movq 8*" #n "(%rdi), %" #r "\n"
#define STORE_GPR(n, r) "movq %" #r ", 8*" #n "(%rdi)\n"
// Data segments and FS and GS bases into the state at RDI, and the child's own ones back.
#define SWITCH_SEGMENTS \
  "movw %es, 160(%rdi)\nmovw %ds, 166(%rdi)\nmovw %fs, 168(%rdi)\nmovw %gs, 170(%rdi)\n" \
  "rdfsbase %rax\nmovq %rax, 144(%rdi)\nrdgsbase %rax\nmovq %rax, 152(%rdi)\n" \
  "xorl %eax, %eax\nmovw %ax, %es\nmovw %ax, %ds\nmovw %ax, %fs\nmovw %ax, %gs\n" \
  "movq host_oracle_fs(%rip), %rax\nwrfsbase %rax\nmovq host_oracle_gs(%rip), %rax\nwrgsbase %rax\n"
#define RETURN \
  "fninit\nldmxcsr host_oracle_mxcsr(%rip)\nvzeroupper\npushq $0x202\npopfq\n" \
  "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbp\npopq %rbx\nret\n"

// IRETQ loads RIP, CS, RFLAGS and RSP at once, and serialises: the case's code was written through another mapping.
__asm__(
  ".bss\n.balign 8\n"
  "host_oracle_stack: .zero 8\nhost_oracle_end: .zero 8\nhost_oracle_rsp: .zero 8\nhost_oracle_rdi: .zero 8\n"
  "host_oracle_fs: .zero 8\nhost_oracle_gs: .zero 8\nhost_oracle_mxcsr: .zero 8\n"
  ".text\n"
  ".globl host_oracle_enter\n.hidden host_oracle_enter\n.type host_oracle_enter, @function\n"
  "host_oracle_enter:\n"
  "pushq %rbx\npushq %rbp\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
  "movq %rsp, host_oracle_stack(%rip)\n"
  "movq %rsi, host_oracle_end(%rip)\n"
  "stmxcsr host_oracle_mxcsr(%rip)\n"
  "rdfsbase %rax\nmovq %rax, host_oracle_fs(%rip)\nrdgsbase %rax\nmovq %rax, host_oracle_gs(%rip)\n"
  "fxrstor64 704(%rdi)\n"
  EACH16(LOAD_YMM)
  "movw 160(%rdi), %es\nmovw 166(%rdi), %ds\nmovw 168(%rdi), %fs\nmovw 170(%rdi), %gs\n"
  "movq 144(%rdi), %rax\nwrfsbase %rax\nmovq 152(%rdi), %rax\nwrgsbase %rax\n"
  "movzwl 164(%rdi), %eax\npushq %rax\n"
  "pushq 32(%rdi)\n"
  "pushq 136(%rdi)\n"
  "movzwl 162(%rdi), %eax\npushq %rax\n"
  "pushq 128(%rdi)\n"
  GPRS(LOAD_GPR)
  LOAD_GPR(7, rdi)
  "iretq\n"
  ".globl host_oracle_leave\n.hidden host_oracle_leave\n"
  "host_oracle_leave:\n"
  "movq %rsp, host_oracle_rsp(%rip)\n"
  "movq %rdi, host_oracle_rdi(%rip)\n"
  "movq host_oracle_end(%rip), %rdi\n"
  GPRS(STORE_GPR)
  "movq host_oracle_stack(%rip), %rsp\n"
  "pushfq\npopq 136(%rdi)\npushq $0x202\npopfq\n"
  "movq host_oracle_rsp(%rip), %rax\nmovq %rax, 32(%rdi)\n"
  "movq host_oracle_rdi(%rip), %rax\nmovq %rax, 56(%rdi)\n"
  "movw %ss, 164(%rdi)\n"
  SWITCH_SEGMENTS
  EACH16(STORE_YMM)
  "fxsave64 704(%rdi)\n"
  RETURN
  ".globl host_oracle_abandon\n.hidden host_oracle_abandon\n.type host_oracle_abandon, @function\n"
  "host_oracle_abandon:\n"
  SWITCH_SEGMENTS
  "movq host_oracle_stack(%rip), %rsp\n"
  RETURN);

// MARK: The child

// A tick is 10 ms of the processor's time; a case that runs longer than this many is stopped by SIGPROF.
enum { LONGEST_CASE = 4 };
static HostState *running;
static volatile int ticks;

NO_TLS static void copy(void *to, const void *from, size_t bytes) {
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

NO_TLS static void clear(void *to, size_t bytes) {
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(0) : "memory");
}

// The extended state of a signal frame: components whose bit in the header is clear are in their initial state and not in the frame.
NO_TLS static void store_extended(HostState *end, const uint8_t *frame) {
  uint64_t inUse;
  copy(&inUse, frame + 512, 8);
  copy(end->fx, frame, 512);
  if (!(inUse & 1)) {
    uint32_t mxcsr;
    copy(&mxcsr, frame + 24, 4);
    clear(end->fx, 160);
    end->fx[0] = 0x7F;
    end->fx[1] = 3;
    copy(end->fx + 24, &mxcsr, 4);
  }
  for (int n = 0; n < 16; n++) {
    if (inUse & 2) copy(end->ymm[n], frame + 160 + 16 * n, 16); else clear(end->ymm[n], 16);
    if (inUse & 4) copy(&end->ymm[n][2], frame + 576 + 16 * n, 16); else clear(&end->ymm[n][2], 16);
  }
}

__attribute__((noinline)) NO_TLS static void handle(int number, void *context) {
  HostState *end = running;
  if (number == SIGPROF && (end == NULL || ++ticks <= LONGEST_CASE)) return;
  // Not a case, but this code itself is wrong: let the parent see it.
  if (end == NULL) syscall(SYS_exit_group, 1);
  ucontext_t *c = context;
  const greg_t *g = c->uc_mcontext.gregs;
  static const uint8_t order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                    REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  for (int n = 0; n < 16; n++) end->gpr[n] = (uint64_t)g[order[n]];
  end->rip = (uint64_t)g[REG_RIP];
  end->rflags = (uint64_t)g[REG_EFL];
  end->cs = (uint16_t)g[REG_CSGSFS];
  end->ss = (uint16_t)((uint64_t)g[REG_CSGSFS] >> 48);
  end->vector = number == SIGSYS || number == SIGPROF ? HOST_NO_VECTOR : (uint32_t)g[REG_TRAPNO];
  end->errorCode = (uint32_t)g[REG_ERR];
  end->faultAddress = end->vector == 14 ? (uint64_t)g[REG_CR2] : 0;
  end->signal = number;
  store_extended(end, (const uint8_t *)c->uc_mcontext.fpregs);
  host_oracle_abandon(end);
}

// The kernel leaves AC as the case had it, and compiled code does not align its accesses.
NO_TLS static void on_signal(int number, siginfo_t *info, void *context) {
  (void)info;
  __asm__ volatile("leaq -128(%%rsp), %%rsp\npushq $0x202\npopfq\nleaq 128(%%rsp), %%rsp" : : : "cc", "memory");
  handle(number, context);
}

static uint8_t *code_alias;

NO_TLS static void run_case(HostCase *c, const uint8_t *banks) {
  uint8_t *code = code_alias + c->codeOffset;
  size_t room = (size_t)(code_alias + HOST_CODE_SIZE - code);
  uint8_t tail[HOST_TAIL_BYTES];
  host_oracle_tail(c, tail);
  size_t length = c->codeLength < room ? c->codeLength : room;
  size_t behind = room - length < sizeof tail ? room - length : sizeof tail;
  copy(code, c->code, length);
  copy(code + length, tail, behind);
  host_oracle_fill((uint8_t *)HOST_DATA, banks, c);
  HostState *end = &c->end;
  end->vector = HOST_NO_VECTOR;
  end->signal = 0;
  end->errorCode = 0;
  end->faultAddress = 0;
  end->rip = 0;
  end->cs = c->start.cs;
  ticks = 0;
  running = end;
  host_oracle_enter(&c->start, end);
  running = NULL;
  // INT3 everywhere, as before.
  memset(code, 0xCC, length + behind);
  host_oracle_compare((const uint8_t *)HOST_DATA, banks, c, &c->lines);
}

static bool map(uint64_t at, size_t size, int protection) {
  // In the child only: whatever the parent has there (the memory of another oracle, say) is not needed here.
  return mmap((void *)at, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == (void *)at;
}

// Memory of the cases; the code is written through an alias, so that the code itself cannot.
static bool map_all(const uint8_t *banks) {
  code_alias = mmap(NULL, HOST_CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (code_alias == MAP_FAILED) return false;
  memset(code_alias, 0xCC, HOST_CODE_SIZE);
  // Duplicates the mapping (mremap of a shared mapping with an old size of 0).
  void *code = mremap(code_alias, 0, HOST_CODE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)HOST_CODE);
  if (code != (void *)HOST_CODE || mprotect(code, HOST_CODE_SIZE, PROT_READ | PROT_EXEC) != 0) return false;
  if (!map(HOST_STUBS, 4096, PROT_READ | PROT_WRITE)) return false;
  uint8_t *stubs = (uint8_t *)HOST_STUBS;
  host_oracle_stubs(stubs);
  const char *leave = host_oracle_leave;
  memcpy(stubs + 0x80, &leave, 8);
  put_jump(stubs, HOST_STUBS, HOST_STUBS + 0x80);
  if (mprotect(stubs, 4096, PROT_READ | PROT_EXEC) != 0) return false;
  if (!map(HOST_DATA, HOST_DATA_SIZE, PROT_READ | PROT_WRITE)) return false;
  if (!map(HOST_READ_ONLY, HOST_READ_ONLY_SIZE, PROT_READ | PROT_WRITE)) return false;
  memcpy((void *)HOST_READ_ONLY, banks + HOST_DATA_SIZE, HOST_READ_ONLY_SIZE);
  return mprotect((void *)HOST_READ_ONLY, HOST_READ_ONLY_SIZE, PROT_READ) == 0;
}

// Whatever else the code asks the kernel for ends in SIGSYS.
static bool restrict_calls(void) {
#define ALLOW(n) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, n, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
  struct sock_filter filter[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    ALLOW(SYS_futex), ALLOW(SYS_getppid), ALLOW(SYS_rt_sigreturn), ALLOW(SYS_restart_syscall), ALLOW(SYS_exit_group),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
  };
  struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static bool prepare_signals(void) {
  const size_t size = 256 << 10;
  stack_t stack = {.ss_sp = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), .ss_size = size};
  if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, NULL) != 0) return false;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_signal;
  // Handlers of cases never return, so the signal must not stay blocked.
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  static const int caught[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGPROF};
  for (size_t n = 0; n < sizeof caught / sizeof caught[0]; n++)
    if (sigaction(caught[n], &action, NULL) != 0) return false;
  // What a terminal sends is for the parent to act on.
  signal(SIGINT, SIG_IGN);
  signal(SIGQUIT, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  struct itimerval interval = {{0, 10000}, {0, 10000}};
  return setitimer(ITIMER_PROF, &interval, NULL) == 0;
}

static long futex(uint32_t *word, int operation, uint32_t value, const struct timespec *timeout) {
  return syscall(SYS_futex, word, operation, value, timeout, NULL, 0);
}

__attribute__((noreturn)) static void child_main(HostOracle *o, pid_t parent) {
  syscall(SYS_close_range, 0, ~0u, 0);
  struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  if (!map_all(o->banks) || !prepare_signals() || !restrict_calls()) _exit(2);
  while (true) {
    uint32_t turn = __atomic_load_n(&o->control->turn, __ATOMIC_ACQUIRE);
    if (turn == 0) {
      const struct timespec second = {1, 0};
      futex(&o->control->turn, FUTEX_WAIT, 0, &second);
      if (getppid() != parent) syscall(SYS_exit_group, 0);
      continue;
    }
    HostCase *cases = o->cases + (turn - 1) * HOST_BATCH;
    for (uint32_t n = 0; n < o->control->count; n++) {
      __atomic_store_n(&o->control->at, n, __ATOMIC_RELAXED);
      run_case(cases + n, o->banks);
    }
    __atomic_store_n(&o->control->turn, 0, __ATOMIC_RELEASE);
    futex(&o->control->turn, FUTEX_WAKE, 1, NULL);
  }
}

// MARK: The parent

static bool start_child(HostOracle *o) {
  pid_t parent = getpid();
  // No signal may come to the child before it has its own handlers.
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  o->child = fork();
  if (o->child == 0) child_main(o, parent);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return o->child > 0;
}

static void end_child(HostOracle *o) {
  if (o->child <= 0) return;
  kill(o->child, SIGKILL);
  while (waitpid(o->child, NULL, 0) < 0 && errno == EINTR) {}
  o->child = 0;
}

HostOracle *host_oracle_start(void) {
  HostOracle *o = calloc(1, sizeof *o);
  if (o == NULL) return NULL;
  size_t cases = (2 * HOST_BATCH * sizeof(HostCase) + 4095) & ~(size_t)4095;
  o->sharedSize = 4096 + cases + HOST_BANKS * HOST_DATA_SIZE;
  o->shared = mmap(NULL, o->sharedSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (o->shared == MAP_FAILED) {
    free(o);
    return NULL;
  }
  o->control = o->shared;
  o->cases = (HostCase *)((uint8_t *)o->shared + 4096);
  o->banks = (uint8_t *)o->shared + 4096 + cases;
  return o;
}

void host_oracle_stop(HostOracle *o) {
  end_child(o);
  munmap(o->shared, o->sharedSize);
  free(o);
}

HostCase *host_oracle_cases(HostOracle *o, int buffer) { return o->cases + buffer * HOST_BATCH; }
uint8_t *host_oracle_banks(HostOracle *o) { return o->banks; }

void host_oracle_begin(HostOracle *o, int buffer, int count) {
  o->count = count;
  o->control->count = (uint32_t)count;
  o->control->at = 0;
  __atomic_store_n(&o->control->turn, (uint32_t)buffer + 1, __ATOMIC_RELEASE);
  // The child begins with the banks as they are at the first batch.
  if (o->child == 0 && !start_child(o)) return;
  futex(&o->control->turn, FUTEX_WAKE, 1, NULL);
}

int host_oracle_wait(HostOracle *o, int seconds) {
  struct timespec start, now;
  clock_gettime(CLOCK_MONOTONIC, &start);
  uint32_t turn;
  while ((turn = __atomic_load_n(&o->control->turn, __ATOMIC_ACQUIRE)) != 0) {
    if (o->child <= 0) return -2;
    const struct timespec tenth = {0, 100000000};
    futex(&o->control->turn, FUTEX_WAIT, turn, &tenth);
    if (__atomic_load_n(&o->control->turn, __ATOMIC_ACQUIRE) == 0) break;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int status;
    bool died = waitpid(o->child, &status, WNOHANG) == o->child;
    if (died) o->child = 0;
    // 2: it could not set itself up, and no other will.
    if (died && WIFEXITED(status) && WEXITSTATUS(status) == 2) return -2;
    if (!died && now.tv_sec - start.tv_sec < seconds) continue;
    end_child(o);
    o->control->turn = 0;
    return (int)o->control->at;
  }
  return -1;
}

// MARK: The host

void host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t *r) {
  uint32_t most = __get_cpuid_max(leaf & 0x80000000, NULL);
  r[0] = r[1] = r[2] = r[3] = 0;
  if (leaf <= most) __cpuid_count(leaf, subleaf, r[0], r[1], r[2], r[3]);
}

uint64_t host_xcr0(void) {
  uint32_t a, d;
  __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  return (uint64_t)d << 32 | a;
}

bool host_oracle_available(void) {
  uint32_t r[4];
  host_cpuid(1, 0, r);
  if (!(r[2] >> 27 & 1) || !(r[2] >> 28 & 1) || (host_xcr0() & 6) != 6) return false;
  host_cpuid(7, 0, r);
  // Linux says in bit 1 of AT_HWCAP2 that programs may use FSGSBASE.
  return (r[1] >> 5 & 1) && (getauxval(AT_HWCAP2) >> 1 & 1);
}

#else

bool host_oracle_available(void) { return false; }
HostOracle *host_oracle_start(void) { return NULL; }
void host_oracle_stop(HostOracle *oracle) {}
HostCase *host_oracle_cases(HostOracle *oracle, int buffer) { return NULL; }
uint8_t *host_oracle_banks(HostOracle *oracle) { return NULL; }
void host_oracle_begin(HostOracle *oracle, int buffer, int count) {}
int host_oracle_wait(HostOracle *oracle, int seconds) { return -2; }
void host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t *registers) { memset(registers, 0, 16); }
uint64_t host_xcr0(void) { return 0; }

#endif
