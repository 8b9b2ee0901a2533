/// The opcode map as text: one row for each form of each instruction, in the manual's own notation. It
/// drives the decoder, the disassembler, the processor's dispatch and feature checks, and the tests.
///
/// A row is `encoding | mnemonic operands | feature | flags | attributes`; what is left out at the end
/// takes its default. `#` starts a comment.
///
/// **Encoding** (SDM vol. 2A §3.1.1):
/// - `NP`, `66`, `F3`, `F2` demand no, or that, mandatory prefix (`NP,66` allows both); without one of
///   them any prefix will do. F2 and F3 go before 66, and the last of them counts.
/// - `REX.W`; `o16`: only with operand size 16; `a16`, `a64`: only with that address size.
/// - opcode bytes; `+r`: the low three bits name a register; `/n`: ModRM.reg; a further byte is the whole
///   ModRM byte; `C0+i`: ModRM bytes C0–C7; `reg`: ModRM.mod is 3.
/// - `VEX.<length>.<prefix>.<map>.<W> opcode`: length `128`, `256`, `L0`, `LIG` (ignored), or none
///   where both lengths exist; W is ignored where it is not named.
///
/// **Operands** are a letter and a size (SDM vol. 2D §A.2):
/// - A far pointer; B VEX.vvvv, general; C control; D debug; E ModRM, general or memory; G ModRM.reg,
///   general; H VEX.vvvv, vector; I immediate, sI sign-extended; J relative; L vector in bits 7:4 of the
///   immediate; M memory only; N MMX register only; O moffs; P ModRM.reg, MMX; Q MMX or memory; R general
///   register only; S ModRM.reg, segment; U vector register only; V ModRM.reg, vector; W vector or
///   memory; X, Y, F the implicit string and flag operands. Beyond the manual: Z register in the opcode;
///   `Ra/Mb`, `Ua/Mb` where register and memory differ in size; `vm32x` and alike for gathers (size of
///   the index element and of the index vector).
/// - b 1, w 2, d 4, q 8, dq 16, t 10 bytes; v operand size; z operand size but at most 4; y operand size but at
///   least 4; n 8 in 64-bit code, else 4; p far pointer; a two of operand size; s descriptor-table register;
///   ss 4, sd 8; x, ps, pd the vector length, h, f, e a half, fourth, eighth of it.
///
/// **Feature**: the `Feature` that introduced the form.
///
/// **Flags**: six letters for OF SF ZF AF PF CF. `-` untouched, `M` written, `T` tested, `X` both, `0` and `1`
/// set so, `?` written but undefined; `m`, `x` as M, X but only for some operand values (a shift count or
/// repeat count of zero leaves the flag); `u` undefined for some operand values.
///
/// **Attributes**: `lock` LOCK is allowed with a memory destination; `i64` invalid in 64-bit code; `o64` only there;
/// `d64` operand size defaults to 64 there; `f64` it is 64 whatever the prefixes say; `cpl0` privileged;
/// `ends` ends a basic block (transfers control, or may change how what follows is fetched, decoded or
/// interrupted); `stack`, `string`, `implicit` accesses memory that no operand names; `noaccess` does not access the
/// memory its operand names; `anymod` ModRM.mod is taken as 3; `rexb` not with REX.B (then it is XCHG);
/// `fallback` without the feature the row whose place it took applies (LZCNT is BSR, PREFETCHW a NOP).
enum OpcodeMapText {
  static var all: [StaticString] { [oneByte, integer, x87, sse, avx0F, avx0F38] }
}
