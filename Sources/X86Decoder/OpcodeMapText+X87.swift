/// The x87 escapes D8–DF (SDM vol. 2D tables ), with the aliases that hardware executes.
///
/// See `OpcodeMapText` for the notation. A later row takes the place of an earlier one where both match.
extension OpcodeMapText {
  static let x87: StaticString = """
    # D8  arithmetic with m32fp and ST(0)
    D8 /0               | FADD            Md            | fpu
    D8 /1               | FMUL            Md            | fpu
    D8 /2               | FCOM            Md            | fpu
    D8 /3               | FCOMP           Md            | fpu
    D8 /4               | FSUB            Md            | fpu
    D8 /5               | FSUBR           Md            | fpu
    D8 /6               | FDIV            Md            | fpu
    D8 /7               | FDIVR           Md            | fpu
    D8 C0+i             | FADD            ST0,STi       | fpu
    D8 C8+i             | FMUL            ST0,STi       | fpu
    D8 D0+i             | FCOM            STi           | fpu
    D8 D8+i             | FCOMP           STi           | fpu
    D8 E0+i             | FSUB            ST0,STi       | fpu
    D8 E8+i             | FSUBR           ST0,STi       | fpu
    D8 F0+i             | FDIV            ST0,STi       | fpu
    D8 F8+i             | FDIVR           ST0,STi       | fpu
    # D9  loads, stores, constants, transcendentals
    D9 /0               | FLD             Md            | fpu
    D9 /2               | FST             Md            | fpu
    D9 /3               | FSTP            Md            | fpu
    D9 /4               | FLDENV          M             | fpu
    D9 /5               | FLDCW           Mw            | fpu
    D9 /6               | FNSTENV         M             | fpu
    D9 /7               | FNSTCW          Mw            | fpu
    D9 C0+i             | FLD             STi           | fpu
    D9 C8+i             | FXCH            STi           | fpu
    D9 D0               | FNOP                          | fpu
    D9 D8+i             | FSTPNCE         STi           | fpu
    D9 E0               | FCHS                          | fpu
    D9 E1               | FABS                          | fpu
    D9 E4               | FTST                          | fpu
    D9 E5               | FXAM                          | fpu
    D9 E8               | FLD1                          | fpu
    D9 E9               | FLDL2T                        | fpu
    D9 EA               | FLDL2E                        | fpu
    D9 EB               | FLDPI                         | fpu
    D9 EC               | FLDLG2                        | fpu
    D9 ED               | FLDLN2                        | fpu
    D9 EE               | FLDZ                          | fpu
    D9 F0               | F2XM1                         | fpu
    D9 F1               | FYL2X                         | fpu
    D9 F2               | FPTAN                         | fpu
    D9 F3               | FPATAN                        | fpu
    D9 F4               | FXTRACT                       | fpu
    D9 F5               | FPREM1                        | i387
    D9 F6               | FDECSTP                       | fpu
    D9 F7               | FINCSTP                       | fpu
    D9 F8               | FPREM                         | fpu
    D9 F9               | FYL2XP1                       | fpu
    D9 FA               | FSQRT                         | fpu
    D9 FB               | FSINCOS                       | i387
    D9 FC               | FRNDINT                       | fpu
    D9 FD               | FSCALE                        | fpu
    D9 FE               | FSIN                          | i387
    D9 FF               | FCOS                          | i387
    # DA  arithmetic with m32int; conditional moves
    DA /0               | FIADD           Md            | fpu
    DA /1               | FIMUL           Md            | fpu
    DA /2               | FICOM           Md            | fpu
    DA /3               | FICOMP          Md            | fpu
    DA /4               | FISUB           Md            | fpu
    DA /5               | FISUBR          Md            | fpu
    DA /6               | FIDIV           Md            | fpu
    DA /7               | FIDIVR          Md            | fpu
    DA C0+i             | FCMOVB          ST0,STi       | cmov      | -----T
    DA C8+i             | FCMOVE          ST0,STi       | cmov      | --T---
    DA D0+i             | FCMOVBE         ST0,STi       | cmov      | --T--T
    DA D8+i             | FCMOVU          ST0,STi       | cmov      | ----T-
    DA E9               | FUCOMPP                       | i387
    # DB  m32int and m80fp loads and stores; conditional moves; control
    DB /0               | FILD            Md            | fpu
    DB /1               | FISTTP          Md            | sse3
    DB /2               | FIST            Md            | fpu
    DB /3               | FISTP           Md            | fpu
    DB /5               | FLD             Mt            | fpu
    DB /7               | FSTP            Mt            | fpu
    DB C0+i             | FCMOVNB         ST0,STi       | cmov      | -----T
    DB C8+i             | FCMOVNE         ST0,STi       | cmov      | --T---
    DB D0+i             | FCMOVNBE        ST0,STi       | cmov      | --T--T
    DB D8+i             | FCMOVNU         ST0,STi       | cmov      | ----T-
    DB E0               | FENI8087_NOP                  | fpu
    DB E1               | FDISI8087_NOP                 | fpu
    DB E2               | FNCLEX                        | fpu
    DB E3               | FNINIT                        | fpu
    DB E4               | FSETPM287_NOP                 | fpu
    DB E8+i             | FUCOMI          ST0,STi       | cmov      | 00M0MM
    DB F0+i             | FCOMI           ST0,STi       | cmov      | 00M0MM
    # DC  arithmetic with m64fp and with ST(i) as destination; D0 and D8 are undocumented aliases
    DC /0               | FADD            Mq            | fpu
    DC /1               | FMUL            Mq            | fpu
    DC /2               | FCOM            Mq            | fpu
    DC /3               | FCOMP           Mq            | fpu
    DC /4               | FSUB            Mq            | fpu
    DC /5               | FSUBR           Mq            | fpu
    DC /6               | FDIV            Mq            | fpu
    DC /7               | FDIVR           Mq            | fpu
    DC C0+i             | FADD            STi,ST0       | fpu
    DC C8+i             | FMUL            STi,ST0       | fpu
    DC D0+i             | FCOM            STi           | fpu
    DC D8+i             | FCOMP           STi           | fpu
    DC E0+i             | FSUBR           STi,ST0       | fpu
    DC E8+i             | FSUB            STi,ST0       | fpu
    DC F0+i             | FDIVR           STi,ST0       | fpu
    DC F8+i             | FDIV            STi,ST0       | fpu
    # DD  m64fp loads and stores, state; C8 is an undocumented alias
    DD /0               | FLD             Mq            | fpu
    DD /1               | FISTTP          Mq            | sse3
    DD /2               | FST             Mq            | fpu
    DD /3               | FSTP            Mq            | fpu
    DD /4               | FRSTOR          M             | fpu
    DD /6               | FNSAVE          M             | fpu
    DD /7               | FNSTSW          Mw            | fpu
    DD C0+i             | FFREE           STi           | fpu
    DD C8+i             | FXCH            STi           | fpu
    DD D0+i             | FST             STi           | fpu
    DD D8+i             | FSTP            STi           | fpu
    DD E0+i             | FUCOM           STi           | i387
    DD E8+i             | FUCOMP          STi           | i387
    # DE  arithmetic with m16int, and popping; D0 is an undocumented alias
    DE /0               | FIADD           Mw            | fpu
    DE /1               | FIMUL           Mw            | fpu
    DE /2               | FICOM           Mw            | fpu
    DE /3               | FICOMP          Mw            | fpu
    DE /4               | FISUB           Mw            | fpu
    DE /5               | FISUBR          Mw            | fpu
    DE /6               | FIDIV           Mw            | fpu
    DE /7               | FIDIVR          Mw            | fpu
    DE C0+i             | FADDP           STi,ST0       | fpu
    DE C8+i             | FMULP           STi,ST0       | fpu
    DE D0+i             | FCOMP           STi           | fpu
    DE E0+i             | FSUBRP          STi,ST0       | fpu
    DE E8+i             | FSUBP           STi,ST0       | fpu
    DE F0+i             | FDIVRP          STi,ST0       | fpu
    DE F8+i             | FDIVP           STi,ST0       | fpu
    DE D9               | FCOMPP                        | fpu
    # DF  m16int, m64int and BCD; C0, C8, D0 and D8 are undocumented
    DF /0               | FILD            Mw            | fpu
    DF /1               | FISTTP          Mw            | sse3
    DF /2               | FIST            Mw            | fpu
    DF /3               | FISTP           Mw            | fpu
    DF /4               | FBLD            Mt            | fpu
    DF /5               | FILD            Mq            | fpu
    DF /6               | FBSTP           Mt            | fpu
    DF /7               | FISTP           Mq            | fpu
    DF C0+i             | FFREEP          STi           | fpu
    DF C8+i             | FXCH            STi           | fpu
    DF D0+i             | FSTP            STi           | fpu
    DF D8+i             | FSTP            STi           | fpu
    DF E0               | FNSTSW          AX            | i286
    DF E8+i             | FUCOMIP         ST0,STi       | cmov      | 00M0MM
    DF F0+i             | FCOMIP          ST0,STi       | cmov      | 00M0MM
    """
}
