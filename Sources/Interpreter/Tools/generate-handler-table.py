#!/usr/bin/env python3
"""Writes HandlerTable.swift: the addresses of all handlers, each named with concrete types.

The optimiser specialises a generic handler (and keeps its tail call) only where it is named concretely, so the table
cannot be built by generic code. A family is a template with one or more dimensions; the index of a member is the family's base plus
its position, last dimension fastest. Run it in its folder's parent: `Tools/generate-handler-table.py > HandlerTable.swift`.
"""
import os
from itertools import product

ADDRESS = ["BaseForm", "IndexForm", "RelativeForm", "SegmentForm"]
W4 = ["UInt8", "UInt16", "UInt32", "UInt64"]
W3 = ["UInt8", "UInt32", "UInt64"]
W2 = ["UInt32", "UInt64"]
ALU = ["Add", "Or", "And", "Sub", "Xor", "Cmp", "Test"]
WRITING = ALU[:5]
CC = ["O", "NO", "B", "NB", "Z", "NZ", "BE", "NBE", "S", "NS", "P", "NP", "L", "NL", "LE", "NLE"]
# Conditions worth a fused handler, in the order of CC; after logic operations and counters fewer make sense.
CMPCC = ["B", "NB", "Z", "NZ", "BE", "NBE", "S", "NS", "L", "NL", "LE", "NLE"]
TESTCC = ["Z", "NZ", "S", "NS", "LE", "NLE"]
ZSCC = ["Z", "NZ", "S", "NS"]

# Vector operations have all encodings.
V2 = ["LegacyEncoding", "VEX128Encoding"]
V3 = V2 + ["VEX256Encoding"]
VADDRESS = ["BaseForm", "IndexForm"]
VECTOR = ["PAND", "PANDN", "POR", "PXOR", "PCMPEQB", "PCMPEQW", "PCMPEQD", "PCMPGTB", "PADDB", "PADDD", "PADDQ", "PSUBB",
          "PMINUB", "PMAXUB", "PCMPGTW", "PCMPGTD", "PADDW", "PSUBW", "PSUBD", "PSUBQ", "PMINSW", "PMAXSW", "PMULLW", "PMULUDQ",
          "PUNPCKLBW", "PUNPCKLWD", "PUNPCKLDQ", "UnpackLow64", "PUNPCKHBW", "PUNPCKHWD", "PUNPCKHDQ", "PUNPCKHQDQ",
          "PSHUFD", "SHUFPS", "SHUFPD",
          "PCMPEQQ", "PCMPGTQ", "PMINSD", "PMAXSD", "PMINUD", "PMAXUD", "PMINUW", "PMAXUW", "PMULLD", "PADDUSB", "PADDUSW",
          "PSUBUSB", "PSUBUSW", "PADDSW", "PSUBSW", "PAVGB", "PAVGW", "PMULHUW", "PMULHW", "PMULHRSW", "PMULDQ",
          "PABSB", "PABSW", "PABSD", "PMADDWD", "PMADDUBSW", "PSADBW", "PSHUFB", "PALIGNR", "PSHUFLW", "PSHUFHW",
          "PACKSSWB", "PACKUSWB", "PACKSSDW", "PACKUSDW"]
VECTOREXTEND = ["PMOVZXBW", "PMOVZXWD", "PMOVZXDQ", "PMOVSXBW", "PMOVSXWD", "PMOVSXDQ"]
VECTORSHIFT = ["PSLLW", "PSLLD", "PSLLQ", "PSRLW", "PSRLD", "PSRLQ", "PSRAW", "PSRAD", "PSLLDQ", "PSRLDQ"]
FORMATS = ["Binary32", "Binary64"]
LANE = [n + f"Lane<{f}>" for n in ["Add", "Sub", "Mul", "Div", "Min", "Max"] for f in FORMATS] + ["SqrtSingleLane", "SqrtDoubleLane"]
SCALAR = LANE + ["WidenLane", "NarrowLane"]
PACKED = LANE + ["IntegerToSingleLane<UInt32>", "RoundSingleLane", "SingleToInt32Lane"]
FROMINTEGER = [f"IntegerTo{f}Lane<{w}>" for f in ["Single", "Double"] for w in W2]
X87FORMATS = ["X87Single", "X87Double"]
POPS = ["Pop0", "Pop1", "Pop2"]
TOINTEGER = [f"{r}{f}To{w}Lane" for r in ["", "Round"] for f in ["Single", "Double"] for w in ["Int32", "Int64"]]

