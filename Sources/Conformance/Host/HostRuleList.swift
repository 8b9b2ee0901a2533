import X86
import X86Decoder

extension HostRule {
  /// In the order they are asked.
  public static let all: [HostRule] = excluded + values + undefined + strays + vendors

  // MARK: Rows that a program cannot run, or that the host lacks

  private static let excluded: [HostRule] = [
    HostRule("kernel-entry", .exclude, "enters the host's kernel", [.SYSCALL, .SYSENTER]),
    HostRule("hypervisor", .exclude, "asks a hypervisor under the host", [.VMCALL, .VMMCALL, .VMFUNC]),
    HostRule("kernel-emulates", .exclude, "Linux answers these for programs itself where UMIP forbids them", [.SGDT, .SIDT, .SLDT, .STR, .SMSW]),
    HostRule("monitor", .exclude, "depends on a model-specific register that lets programs wait", [.MONITOR, .MWAIT]),
    HostRule("absent", .exclude, "the host's CPUID does not report it", rows: { row, host in !host.features.contains(OpcodeMap.feature(ofRow: row)) }),
  ]

  // MARK: Values that cannot agree

  private static let values: [HostRule] = [
    HostRule("identity", .compare("EAX, EBX, ECX, EDX", { m, _ in m.registers |= 0xF }), "CPUID names another processor", [.CPUID]),
    HostRule("time", .compare("EAX, ECX, EDX", { m, _ in m.registers |= 7 }), "time and processor number differ", [.RDTSC, .RDTSCP, .RDPMC]),
    HostRule("chance", .compare("the destination and the flags", { m, c in
      m.registers |= 1 << UInt32(c.instruction.pointee.op0.register & 15)
      m.flags |= 0x8D5
    }), "random numbers, and whether there is one, are chance", [.RDRAND, .RDSEED]),
    HostRule("processor-number", .compare("the destination", { m, c in m.registers |= 1 << UInt32(c.instruction.pointee.op0.register & 15) }),
             "RDPID reads which of the host's processors runs the case", [.RDPID]),
    HostRule("in-use", .compare("EAX, EDX", { m, _ in m.registers |= 5 }), "which components XGETBV finds in use, and which exist, is the processor's choice", [.XGETBV]),
    HostRule("x87-pointers", .compare("FOP, FIP, FDP and MXCSR_MASK in memory", { m, c in
      let at = c.address
      m.memory += [(at &+ 6, 18), (at &+ 28, 4)]
    }), "when the last x87 instruction, its opcode and its operand are recorded differs by processor", savesPointers),
    HostRule("x87-environment", .compare("FOP, FIP, FDP in memory", { m, c in
      let at = c.address
      m.memory.append(c.instruction.pointee.operandSize == 2 ? (at &+ 6, 8) : (at &+ 12, 16))
    }), "when the last x87 instruction, its opcode and its operand are recorded differs by processor", [.FNSTENV, .FNSAVE]),
    HostRule("in-use-image", .compare("XSTATE_BV, components in their initial state, and whether those fault", { m, c in
      let at = c.address
      m.memory.append((at, 1024))
      for vector in [12, 13, 14] as [UInt32] { m.alternatives += [(vector, HostLayout.noVector), (HostLayout.noVector, vector)] }
    }), "which components XSAVEOPT and XSAVEC find in use, and store, is the processor's choice", [.XSAVEOPT, .XSAVEC]),
    HostRule("in-use-header", .compare("XSTATE_BV", { m, c in
      let at = c.address
      m.memory.append((at &+ 512, 8))
    }), "which components XSAVE finds in use is the processor's choice", [.XSAVE]),
    HostRule("approximation", .compare("the last bits of the result", { m, _ in m.approximationBits = 11 }),
             "only the relative error of 1.5 * 2^-12 is architecture", approximations),
    HostRule("transcendental", .compare("the last places of the result, C1 and PE", { m, _ in
      m.lastPlaces = 4
      m.status |= 0x220
    }), "x87 transcendental functions are exact to about one unit in the last place", transcendental),
  ]

  // MARK: What the architecture leaves undefined

