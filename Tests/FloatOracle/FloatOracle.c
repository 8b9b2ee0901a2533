#define _GNU_SOURCE
#include "FloatOracle.h"

#if defined(__x86_64__)

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

static __thread uint32_t trapped;

// Notes the flags at an unmasked exception and lets the instruction repeat with everything masked.
static void onException(int signal, siginfo_t *info, void *context) {
  (void)signal;
  (void)info;
  ucontext_t *u = context;
  uint32_t mxcsr = u->uc_mcontext.fpregs->mxcsr;
  trapped = (mxcsr & 0x3f) | 0x80000000;
  u->uc_mcontext.fpregs->mxcsr = (mxcsr | 0x1f80) & ~0x3fu;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void install(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = onException;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGFPE, &action, 0);
}

#define RUN(instructions)                                                                                                                  \
  __asm__ volatile("ldmxcsr %[control]\n\t" instructions "\n\tstmxcsr %[status]\n\tldmxcsr %[usual]"                                        \
                   : [r] "+x"(r), [i] "+r"(i), [status] "=m"(status)                                                                       \
                   : [b] "x"(y), [c] "x"(z), [control] "m"(control), [usual] "m"(usual)                                                    \
                   : "memory", "cc")

#define COMPARE(instruction) RUN(instruction " %[b], %[r]\n\tmov $0, %[i]\n\tpushfq\n\tpopq %[i]")

typedef union {
  double vector __attribute__((vector_size(16)));
  uint64_t words[2];
} Register;

