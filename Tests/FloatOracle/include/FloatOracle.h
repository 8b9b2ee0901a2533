// Runs single SSE and x87 instructions on the host, as an oracle for the SoftFloat tests. Empty on other hosts than x86-64.
#ifndef FLOAT_ORACLE_H
#define FLOAT_ORACLE_H

#include <stdint.h>

#if defined(__x86_64__)

/// Scalar SSE, FMA and F16C instructions. The letter S or D at the end is the operand size.
enum OracleSSE {
  ORACLE_ADDS, ORACLE_SUBS, ORACLE_MULS, ORACLE_DIVS, ORACLE_SQRTS, ORACLE_MINS, ORACLE_MAXS, ORACLE_COMIS, ORACLE_UCOMIS,
  ORACLE_ADDD, ORACLE_SUBD, ORACLE_MULD, ORACLE_DIVD, ORACLE_SQRTD, ORACLE_MIND, ORACLE_MAXD, ORACLE_COMID, ORACLE_UCOMID,
  ORACLE_FMADDS, ORACLE_FMSUBS, ORACLE_FNMADDS, ORACLE_FNMSUBS, ORACLE_FMADDD, ORACLE_FMSUBD, ORACLE_FNMADDD, ORACLE_FNMSUBD,
  ORACLE_CVTSS2SD, ORACLE_CVTSD2SS,
  ORACLE_CVTSI2SS32, ORACLE_CVTSI2SS64, ORACLE_CVTSI2SD32, ORACLE_CVTSI2SD64,
  ORACLE_CVTSS2SI32, ORACLE_CVTSS2SI64, ORACLE_CVTTSS2SI32, ORACLE_CVTTSS2SI64,
  ORACLE_CVTSD2SI32, ORACLE_CVTSD2SI64, ORACLE_CVTTSD2SI32, ORACLE_CVTTSD2SI64,
  ORACLE_ROUNDSS_MXCSR, ORACLE_ROUNDSS_0, ORACLE_ROUNDSS_1, ORACLE_ROUNDSS_2, ORACLE_ROUNDSS_3, ORACLE_ROUNDSS_QUIET,
  ORACLE_ROUNDSD_MXCSR, ORACLE_ROUNDSD_0, ORACLE_ROUNDSD_1, ORACLE_ROUNDSD_2, ORACLE_ROUNDSD_3, ORACLE_ROUNDSD_QUIET,
  ORACLE_CVTPH2PS, ORACLE_CVTPS2PH_MXCSR, ORACLE_CVTPS2PH_0, ORACLE_CVTPS2PH_1, ORACLE_CVTPS2PH_2, ORACLE_CVTPS2PH_3,
  ORACLE_RCPSS, ORACLE_RSQRTSS
};

/// Executes `operation` with `mxcsr` and returns the result (for a comparison ZF | PF << 1 | CF << 2). `flags` receives MXCSR's exception
/// flags afterwards; if an unmasked exception occurred, the flags at that moment, and the result is of the repetition with all masked.
uint64_t oracle_sse(int operation, uint64_t a, uint64_t b, uint64_t c, uint32_t mxcsr, uint32_t *flags);

/// An 80-bit register value.
typedef struct {
  uint64_t significand;
  uint16_t signExponent;
} OracleExtended;

enum OracleX87 {
  ORACLE_FADD, ORACLE_FSUB, ORACLE_FMUL, ORACLE_FDIV, ORACLE_FSQRT, ORACLE_FPREM, ORACLE_FPREM1, ORACLE_FSCALE, ORACLE_FXTRACT, ORACLE_FRNDINT,
  ORACLE_FCOM, ORACLE_FUCOM, ORACLE_FTST, ORACLE_FXAM, ORACLE_F2XM1, ORACLE_FYL2X, ORACLE_FYL2XP1, ORACLE_FPATAN, ORACLE_FPTAN, ORACLE_FSIN,
  ORACLE_FCOS, ORACLE_FSINCOS, ORACLE_FLDL2T, ORACLE_FLDL2E, ORACLE_FLDPI, ORACLE_FLDLG2, ORACLE_FLDLN2,
  ORACLE_FLD32, ORACLE_FLD64, ORACLE_FST32, ORACLE_FST64, ORACLE_FILD16, ORACLE_FILD32, ORACLE_FILD64, ORACLE_FISTP16, ORACLE_FISTP32, ORACLE_FISTP64,
  ORACLE_FISTTP16, ORACLE_FISTTP32, ORACLE_FISTTP64, ORACLE_FBLD, ORACLE_FBSTP,
  ORACLE_FADD32, ORACLE_FDIV32, ORACLE_FDIVR32, ORACLE_FCOM32, ORACLE_FADD64, ORACLE_FDIV64, ORACLE_FDIVR64, ORACLE_FCOM64
};

typedef struct {
  /// ST(0) and ST(1) after the instruction.
  OracleExtended st0, st1;
  /// The status word: exceptions in bits 0-5, C0 8, C1 9, C2 10, top 11-13, C3 14.
  uint16_t status;
  /// What the instruction wrote to memory, or what was there before.
  uint8_t memory[16];
} OracleX87Result;

/// Executes `operation` with the given ST(0), ST(1), memory operand and control word. FADD to FDIV, FCOM and FUCOM are of ST(0) with ST(1).
void oracle_x87(int operation, OracleExtended st0, OracleExtended st1, const uint8_t *memory, uint16_t control, OracleX87Result *result);

#endif
#endif