  private static let undefined: [HostRule] = [
    HostRule("double-shift", .compare("the destination", { m, c in
      if c.instruction.pointee.op0.kind == .general {
        m.registers |= 1 << UInt32(c.instruction.pointee.op0.register & 15)
      } else {
        m.memory.append((c.address, 2))
      }
      m.flags |= 0x8D5
    }), "SHLD and SHRD of 16 bits by more than 16 have no defined result", [.SHLD, .SHRD]) { c in
      guard c.instruction.pointee.operandSize == 2 else { return false }
      let count = c.instruction.pointee.op2.kind == .immediate ? c.instruction.pointee.immediate : c.start.gpr(1)
      return !c.isFirst || count & 31 > 16
    },
    HostRule("alignment-check", .skip, "what #AC checks of accesses wider than 8 bytes, masked moves and segment registers on the stack differs by processor", rows: { row, _ in
      OpcodeMap.touchesMemory(row) && !OpcodeMap.attributes(row).isDisjoint(with: [.memoryOperand, .implicitMemory, .stack])
    }) { c in
      (c.start.pointee.rflags | c.end.pointee.rflags) & RFLAGS.AC != 0
        && (HostOperands.memorySize(c.instruction) > 8 || c.instruction.pointee.op0.kind == .segment
          || gathers.union(largeOperands).union(maskedMoves).contains(c.mnemonic))
    },
    HostRule("condition-bits", .compare("C0-C3", { m, _ in m.status |= 0x4700 }), "FFREE leaves the x87 condition bits undefined", [.FFREE, .FFREEP]),
    HostRule("partial-remainder", .compare("C0-C3", { m, _ in m.status |= 0x4700 }), "the quotient of FPREM is undefined where there is none",
             [.FPREM, .FPREM1]) {
      $0.end.statusWord & 1 != 0 || $0.end.signExponent(0) & 0x7FFF == 0x7FFF || $0.end.controlWord & 3 != 3
    },
    HostRule("large-operand", .compare("the faulting address and what had been stored", { m, c in
      m.faultDetails = true
      m.alternatives += [(14, 13), (14, 12), (13, 14), (12, 14), (13, 12), (12, 13)]
      m.memory.append((c.address, 1024))
    }), "which part of an operand of many words faults first differs by processor", largeOperands) { $0.faulted },
    HostRule("masked-move", .compare("whether it faults, and where", { m, c in
      m.faultDetails = true
      m.alternatives += [
        (14, HostLayout.noVector), (13, HostLayout.noVector), (12, HostLayout.noVector), (17, HostLayout.noVector), (13, 14), (12, 14), (14, 13), (14, 12),
        (14, 1), (13, 1), (12, 1),
      ]
      m.returnAddress = true
      m.memory.append(((c.end.gpr(7) &+ HostOperands.segmentBase(c.instruction, c.end)) & (c.instruction.pointee.addressSize == 4 ? 0xFFFF_FFFF : ~0), 16))
    }), "whether bytes that a mask leaves out can fault is the processor's choice", maskedMoves) { $0.faulted },
    HostRule("compare-order", .compare("which fault it is, and where", { m, _ in
      m.faultDetails = true
      m.alternatives += [(14, 13), (13, 14), (14, 12), (12, 14), (12, 13), (13, 12), (14, 17), (17, 14), (17, 13), (13, 17)]
    }), "which operand of CMPS is read first is the processor's choice",
             [.CMPSB, .CMPSW, .CMPSD_STR, .CMPSQ], endsCase: false) { $0.faulted },
    HostRule("mode-switch", .compare("bits 63-32 of general registers", { m, _ in m.upperHalves = true }),
             "they are undefined behind a transfer to 32-bit code", [.JMP_FAR, .CALL_FAR, .RET_FAR, .IRET]),
    HostRule("frame-order", .compare("the faulting address, #PF or #SS", { m, _ in
      m.faultDetails = true
      m.alternatives += [(12, 14), (14, 12)]
    }),
             "which word of its frame a far transfer accesses first, and in whose stack size, is the processor's choice", [.RET_FAR, .IRET]) { $0.faulted },
    HostRule("far-call-frame", .skip, "whether a far call has stored its frame when its target or the rest of its stack faults is the processor's choice",
             [.CALL_FAR]) { $0.end.pointee.vector == 12 || $0.end.pointee.vector == 14 },
    HostRule("pop-all", .compare("all registers but ESP", { m, _ in m.registers |= 0xEF }),
             "which registers POPA has loaded when it faults is the processor's choice", [.POPA], endsCase: false) { $0.faulted },
    HostRule("push-all", .compare("memory", { m, _ in m.memory.append((HostLayout.data, HostLayout.dataSize)) }),
             "which registers PUSHA has stored when it faults is the processor's choice", [.PUSHA], endsCase: false) { $0.faulted },
    HostRule("call-order", .compare("#PF or #GP", { m, _ in m.alternatives += [(14, 13), (13, 14), (14, 12), (12, 13)] }),
             "whether the stack or the target of a call is found wrong first is the processor's choice", [.CALL, .RET], endsCase: false) { $0.faulted },
    HostRule("truncated", .compare("#UD or #PF", { m, _ in m.alternatives += [(6, 14), (14, 6)] }),
             "how many bytes of an invalid instruction are fetched is the processor's choice", rows: { row, _ in
      row == 0 || OpcodeMap.mnemonic(row) == .UD0 || OpcodeMap.mnemonic(row) == .UD1
    }) { $0.faulted },
    HostRule("limit-order", .compare("#PF, #GP or #SS", { m, _ in
      m.faultDetails = true
      m.alternatives += [(13, 12), (14, 13), (14, 12)]
    }), "which of misalignment, absent page and segment limit or canonical address of a wide operand is found first is the processor's choice",
             rows: { row, _ in OpcodeMap.attributes(row).contains(.memoryOperand) }, endsCase: false) { c in
      c.faulted && HostOperands.memorySize(c.instruction) > 8
    },
    HostRule("gather-fault", .compare("the destination and the mask", { m, c in
      m.vectors |= 1 << UInt32(c.instruction.pointee.op0.register & 15) | 1 << UInt32(c.instruction.pointee.op2.register & 15)
      m.faultDetails = true
    }), "how far a gather that faults had come is the processor's choice", gathers, endsCase: false) { $0.faulted },
    HostRule("undocumented", .compare("tags and condition bits", { m, _ in
      m.status |= 0x4700
      m.floats = true
    }), "FSTPNCE is not documented", [.FSTPNCE]),
  ]