uint64_t oracle_sse(int operation, uint64_t a, uint64_t b, uint64_t c, uint32_t mxcsr, uint32_t *flags) {
  pthread_once(&once, install);
  Register ra = {.words = {a, 0}}, rb = {.words = {b, 0}}, rc = {.words = {c, 0}};
  double r __attribute__((vector_size(16))) = ra.vector, y __attribute__((vector_size(16))) = rb.vector, z __attribute__((vector_size(16))) = rc.vector;
  uint64_t i = a;
  uint32_t control = mxcsr, status = 0, usual = 0x1f80;
  int integer = 0;
  trapped = 0;
  switch (operation) {
  case ORACLE_ADDS: RUN("addss %[b], %[r]"); break;
  case ORACLE_SUBS: RUN("subss %[b], %[r]"); break;
  case ORACLE_MULS: RUN("mulss %[b], %[r]"); break;
  case ORACLE_DIVS: RUN("divss %[b], %[r]"); break;
  case ORACLE_SQRTS: RUN("sqrtss %[r], %[r]"); break;
  case ORACLE_MINS: RUN("minss %[b], %[r]"); break;
  case ORACLE_MAXS: RUN("maxss %[b], %[r]"); break;
  case ORACLE_COMIS: COMPARE("comiss"); integer = 2; break;
  case ORACLE_UCOMIS: COMPARE("ucomiss"); integer = 2; break;
  case ORACLE_ADDD: RUN("addsd %[b], %[r]"); break;
  case ORACLE_SUBD: RUN("subsd %[b], %[r]"); break;
  case ORACLE_MULD: RUN("mulsd %[b], %[r]"); break;
  case ORACLE_DIVD: RUN("divsd %[b], %[r]"); break;
  case ORACLE_SQRTD: RUN("sqrtsd %[r], %[r]"); break;
  case ORACLE_MIND: RUN("minsd %[b], %[r]"); break;
  case ORACLE_MAXD: RUN("maxsd %[b], %[r]"); break;
  case ORACLE_COMID: COMPARE("comisd"); integer = 2; break;
  case ORACLE_UCOMID: COMPARE("ucomisd"); integer = 2; break;
  // AT&T order: third operand first; 213 computes second times first plus third.
  case ORACLE_FMADDS: RUN("vfmadd213ss %[c], %[b], %[r]"); break;
  case ORACLE_FMSUBS: RUN("vfmsub213ss %[c], %[b], %[r]"); break;
  case ORACLE_FNMADDS: RUN("vfnmadd213ss %[c], %[b], %[r]"); break;
  case ORACLE_FNMSUBS: RUN("vfnmsub213ss %[c], %[b], %[r]"); break;
  case ORACLE_FMADDD: RUN("vfmadd213sd %[c], %[b], %[r]"); break;
  case ORACLE_FMSUBD: RUN("vfmsub213sd %[c], %[b], %[r]"); break;
  case ORACLE_FNMADDD: RUN("vfnmadd213sd %[c], %[b], %[r]"); break;
  case ORACLE_FNMSUBD: RUN("vfnmsub213sd %[c], %[b], %[r]"); break;
  case ORACLE_CVTSS2SD: RUN("cvtss2sd %[r], %[r]"); break;
  case ORACLE_CVTSD2SS: RUN("cvtsd2ss %[r], %[r]"); break;
  case ORACLE_CVTSI2SS32: RUN("cvtsi2ssl %k[i], %[r]"); break;
  case ORACLE_CVTSI2SS64: RUN("cvtsi2ssq %[i], %[r]"); break;
  case ORACLE_CVTSI2SD32: RUN("cvtsi2sdl %k[i], %[r]"); break;
  case ORACLE_CVTSI2SD64: RUN("cvtsi2sdq %[i], %[r]"); break;
  case ORACLE_CVTSS2SI32: RUN("cvtss2si %[r], %k[i]"); integer = 1; break;
  case ORACLE_CVTSS2SI64: RUN("cvtss2si %[r], %[i]"); integer = 1; break;
  case ORACLE_CVTTSS2SI32: RUN("cvttss2si %[r], %k[i]"); integer = 1; break;
  case ORACLE_CVTTSS2SI64: RUN("cvttss2si %[r], %[i]"); integer = 1; break;
  case ORACLE_CVTSD2SI32: RUN("cvtsd2si %[r], %k[i]"); integer = 1; break;
  case ORACLE_CVTSD2SI64: RUN("cvtsd2si %[r], %[i]"); integer = 1; break;
  case ORACLE_CVTTSD2SI32: RUN("cvttsd2si %[r], %k[i]"); integer = 1; break;
  case ORACLE_CVTTSD2SI64: RUN("cvttsd2si %[r], %[i]"); integer = 1; break;
  case ORACLE_ROUNDSS_MXCSR: RUN("roundss $4, %[r], %[r]"); break;
  case ORACLE_ROUNDSS_0: RUN("roundss $0, %[r], %[r]"); break;
  case ORACLE_ROUNDSS_1: RUN("roundss $1, %[r], %[r]"); break;
  case ORACLE_ROUNDSS_2: RUN("roundss $2, %[r], %[r]"); break;
  case ORACLE_ROUNDSS_3: RUN("roundss $3, %[r], %[r]"); break;
  case ORACLE_ROUNDSS_QUIET: RUN("roundss $12, %[r], %[r]"); break;
  case ORACLE_ROUNDSD_MXCSR: RUN("roundsd $4, %[r], %[r]"); break;
  case ORACLE_ROUNDSD_0: RUN("roundsd $0, %[r], %[r]"); break;
  case ORACLE_ROUNDSD_1: RUN("roundsd $1, %[r], %[r]"); break;
  case ORACLE_ROUNDSD_2: RUN("roundsd $2, %[r], %[r]"); break;
  case ORACLE_ROUNDSD_3: RUN("roundsd $3, %[r], %[r]"); break;
  case ORACLE_ROUNDSD_QUIET: RUN("roundsd $12, %[r], %[r]"); break;
  case ORACLE_CVTPH2PS: RUN("vcvtph2ps %[r], %[r]"); break;
  case ORACLE_CVTPS2PH_MXCSR: RUN("vcvtps2ph $4, %[r], %[r]"); break;
  case ORACLE_CVTPS2PH_0: RUN("vcvtps2ph $0, %[r], %[r]"); break;
  case ORACLE_CVTPS2PH_1: RUN("vcvtps2ph $1, %[r], %[r]"); break;
  case ORACLE_CVTPS2PH_2: RUN("vcvtps2ph $2, %[r], %[r]"); break;
  case ORACLE_CVTPS2PH_3: RUN("vcvtps2ph $3, %[r], %[r]"); break;
  case ORACLE_RCPSS: RUN("rcpss %[r], %[r]"); break;
  case ORACLE_RSQRTSS: RUN("rsqrtss %[r], %[r]"); break;
  }
  *flags = trapped ? trapped & 0x3f : status & 0x3f;
  if (integer == 2) return (i >> 6 & 1) | (i >> 2 & 1) << 1 | (i & 1) << 2;
  if (integer == 1) return i;
  ra.vector = r;
  return ra.words[0];
}

typedef struct {
  uint32_t environment[7];
  uint8_t registers[80];
} __attribute__((packed)) Image;

#define X87(instruction)                                                                                                                   \
  __asm__ volatile("fninit\n\tfldt %[second]\n\tfldt %[first]\n\tfldcw %[control]\n\t" instruction                                          \
                   "\n\tfnstsw %[status]\n\tfnsave %[image]\n\tfninit"                                                                      \
                   : [status] "=m"(result->status), [image] "=m"(image), [memory] "+m"(result->memory)                                     \
                   : [second] "m"(second), [first] "m"(first), [control] "m"(control)                                                      \
                   : "memory", "cc", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)")