# Register operations that chains and feeds are made of (`Fusion.step` knows this order); @ stands for the width.
STEPS = (["Mov_Reg_Reg<@>"] + [f"ALU_Reg_Reg_NoFlags<{n}Operation, @>" for n in WRITING]
         + [f"ALU_Reg_Imm_NoFlags<{n}Operation, @>" for n in ["Add", "And"]]
         + [f"Shift_Reg_Imm_NoFlags<{n}Operation, @>" for n in ["Shl", "Shr", "Sar"]]
         + [f"Rotate_Reg_Imm_NoFlags<{n}Operation, @>" for n in ["Rol", "Ror"]])

def op(names): return [n + "Operation" for n in names]
def cc(names): return ["Condition" + n for n in names]

FAMILIES = [
    # name, template, dimensions
    ("ALU_Reg_Reg", "ALU_Reg_Reg<{0}, {1}>", [op(ALU), W4]),
    ("ALU_Reg_Imm", "ALU_Reg_Imm<{0}, {1}>", [op(ALU), W4]),
    ("ALU_Reg_Mem", "ALU_Reg_Mem<{0}, {1}, {2}>", [op(ALU), W4, ADDRESS]),
    ("ALU_Mem_Reg", "ALU_Mem_Reg<{0}, {1}, {2}>", [op(ALU[:6]), W4, ADDRESS]),
    ("ALU_Mem_Imm", "ALU_Mem_Imm<{0}, {1}, {2}>", [op(ALU), W4, ADDRESS]),
    ("ALU_Reg_Reg_NoFlags", "ALU_Reg_Reg_NoFlags<{0}, {1}>", [op(WRITING), W2]),
    ("ALU_Reg_Imm_NoFlags", "ALU_Reg_Imm_NoFlags<{0}, {1}>", [op(WRITING), W2]),
    ("ALU_Reg_Mem_NoFlags", "ALU_Reg_Mem_NoFlags<{0}, {1}, {2}>", [op(WRITING), W2, ADDRESS]),
    ("Carry_Reg_Reg", "Carry_Reg_Reg<{0}, {1}>", [op(["Adc", "Sbb"]), W4]),
    ("Carry_Reg_Imm", "Carry_Reg_Imm<{0}, {1}>", [op(["Adc", "Sbb"]), W4]),
    ("Carry_Reg_Mem", "Carry_Reg_Mem<{0}, {1}, {2}>", [op(["Adc", "Sbb"]), W2, ADDRESS]),
    ("Carry_Mem_Reg", "Carry_Mem_Reg<{0}, {1}, {2}>", [op(["Adc", "Sbb"]), W2, ADDRESS]),
    ("Step_Reg", "Step_Reg<{0}, {1}>", [op(["Inc", "Dec"]), W4]),
    ("Step_Reg_NoFlags", "Step_Reg_NoFlags<{0}, {1}>", [op(["Inc", "Dec"]), W2]),
    ("Step_Mem", "Step_Mem<{0}, {1}, {2}>", [op(["Inc", "Dec"]), W4, ADDRESS]),
    ("Neg_Reg", "Neg_Reg<{0}>", [W4]),
    ("Not_Reg", "Not_Reg<{0}>", [W4]),
    ("Mov_Reg_Reg", "Mov_Reg_Reg<{0}>", [W4]),
    ("Mov_Reg_Imm", "Mov_Reg_Imm<{0}>", [W4]),
    ("Mov_Reg_Imm64", "Mov_Reg_Imm64", []),
    ("Mov_Reg_Mem", "Mov_Reg_Mem<{0}, {1}>", [W4, ADDRESS]),
    ("Mov_Mem_Reg", "Mov_Mem_Reg<{0}, {1}>", [W4, ADDRESS]),
    ("Mov_Mem_Imm", "Mov_Mem_Imm<{0}, {1}>", [W4, ADDRESS]),
    ("Movzx_Reg_Reg", "Movzx_Reg_Reg<{0}>", [["UInt16, UInt8", "UInt32, UInt8", "UInt32, UInt16"]]),
    ("Movzx_Reg_Mem", "Movzx_Reg_Mem<{0}, {1}>", [["UInt16, UInt8", "UInt32, UInt8", "UInt32, UInt16"], ADDRESS]),
    ("Movsx_Reg_Reg", "Movsx_Reg_Reg<{0}>",
     [["UInt16, UInt8", "UInt32, UInt8", "UInt64, UInt8", "UInt32, UInt16", "UInt64, UInt16", "UInt64, UInt32"]]),
    ("Movsx_Reg_Mem", "Movsx_Reg_Mem<{0}, {1}>",
     [["UInt16, UInt8", "UInt32, UInt8", "UInt64, UInt8", "UInt32, UInt16", "UInt64, UInt16", "UInt64, UInt32"], ADDRESS]),
    ("Lea", "Lea<{0}, {1}>", [["UInt16", "UInt32", "UInt64"], ADDRESS[:3]]),
    ("Xchg_Reg_Reg", "Xchg_Reg_Reg<{0}>", [W4]),
    ("Xchg_Mem_Reg", "Xchg_Mem_Reg<{0}, {1}>", [W4, ADDRESS]),
    ("Cmpxchg_Mem_Reg", "Cmpxchg_Mem_Reg<{0}, {1}>", [W2, ADDRESS]),
    ("Xadd_Mem_Reg", "Xadd_Mem_Reg<{0}, {1}>", [W2, ADDRESS]),
    ("Bswap", "Bswap<{0}>", [W2]),
    ("SignToRDX", "SignToRDX<{0}>", [["UInt16", "UInt32", "UInt64"]]),
    ("Nop", "Nop", []),
    ("Setcc_Reg", "Setcc_Reg<{0}>", [cc(CC)]),
    ("Setcc_Mem", "Setcc_Mem<{0}>", [ADDRESS]),
    ("Cmovcc_Reg_Reg", "Cmovcc_Reg_Reg<{0}, {1}>", [cc(CC), W2]),
    ("Cmovcc_Reg_Mem", "Cmovcc_Reg_Mem<{0}, {1}>", [W2, ADDRESS]),
    ("Jcc", "Jcc<{0}>", [cc(CC)]),
    ("Jmp", "Jmp", []),
    ("Call", "Call<{0}>", [W2]),
    ("Call_Reg", "Call_Reg<{0}>", [W2]),
    ("Jmp_Reg", "Jmp_Reg<{0}>", [W2]),
    ("Jmp_Mem", "Jmp_Mem<{0}, {1}>", [W2, ADDRESS]),
    ("Call_Mem", "Call_Mem<{0}, {1}>", [W2, ADDRESS]),
    ("Ret", "Ret<{0}>", [W2]),
    ("Push_Reg", "Push_Reg<{0}>", [W2]),
    ("Push_Imm", "Push_Imm<{0}>", [W2]),
    ("Push_Mem", "Push_Mem<{0}, {1}>", [W2, ADDRESS]),
    ("Pop_Reg", "Pop_Reg<{0}>", [W2]),
    ("Rep_Movs", "Rep_Movs", []),
    ("Rep_Stos", "Rep_Stos<{0}>", [W4]),
    ("Pushf", "Pushf<{0}>", [W2]),
    ("Popf", "Popf<{0}>", [W2]),
    ("Cli", "Cli", []),
    ("Sti", "Sti", []),
    ("Leave", "Leave<{0}>", [W2]),
    ("Shift_Reg_Imm", "Shift_Reg_Imm<{0}, {1}>", [op(["Shl", "Shr", "Sar"]), W4]),
    ("Shift_Reg_Imm_NoFlags", "Shift_Reg_Imm_NoFlags<{0}, {1}>", [op(["Shl", "Shr", "Sar"]), W2]),
    ("Shift_Reg_CL", "Shift_Reg_CL<{0}, {1}>", [op(["Shl", "Shr", "Sar"]), W2]),
    ("Rotate_Reg_Imm", "Rotate_Reg_Imm<{0}, {1}>", [op(["Rol", "Ror"]), W4]),
    ("Rotate_Reg_CL", "Rotate_Reg_CL<{0}, {1}>", [op(["Rol", "Ror"]), W2]),
    ("Rotate_Reg_Imm_NoFlags", "Rotate_Reg_Imm_NoFlags<{0}, {1}>", [op(["Rol", "Ror"]), W2]),
    ("ShiftX", "ShiftX<{0}, {1}>", [op(["Shl", "Shr", "Sar"]), W2]),
    ("Rorx", "Rorx<{0}>", [W2]),
    ("Shld_Imm", "Shld_Imm<{0}>", [W2]),
    ("Shrd_Imm", "Shrd_Imm<{0}>", [W2]),
    ("Imul_Reg_Reg", "Imul_Reg_Reg<{0}>", [W2]),
    ("Imul_Reg_Mem", "Imul_Reg_Mem<{0}, {1}>", [W2, ADDRESS]),
    ("Imul_Reg_Reg_Imm", "Imul_Reg_Reg_Imm<{0}>", [W2]),
    ("Imul_Reg_Mem_Imm", "Imul_Reg_Mem_Imm<{0}, {1}>", [W2, ADDRESS]),
    ("Mul_Reg", "Mul_Reg<{0}>", [W2]),
    ("Imul_Reg", "Imul_Reg<{0}>", [W2]),
    ("Mul_Mem", "Mul_Mem<{0}, {1}>", [W2, ADDRESS]),
    ("Mulx", "Mulx<{0}>", [W2]),
    ("Div_Reg", "Div_Reg<{0}>", [W2]),
    ("Div_Mem", "Div_Mem<{0}, {1}>", [W2, ADDRESS]),
    ("Idiv_Reg", "Idiv_Reg<{0}>", [W2]),
    ("Bit_Reg_Reg", "Bit_Reg_Reg<{0}, {1}>", [op(["Bt", "Bts", "Btr", "Btc"]), W2]),
    ("Bit_Reg_Imm", "Bit_Reg_Imm<{0}, {1}>", [op(["Bt", "Bts", "Btr", "Btc"]), W2]),
    ("Bit_Mem_Imm", "Bit_Mem_Imm<{0}, {1}, {2}>", [op(["Bt", "Bts", "Btr", "Btc"]), W2, ADDRESS]),
    ("Bsf", "Bsf<{0}>", [W2]),
    ("Bsr", "Bsr<{0}>", [W2]),
    ("Count_Reg", "Count_Reg<{0}, {1}>", [op(["Tzcnt", "Lzcnt", "Popcnt"]), W2]),
    ("Count_Mem", "Count_Mem<{0}, {1}, {2}>", [op(["Tzcnt", "Lzcnt", "Popcnt"]), W2, ADDRESS]),
    ("BitField_Reg", "BitField_Reg<{0}, {1}>", [op(["Andn", "Blsi", "Blsmsk", "Blsr", "Bzhi"]), W2]),
    ("Bextr", "Bextr<{0}>", [W2]),
    ("Pdep", "Pdep<{0}>", [W2]),
    ("Pext", "Pext<{0}>", [W2]),
    ("AddThrough", "AddThrough<{0}, {1}>", [["ThroughCarry", "ThroughOverflow"], W2]),
    ("FusedCmp_Reg_Reg", "Fused_Reg_Reg<CmpOperation, {0}, {1}>", [W3, cc(CMPCC)]),
    ("FusedCmp_Reg_Imm", "Fused_Reg_Imm<CmpOperation, {0}, {1}>", [W3, cc(CMPCC)]),
    ("FusedCmp_Reg_Mem", "Fused_Reg_Mem<CmpOperation, {0}, {1}, {2}>", [W3, ADDRESS, cc(CMPCC)]),
    ("FusedCmp_Mem_Reg", "Fused_Mem_Reg<CmpOperation, {0}, {1}, {2}>", [W3, ADDRESS, cc(CMPCC)]),
    ("FusedCmp_Mem_Imm", "Fused_Mem_Imm<CmpOperation, {0}, {1}, {2}>", [W3, ADDRESS, cc(CMPCC)]),
    ("FusedTest_Reg_Reg", "Fused_Reg_Reg<TestOperation, {0}, {1}>", [W3, cc(TESTCC)]),
    ("FusedTest_Reg_Imm", "Fused_Reg_Imm<TestOperation, {0}, {1}>", [W3, cc(TESTCC)]),
    ("FusedTest_Mem_Imm", "Fused_Mem_Imm<TestOperation, {0}, {1}, {2}>", [W3, ADDRESS, cc(["Z", "NZ"])]),
    ("Fused_Reg_Reg", "Fused_Reg_Reg<{0}, {1}, {2}>", [op(["Add", "And", "Sub"]), W2, cc(ZSCC)]),
    ("Fused_Reg_Imm", "Fused_Reg_Imm<{0}, {1}, {2}>", [op(["Add", "And", "Sub"]), W2, cc(ZSCC)]),
    ("Fused_Step", "Fused_Step<{0}, {1}, {2}>", [op(["Inc", "Dec"]), W2, cc(ZSCC)]),
    ("Bit_Reg_Jcc", "Bit_Reg_Jcc<{0}, {1}>", [W2, cc(["B", "NB"])]),
    ("Fused_Mov_ALU_Imm", "Fused_Mov_ALU_Imm<{0}, {1}>", [op(["Add", "And", "Sub"]), W2]),
    ("Fused_Mov_Mov", "Fused_Mov_Mov<{0}, {1}>", [W2, W2]),
    ("Fused_Push_Push", "Fused_Push_Push<{0}>", [W2]),
    ("Fused_Pop_Pop", "Fused_Pop_Pop<{0}>", [W2]),
    ("Chain", "Chain<{1}, {2}>", [W2, STEPS, STEPS[1:]]),
    ("Feed", "Feed<{1}, {2}>", [W2, STEPS, STEPS[:6]]),
    ("Vector_Copy", "Vector_Reg<CopyOperation, {0}>", [V3]),
    ("Vector_Load", "Vector_Load<{0}, {1}>", [V3, VADDRESS]),
    ("Vector_Store", "Vector_Store<{0}, {1}>", [V3, VADDRESS]),
    ("Vector_LoadLow", "Vector_LoadLow<{0}, {1}, {2}>", [W2, V2, VADDRESS]),
    ("Vector_StoreLow", "Vector_StoreLow<{0}, {1}, {2}>", [W2, V2, VADDRESS]),
    ("Vector_StoreHigh", "Vector_StoreHigh<{0}>", [V2]),
    ("Vector_FromGPR", "Vector_FromGPR<{0}, {1}>", [W2, V2]),
    ("Vector_ToGPR", "Vector_ToGPR<{0}, {1}>", [W2, V2]),
    ("Vector_CopyLow", "Vector_Reg<CopyLowOperation, {0}>", [V2]),
    ("Vector_MergeSingle", "Vector_Reg<MergeSingleOperation, {0}>", [V2]),
    ("Vector_MergeLow", "Vector_Reg<MergeLowOperation, {0}>", [V2]),
    ("Vector_MergeLow_Mem", "Vector_Mem64<MergeLowOperation, {0}>", [V2]),
    ("Vector_MergeHigh_Mem", "Vector_Mem64<UnpackLow64Operation, {0}>", [V2]),
    ("Vector_HighToLow", "Vector_Reg<HighToLowOperation, {0}>", [V2]),
    ("Vector_LowToHigh", "Vector_Reg<UnpackLow64Operation, {0}>", [V2]),
    ("Vector_Duplicate", "Vector_Reg<DuplicateLowOperation, LegacyEncoding>", []),
    ("Vector_Duplicate_Mem", "Vector_Mem64<DuplicateLowOperation, LegacyEncoding>", []),
    ("Vector_ByteMask", "Vector_ByteMask<{0}>", [V3]),
    ("Vector_SignMask", "Vector_SignMask<{0}>", [W2]),
    ("Vector_Reg", "Vector_Reg<{0}, {1}>", [op(VECTOR), V3]),
    ("Vector_Mem", "Vector_Mem<{0}, {1}>", [op(VECTOR), V3]),
    ("VectorShift", "Vector_Reg<{0}, {1}>", [op(VECTORSHIFT), V3]),
    ("Scalar_Reg", "Scalar_Reg<{0}, {1}>", [SCALAR, V2]),
    ("Scalar_Mem", "Scalar_Mem<{0}, {1}>", [SCALAR, V2]),
    ("Packed_Reg", "Packed_Reg<{0}, {1}>", [PACKED, V3]),
    ("Packed_Mem", "Packed_Mem<{0}, {1}>", [PACKED, V3]),
    ("Compare_Reg", "Compare_Reg<{0}, {1}>", [FORMATS, V2]),
    ("Compare_Mem", "Compare_Mem<{0}, {1}>", [FORMATS, V2]),
    ("FromInteger_GPR", "Scalar_GPR<{0}, {1}>", [FROMINTEGER, V2]),
    ("FromInteger_Mem", "Scalar_Mem<{0}, {1}>", [FROMINTEGER, V2]),
    ("ToInteger_Reg", "ScalarToGPR_Reg<{0}, {1}>", [TOINTEGER, V2]),
    ("ToInteger_Mem", "ScalarToGPR_Mem<{0}, {1}>", [TOINTEGER, V2]),
    ("Vector_Broadcast", "Vector_Broadcast<{0}, {1}>", [W4, V3[1:]]),
    ("Vector_Broadcast_Mem", "Vector_Broadcast_Mem<{0}, {1}>", [W4, V3[1:]]),
    ("Vector_Insert", "Vector_Insert<{0}, {1}>", [W4, V2]),
    ("Vector_Extract", "Vector_Extract<{0}, {1}>", [W4, V2]),
    ("Vector_InsertHalf", "Vector_InsertHalf", []),
    ("Vector_InsertHalf_Mem", "Vector_InsertHalf_Mem", []),
    ("Vector_ExtractHalf", "Vector_ExtractHalf", []),
    ("Vector_PermuteHalves", "Vector_PermuteHalves", []),
    ("Vector_PermuteQuads", "Vector_PermuteQuads", []),
    ("Vector_Extend", "Vector_Extend<{0}, {1}>", [op(VECTOREXTEND), V3]),
    ("Vector_Extend_Mem", "Vector_Extend_Mem<{0}, {1}>", [op(VECTOREXTEND), V3]),
    ("Vector_Test", "Vector_Test<{0}>", [V3]),
    ("Fused_Reg", "Fused_Reg", []),
    ("Fused_Mem", "Fused_Mem", []),
    ("Vector_ZeroUpper", "Vector_ZeroUpper", []),
    ("X87_Sum_Reg", "X87_Sum_Reg", []),
    ("X87_Product_Reg", "X87_Product_Reg", []),
    ("X87_Quotient_Reg", "X87_Quotient_Reg", []),
    ("X87_Root", "X87_Root", []),
    ("X87_Sum_Mem", "X87_Sum_Mem<{0}>", [X87FORMATS]),
    ("X87_Product_Mem", "X87_Product_Mem<{0}>", [X87FORMATS]),
    ("X87_Quotient_Mem", "X87_Quotient_Mem<{0}>", [X87FORMATS]),
    ("X87_Negate", "X87_Negate", []),
    ("X87_Absolute", "X87_Absolute", []),
    ("X87_Load_Reg", "X87_Load_Reg", []),
    ("X87_Load_Mem", "X87_Load_Mem<{0}>", [X87FORMATS]),
    ("X87_Load_Extended", "X87_Load_Extended", []),
    ("X87_Load_Integer", "X87_Load_Integer<{0}>", [["UInt16", "UInt32", "UInt64"]]),
    ("X87_Load_Constant", "X87_Load_Constant", []),
    ("X87_Store_Reg", "X87_Store_Reg<{0}>", [POPS[:2]]),
    ("X87_Store_Mem", "X87_Store_Mem<{0}>", [X87FORMATS]),
    ("X87_Store_Extended", "X87_Store_Extended", []),
    ("X87_Store_Integer", "X87_Store_Integer<{0}>", [["UInt16", "UInt32", "UInt64"]]),
    ("X87_Exchange", "X87_Exchange", []),
    ("X87_Move_Conditional", "X87_Move_Conditional", []),
    ("X87_StatusToAX", "X87_StatusToAX", []),
    ("X87_StoreWord", "X87_StoreWord", []),
    ("X87_LoadControl", "X87_LoadControl", []),
    ("X87_Compare_Mem", "X87_Compare_Mem<{0}>", [X87FORMATS]),
    ("X87_Compare", "X87_Compare<{0}>", [POPS]),
    ("X87_CompareToFlags", "X87_CompareToFlags<{0}>", [POPS[:2]]),
    ("Outside_Execute", "Outside", []),
    ("Outside_Float", "Outside", []),
    ("Outside_Crossing", "Outside", []),
    ("Control_Resolve", "Control", []),
    ("Control_CrossPage", "Control", []),
]
FUNCTION = {"Outside_Execute": "execute", "Outside_Crossing": "executeCrossing",
            "Outside_Float": "executeFloat",
            "Control_Resolve": "resolve", "Control_CrossPage": "crossPage"}