  /// Asked by the runner, when a case with branches came out differently: rules only know the instructions that were generated.
  static let strayID = "stray"

  private static let strays: [HostRule] = [
    HostRule("ends", .skip, "a branch went into the jump by which cases end, which only the host has", rows: { row, _ in OpcodeMap.attributes(row).contains(.endsBlock) }) { c in
      c.core.pointee.vector == 3 && (HostLayout.stubs + 2...HostLayout.stubs + 0x90).contains(c.core.pointee.rip)
    },
    HostRule(strayID, .skip, "a branch went into the middle of an instruction, to an instruction there with rules of its own", rows: { _, _ in false }),
  ]

  // MARK: Vendors

  private static let vendors: [HostRule] = [
    HostRule("amd-branch-size", .skip, "AMD obeys 66 before near branches in 64-bit code, Intel and the core ignore it", rows: { row, host in
      host.isAMD && OpcodeMap.attributes(row).contains(.force64)
    }) { c in !c.is32 && c.instruction.pointee.prefixes.contains(.operandSize) },
    HostRule("amd-far-pointer", .skip, "AMD ignores REX.W before far pointers in memory, Intel and the core take 80 bits",
             [.JMP_FAR, .CALL_FAR, .LFS, .LGS, .LSS], onlyAMD: true) { $0.instruction.pointee.prefixes.contains(.rexW) },
    HostRule("amd-vex-w", .skip, "AMD refuses VEX.W1 before VPEXTRD, VPINSRD and VMOVD outside 64-bit code, Intel and the core ignore W there",
             [.VPEXTRD, .VPINSRD, .VMOVD, .VMOVQ], onlyAMD: true) { $0.is32 && $0.instruction.pointee.prefixes.contains(.rexW) },
    HostRule("amd-prefetch", .exclude, "AMD refuses a register operand of PREFETCH, to Intel and the core it is a NOP", rows: { row, host in
      guard host.isAMD, OpcodeMap.mnemonic(row) == .NOP, let t = HostCatalog.shared.modes[0].templates[Int(row)].first else { return false }
      return t.map == 1 && t.opcode == 0x0D
    }),
    HostRule("amd-loop-prefix", .skip, "on AMD F2 and F3 choose the condition of LOOPE and LOOPNE, to Intel and the core they mean nothing", [.LOOPE, .LOOPNE], onlyAMD: true) {
      !$0.instruction.pointee.prefixes.isDisjoint(with: [.rep, .repne])
    },
    HostRule("amd-loop-size", .skip, "AMD cuts EIP to 16 bits by 66 before LOOP also where it does not jump", [.LOOP, .LOOPE, .LOOPNE, .JCXZ, .JECXZ], onlyAMD: true) {
      $0.is32 && $0.instruction.pointee.prefixes.contains(.operandSize)
    },
    HostRule("amd-movsxd", .skip, "AMD reads 32 bits for MOVSXD with 66, Intel and the core 16", [.MOVSXD], onlyAMD: true) {
      $0.faulted && $0.instruction.pointee.operandSize == 2
    },
    HostRule("far-call-fault", .skip, "a far call to another code size that faults on its stack does not end under Linux", [.CALL_FAR], onlyAMD: true) {
      $0.end.pointee.signal == HostLayout.stopped
    },
    HostRule("amd-far-call-stack", .skip, "a far call from 64-bit to 32-bit code pushes on AMD as the new code would, by ESP; to Intel and the core by RSP",
             [.CALL_FAR], onlyAMD: true) { c in
      !c.is32 && c.coreFaultedHere && c.core.gpr(4) >> 32 != 0 && [12, 14].contains(c.core.pointee.vector) && c.end.pointee.vector != c.core.pointee.vector
    },
    HostRule("amd-cr8", .compare("#GP or #UD", { m, _ in m.alternatives += [(13, 6)] }), "LOCK before MOV of CR0 means CR8 on AMD (AltMovCr8), to Intel and the core it is invalid",
             rows: { row, host in row == 0 && host.hasAlternativeCR8 }) { HostOperands.isLockedMoveOfCR0($0.code, is32: $0.is32) },
    HostRule("amd-push-segment-fault", .skip, "AMD stores the whole slot for PUSH of a segment register, which may fault where the selector alone does not",
             [.PUSH], onlyAMD: true) { $0.instruction.pointee.op0.kind == .segment && $0.instruction.pointee.operandSize == 4 && $0.faulted },
    HostRule("amd-push-segment", .compare("the upper half of what PUSH of a segment register stores", { m, c in
      m.memory.append((c.end.gpr(4) & 0xFFFF_FFFF &+ 2, 2))
    }), "AMD stores zeros there, Intel and the core nothing", [.PUSH], onlyAMD: true) {
      $0.instruction.pointee.op0.kind == .segment && $0.instruction.pointee.operandSize == 4
    },
    HostRule("amd-pop-segment", .skip, "AMD reads the whole slot for POP of a segment register, the core the selector", [.POP], onlyAMD: true) {
      $0.instruction.pointee.op0.kind == .segment && [12, 14, 17].contains($0.end.pointee.vector)
    },
    HostRule("amd-misaligned-mask", .skip, "AMD has a bit 17 in MXCSR, which lets misaligned operands pass", rows: { row, host in
      host.isAMD && [.LDMXCSR, .VLDMXCSR, .FXRSTOR, .XRSTOR].contains(OpcodeMap.mnemonic(row))
    }) { $0.end.mxcsr & 0x2_0000 != 0 },
    HostRule("amd-sysret", .compare("#GP or #UD", { m, _ in m.alternatives += [(13, 6)] }), "AMD knows SYSRET outside 64-bit code", [.SYSRET], onlyAMD: true) { $0.is32 },
    HostRule("amd-far-return", .compare("#PF, #AC or #GP", { m, _ in m.alternatives += [(14, 13), (17, 13), (14, 12)] }),
             "AMD reads the stack behind the parameters before it checks the selector", [.RET_FAR], onlyAMD: true),
    HostRule("amd-hash-alignment", .skip, "AMD allows memory operands of SHA that are not aligned", secureHashes, onlyAMD: true) { c in
      c.instruction.pointee.op1.kind == .memory && (!c.isFirst || c.startAddress & 15 != 0)
    },
    HostRule("amd-masked-move", .compare("x87 state", { m, _ in
      m.floats = true
      m.status |= 0x3800
    }), "AMD has entered MMX state when MASKMOVQ faults", [.MASKMOVQ], onlyAMD: true) { $0.faulted },
    HostRule("amd-c1", .compare("C1", { m, _ in m.status |= 0x200 }), "AMD leaves C1 alone where Intel and the core clear it",
             conditionalMoves.union(flagComparisons), onlyAMD: true),
    HostRule("amd-unmasked-flags", .compare("the status flags", { m, _ in m.flags |= 0x8D5 }),
             "with an invalid or denormal operand AMD sets the flags also where the exception is not masked", flagComparisons, onlyAMD: true) {
      $0.end.controlWord & 3 != 3
    },
    HostRule("amd-unmasked-conditions", .compare("C0, C2 and C3", { m, _ in m.status |= 0x4500 }),
             "with an invalid or denormal operand AMD sets the condition bits also where the exception is not masked", comparisons, onlyAMD: true) {
      $0.end.controlWord & 3 != 3
    },
    HostRule("amd-unmasked-load", .skip, "AMD loads a denormal number also where the exception is not masked", [.FLD], onlyAMD: true) {
      $0.end.controlWord & 2 == 0 && $0.end.statusWord & 2 != 0
    },
    HostRule("amd-high-segment-base", .skip, "AMD refuses an offset that is not canonical even if the sum with the segment's base is", rows: { row, host in
      host.isAMD && OpcodeMap.touchesMemory(row)
    }) { c in !c.is32 && c.isOverridden && HostOperands.segmentBase(c.instruction, c.start) != 0 && (
      HostOperands.segmentBase(c.instruction, c.start) >> 46 != 0
        // A fault leaves the registers as the instruction found them; one that went well may have changed those that it began with.
        || [c.start, c.end].contains { state in
          !HostOperands.isCanonical(HostOperands.implicitOffset(c.instruction, state)
            ?? HostOperands.offset(c.instruction, at: c.start.pointee.rip &+ UInt64(c.offset), state))
        }) },
    HostRule("hypervisor-int1", .compare("the return address", { m, _ in m.returnAddress = true }),
             "hypervisors on AMD deliver INT1 as a fault", [.INT1], onlyAMD: true),
  ]
}