void oracle_x87(int operation, OracleExtended st0, OracleExtended st1, const uint8_t *memory, uint16_t control, OracleX87Result *result) {
  Image image;
  uint8_t first[10], second[10];
  memcpy(first, &st0.significand, 8);
  memcpy(first + 8, &st0.signExponent, 2);
  memcpy(second, &st1.significand, 8);
  memcpy(second + 8, &st1.signExponent, 2);
  memcpy(result->memory, memory, 16);
  switch (operation) {
  case ORACLE_FADD: X87("fadd %%st(1), %%st"); break;
  case ORACLE_FSUB: X87("fsub %%st(1), %%st"); break;
  case ORACLE_FMUL: X87("fmul %%st(1), %%st"); break;
  case ORACLE_FDIV: X87("fdiv %%st(1), %%st"); break;
  case ORACLE_FSQRT: X87("fsqrt"); break;
  case ORACLE_FPREM: X87("fprem"); break;
  case ORACLE_FPREM1: X87("fprem1"); break;
  case ORACLE_FSCALE: X87("fscale"); break;
  case ORACLE_FXTRACT: X87("fxtract"); break;
  case ORACLE_FRNDINT: X87("frndint"); break;
  case ORACLE_FCOM: X87("fcom %%st(1)"); break;
  case ORACLE_FUCOM: X87("fucom %%st(1)"); break;
  case ORACLE_FTST: X87("ftst"); break;
  case ORACLE_FXAM: X87("fxam"); break;
  case ORACLE_F2XM1: X87("f2xm1"); break;
  case ORACLE_FYL2X: X87("fyl2x"); break;
  case ORACLE_FYL2XP1: X87("fyl2xp1"); break;
  case ORACLE_FPATAN: X87("fpatan"); break;
  case ORACLE_FPTAN: X87("fptan"); break;
  case ORACLE_FSIN: X87("fsin"); break;
  case ORACLE_FCOS: X87("fcos"); break;
  case ORACLE_FSINCOS: X87("fsincos"); break;
  case ORACLE_FLDL2T: X87("fldl2t"); break;
  case ORACLE_FLDL2E: X87("fldl2e"); break;
  case ORACLE_FLDPI: X87("fldpi"); break;
  case ORACLE_FLDLG2: X87("fldlg2"); break;
  case ORACLE_FLDLN2: X87("fldln2"); break;
  case ORACLE_FLD32: X87("flds %[memory]"); break;
  case ORACLE_FLD64: X87("fldl %[memory]"); break;
  case ORACLE_FST32: X87("fsts %[memory]"); break;
  case ORACLE_FST64: X87("fstl %[memory]"); break;
  case ORACLE_FILD16: X87("filds %[memory]"); break;
  case ORACLE_FILD32: X87("fildl %[memory]"); break;
  case ORACLE_FILD64: X87("fildll %[memory]"); break;
  case ORACLE_FISTP16: X87("fistps %[memory]"); break;
  case ORACLE_FISTP32: X87("fistpl %[memory]"); break;
  case ORACLE_FISTP64: X87("fistpll %[memory]"); break;
  case ORACLE_FISTTP16: X87("fisttps %[memory]"); break;
  case ORACLE_FISTTP32: X87("fisttpl %[memory]"); break;
  case ORACLE_FISTTP64: X87("fisttpll %[memory]"); break;
  case ORACLE_FBLD: X87("fbld %[memory]"); break;
  case ORACLE_FBSTP: X87("fbstp %[memory]"); break;
  case ORACLE_FADD32: X87("fadds %[memory]"); break;
  case ORACLE_FDIV32: X87("fdivs %[memory]"); break;
  case ORACLE_FDIVR32: X87("fdivrs %[memory]"); break;
  case ORACLE_FCOM32: X87("fcoms %[memory]"); break;
  case ORACLE_FADD64: X87("faddl %[memory]"); break;
  case ORACLE_FDIV64: X87("fdivl %[memory]"); break;
  case ORACLE_FDIVR64: X87("fdivrl %[memory]"); break;
  case ORACLE_FCOM64: X87("fcoml %[memory]"); break;
  }
  memcpy(&result->st0.significand, image.registers, 8);
  memcpy(&result->st0.signExponent, image.registers + 8, 2);
  memcpy(&result->st1.significand, image.registers + 10, 8);
  memcpy(&result->st1.signExponent, image.registers + 18, 2);
}

#else

// A translation unit must not be empty.
typedef int FloatOracleUnavailable;

#endif
