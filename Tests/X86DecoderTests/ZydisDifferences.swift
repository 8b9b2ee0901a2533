import X86
import X86Decoder
import ZydisOracle

/// Why our decoder and Zydis may differ, class by class. A difference that no rule explains is a failure.
struct DifferenceRule: Sendable {
  let name: String
  let reason: String
  /// What `difference` says, ours, Zydis' view, and Zydis' instruction set name for it.
  let explains: @Sendable (_ what: String, _ ours: Instruction, _ theirs: OracleInstruction, _ isaSet: String) -> Bool

  static let all: [DifferenceRule] = [
    DifferenceRule(
      name: "beyond x86-64-v3",
      reason: "Zydis decodes instruction sets that no model here has; they are #UD."
    ) { what, _, _, isaSet in
      what == "only Zydis accepts" && beyondV3.contains { isaSet.hasPrefix($0) }
    },
    DifferenceRule(
      name: "gather registers",
      reason: "Equal destination, index or mask registers are #UD when executed (SDM vol. 2C, VGATHERDPS); Zydis says so when decoding."
    ) { what, ours, _, _ in
      what == "only we accept" && OpcodeMap.attributes(ours.row).contains(.vectorIndex)
        && (ours.op0.register == ours.op2.register || ours.op0.register == ours.index || ours.op2.register == ours.index)
    },
    DifferenceRule(
      name: "NOP operands",
      reason: "Hint NOPs have one operand, of no effect (SDM vol. 2B, NOP); Zydis adds ModRM.reg or takes it for the operand."
    ) { what, ours, _, _ in
      ours.mnemonic == .NOP && what.hasPrefix("operand")
    },
    DifferenceRule(
      name: "cache line width",
      reason: "SDM vol. 2A gives CLFLUSH, CLFLUSHOPT and CLWB an m8; Zydis gives the line of 64 bytes."
    ) { what, ours, _, _ in
      switch ours.mnemonic {
      case .CLFLUSH, .CLFLUSHOPT, .CLWB: what == "operand 0: width 8 not 512"
      default: false
      }
    },
    DifferenceRule(
      name: "VEXTRACTF128 to memory",
      reason: "The source is a YMM register (SDM vol. 2C, VEXTRACTF128); Zydis gives its upper or lower half as width."
    ) { what, ours, _, _ in
      ours.mnemonic == .VEXTRACTF128 && what == "operand 1: vector width"
    },
    DifferenceRule(
      name: "MOVSXD with 66",
      reason: "The source is 16 bits wide then (SDM vol. 2B, MOVSX/MOVSXD: MOVSXD r16, r/m16); Zydis says 32."
    ) { what, ours, _, _ in
      ours.mnemonic == .MOVSXD && ours.operandSize == 2 && what == "operand 1: width 16 not 32"
    },
    DifferenceRule(
      name: "F3 REX.B 90",
      reason: "It exchanges R8 and rAX, as processors do and as AMD APM vol. 3 has it; Zydis says PAUSE."
    ) { what, ours, _, isaSet in
      ours.mnemonic == .XCHG && ours.opcode == 0x90 && what == "mnemonic" && isaSet == "PAUSE"
    },
    DifferenceRule(
      name: "FUCOMP",
      reason: "DD E8+i has one operand (SDM vol. 2A, FUCOM/FUCOMP/FUCOMPP); Zydis names ST(0) too."
    ) { what, ours, _, _ in
      ours.mnemonic == .FUCOMP && what == "operand count"
    },
    DifferenceRule(
      name: "SVM operands",
      reason: "The register that holds the VMCB's address is implied; Zydis shows it."
    ) { what, ours, _, isaSet in
      isaSet == "SVM" && what == "operand count"
    },
    DifferenceRule(
      name: "LEA segment",
      reason: "LEA uses no segment; Zydis drops the override, we keep what stands there for the text."
    ) { what, ours, _, _ in
      ours.mnemonic == .LEA && what.hasPrefix("operand 1: segment")
    },
    DifferenceRule(
      name: "no base with REX.B and 67",
      reason: "SIB base 101 with mod 00 is disp32 whatever REX.B says (SDM vol. 2A table 2-5), on silicon too; Zydis says R13D with address size 32."
    ) { what, ours, theirs, _ in
      what.hasSuffix("base") && ours.base == noRegister && ours.addressSize == 4 && ours.modRM & 0xC7 == 4
        && [theirs.operands.0, theirs.operands.1, theirs.operands.2, theirs.operands.3].contains {
          Int($0.kind) == ORACLE_MEMORY && $0.base == 13
        }
    },
  ]

  /// Names as Zydis has them; each stands for all that begin so.
  private static let beyondV3 = [
    "AVX512", "KNC", "AMX", "AMD3DNOW", "FMA4", "XOP", "TBM", "SSE4A", "LWP", "KEYLOCKER", "CET", "VAES", "VPCLMULQDQ",
    "AVX_VNNI", "AVX_GFNI", "GFNI", "RTM", "TSX_LDTRK", "WAITPKG", "UINTR", "MOVDIR", "ENQCMD", "SMX", "SGX", "TDX",
    "SNP", "AMD_INVLPGB", "MCOMMIT", "MONITORX", "CLZERO", "RDPRU", "PADLOCK", "SERIALIZE", "PCONFIG", "PT", "HRESET",
  ]
}