entries, bases = [], []
for name, template, dimensions in FAMILIES:
    shape = " ".join(f"[{len(d)}]" for d in dimensions)
    bases.append((name, len(entries), shape))
    for member in product(*dimensions):
        entries.append(template.format(*member).replace("@", member[0] if member else "") + "." + FUNCTION.get(name, "run"))

# Pairs by how often real programs execute them; see the file.
numbers = {e: k for k, e in enumerate(entries)}
pairs = []
for line in open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "pairs.txt")):
    if not line.startswith("#"):
        first, second = line.strip().split(" + ")
        pairs.append((numbers[first + ".run"], numbers[second + ".run"]))
        entries.append(f"Pair<{first}, {second}>.run")
bases.append(("Pair", len(entries) - len(pairs), f"[{len(pairs)}]"))

print("// Generated by Tools/generate-handler-table.py; do not edit.")
print()
print("import Processor")
print("import SoftFloat")
print("import X86Decoder")
print()
print("/// Addresses of all handlers. A constant is the index of a family's first member; the comment gives its dimensions.")
print("enum HandlerTable {")
for name, base, shape in bases:
    print(f"  static let {name} = {base}" + (f"  // {shape}" if shape else ""))
print(f"  static let count = {len(entries)}")
print("  static var addresses: UnsafePointer<UInt> { HandlerAddresses.table }")
print()
print("  /// First and second operation of each member of the family Pair: first << 16 | second.")
print("  static let pairs: [UInt32] = [")
for k in range(0, len(pairs), 10):
    print("    " + " ".join(f"{a << 16 | b}," for a, b in pairs[k:k + 10]))
print("  ]")
print("}")
print()
print("/// The table itself, filled on first use.")
print("private enum HandlerAddresses {")
print("  nonisolated(unsafe) static let table: UnsafePointer<UInt> = {")
print("    let table = UnsafeMutablePointer<UInt>.allocate(capacity: HandlerTable.count)")
CHUNK = 64
chunks = [entries[i:i + CHUNK] for i in range(0, len(entries), CHUNK)]
for k in range(len(chunks)):
    print(f"    fill{k}(table)")
print("    return UnsafePointer(table)")
print("  }()")
print()
for k, chunk in enumerate(chunks):
    print()
    print(f"  private static func fill{k}(_ t: UnsafeMutablePointer<UInt>) {{")
    for j, e in enumerate(chunk):
        print(f"    let h{j}: Handler = {e}")
        print(f"    t[{k * CHUNK + j}] = unsafeBitCast(h{j}, to: UInt.self)")
    print("  }")
print("}")
