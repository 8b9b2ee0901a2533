/// The one-byte opcode map (SDM vol. 2D table A-2), without the x87 escapes D8–DF.
///
/// See `OpcodeMapText` for the notation. A later row takes the place of an earlier one where both match.
extension OpcodeMapText {
  static let oneByte: StaticString = """
    # 00-3F  arithmetic; segment pushes and pops; BCD
    00                  | ADD             Eb,Gb         | i8086     | MMMMMM | lock
    01                  | ADD             Ev,Gv         | i8086     | MMMMMM | lock
    02                  | ADD             Gb,Eb         | i8086     | MMMMMM
    03                  | ADD             Gv,Ev         | i8086     | MMMMMM
    04                  | ADD             AL,Ib         | i8086     | MMMMMM
    05                  | ADD             rAX,Iz        | i8086     | MMMMMM
    06                  | PUSH            ES            | i8086     | ------ | i64 stack
    07                  | POP             ES            | i8086     | ------ | i64 stack ends
    08                  | OR              Eb,Gb         | i8086     | 0MM?M0 | lock
    09                  | OR              Ev,Gv         | i8086     | 0MM?M0 | lock
    0A                  | OR              Gb,Eb         | i8086     | 0MM?M0
    0B                  | OR              Gv,Ev         | i8086     | 0MM?M0
    0C                  | OR              AL,Ib         | i8086     | 0MM?M0
    0D                  | OR              rAX,Iz        | i8086     | 0MM?M0
    0E                  | PUSH            CS            | i8086     | ------ | i64 stack
    10                  | ADC             Eb,Gb         | i8086     | MMMMMX | lock
    11                  | ADC             Ev,Gv         | i8086     | MMMMMX | lock
    12                  | ADC             Gb,Eb         | i8086     | MMMMMX
    13                  | ADC             Gv,Ev         | i8086     | MMMMMX
    14                  | ADC             AL,Ib         | i8086     | MMMMMX
    15                  | ADC             rAX,Iz        | i8086     | MMMMMX
    16                  | PUSH            SS            | i8086     | ------ | i64 stack
    17                  | POP             SS            | i8086     | ------ | i64 stack ends
    18                  | SBB             Eb,Gb         | i8086     | MMMMMX | lock
    19                  | SBB             Ev,Gv         | i8086     | MMMMMX | lock
    1A                  | SBB             Gb,Eb         | i8086     | MMMMMX
    1B                  | SBB             Gv,Ev         | i8086     | MMMMMX
    1C                  | SBB             AL,Ib         | i8086     | MMMMMX
    1D                  | SBB             rAX,Iz        | i8086     | MMMMMX
    1E                  | PUSH            DS            | i8086     | ------ | i64 stack
    1F                  | POP             DS            | i8086     | ------ | i64 stack ends
    20                  | AND             Eb,Gb         | i8086     | 0MM?M0 | lock
    21                  | AND             Ev,Gv         | i8086     | 0MM?M0 | lock
    22                  | AND             Gb,Eb         | i8086     | 0MM?M0
    23                  | AND             Gv,Ev         | i8086     | 0MM?M0
    24                  | AND             AL,Ib         | i8086     | 0MM?M0
    25                  | AND             rAX,Iz        | i8086     | 0MM?M0
    27                  | DAA                           | i8086     | ?MMXMX | i64
    28                  | SUB             Eb,Gb         | i8086     | MMMMMM | lock
    29                  | SUB             Ev,Gv         | i8086     | MMMMMM | lock
    2A                  | SUB             Gb,Eb         | i8086     | MMMMMM
    2B                  | SUB             Gv,Ev         | i8086     | MMMMMM
    2C                  | SUB             AL,Ib         | i8086     | MMMMMM
    2D                  | SUB             rAX,Iz        | i8086     | MMMMMM
    2F                  | DAS                           | i8086     | ?MMXMX | i64
    30                  | XOR             Eb,Gb         | i8086     | 0MM?M0 | lock
    31                  | XOR             Ev,Gv         | i8086     | 0MM?M0 | lock
    32                  | XOR             Gb,Eb         | i8086     | 0MM?M0
    33                  | XOR             Gv,Ev         | i8086     | 0MM?M0
    34                  | XOR             AL,Ib         | i8086     | 0MM?M0
    35                  | XOR             rAX,Iz        | i8086     | 0MM?M0
    37                  | AAA                           | i8086     | ???X?M | i64
    38                  | CMP             Eb,Gb         | i8086     | MMMMMM
    39                  | CMP             Ev,Gv         | i8086     | MMMMMM
    3A                  | CMP             Gb,Eb         | i8086     | MMMMMM
    3B                  | CMP             Gv,Ev         | i8086     | MMMMMM
    3C                  | CMP             AL,Ib         | i8086     | MMMMMM
    3D                  | CMP             rAX,Iz        | i8086     | MMMMMM
    3F                  | AAS                           | i8086     | ???X?M | i64
    # 40-5F  INC, DEC (REX prefixes in 64-bit code); PUSH, POP
    40+r                | INC             Zv            | i8086     | MMMMM- | i64
    48+r                | DEC             Zv            | i8086     | MMMMM- | i64
    50+r                | PUSH            Zv            | i8086     | ------ | d64 stack
    58+r                | POP             Zv            | i8086     | ------ | d64 stack
    # 60-6F
    60                  | PUSHA                         | i186      | ------ | i64 stack
    61                  | POPA                          | i186      | ------ | i64 stack
    62                  | BOUND           Gv,Ma         | i186      | ------ | i64
    63                  | ARPL            Ew,Gw         | i286      | --M--- | i64
    63                  | MOVSXD          Gv,Ez         | longMode  | ------ | o64
    68                  | PUSH            Iz            | i186      | ------ | d64 stack
    69                  | IMUL            Gv,Ev,Iz      | i186      | M????M
    6A                  | PUSH            sIb           | i186      | ------ | d64 stack
    6B                  | IMUL            Gv,Ev,sIb     | i186      | M????M
    6C                  | INSB            Yb,DX         | i186      | ------ | string
    6D                  | INSD            Yd,DX         | i386      | ------ | string
    o16 6D              | INSW            Yw,DX         | i186      | ------ | string
    6E                  | OUTSB           DX,Xb         | i186      | ------ | string
    6F                  | OUTSD           DX,Xd         | i386      | ------ | string
    o16 6F              | OUTSW           DX,Xw         | i186      | ------ | string
    # 70-7F  short conditional jumps
    70                  | JO              Jb            | i8086     | T----- | f64 ends
    71                  | JNO             Jb            | i8086     | T----- | f64 ends
    72                  | JB              Jb            | i8086     | -----T | f64 ends
    73                  | JNB             Jb            | i8086     | -----T | f64 ends
    74                  | JZ              Jb            | i8086     | --T--- | f64 ends
    75                  | JNZ             Jb            | i8086     | --T--- | f64 ends
    76                  | JBE             Jb            | i8086     | --T--T | f64 ends
    77                  | JNBE            Jb            | i8086     | --T--T | f64 ends
    78                  | JS              Jb            | i8086     | -T---- | f64 ends
    79                  | JNS             Jb            | i8086     | -T---- | f64 ends
    7A                  | JP              Jb            | i8086     | ----T- | f64 ends
    7B                  | JNP             Jb            | i8086     | ----T- | f64 ends
    7C                  | JL              Jb            | i8086     | TT---- | f64 ends
    7D                  | JNL             Jb            | i8086     | TT---- | f64 ends
    7E                  | JLE             Jb            | i8086     | TTT--- | f64 ends
    7F                  | JNLE            Jb            | i8086     | TTT--- | f64 ends
    # 80-83  group 1
    80 /0               | ADD             Eb,Ib         | i8086     | MMMMMM | lock
    80 /1               | OR              Eb,Ib         | i8086     | 0MM?M0 | lock
    80 /2               | ADC             Eb,Ib         | i8086     | MMMMMX | lock
    80 /3               | SBB             Eb,Ib         | i8086     | MMMMMX | lock
    80 /4               | AND             Eb,Ib         | i8086     | 0MM?M0 | lock
    80 /5               | SUB             Eb,Ib         | i8086     | MMMMMM | lock
    80 /6               | XOR             Eb,Ib         | i8086     | 0MM?M0 | lock
    80 /7               | CMP             Eb,Ib         | i8086     | MMMMMM
    81 /0               | ADD             Ev,Iz         | i8086     | MMMMMM | lock
    81 /1               | OR              Ev,Iz         | i8086     | 0MM?M0 | lock
    81 /2               | ADC             Ev,Iz         | i8086     | MMMMMX | lock
    81 /3               | SBB             Ev,Iz         | i8086     | MMMMMX | lock
    81 /4               | AND             Ev,Iz         | i8086     | 0MM?M0 | lock
    81 /5               | SUB             Ev,Iz         | i8086     | MMMMMM | lock
    81 /6               | XOR             Ev,Iz         | i8086     | 0MM?M0 | lock
    81 /7               | CMP             Ev,Iz         | i8086     | MMMMMM
    82 /0               | ADD             Eb,Ib         | i8086     | MMMMMM | i64 lock
    82 /1               | OR              Eb,Ib         | i8086     | 0MM?M0 | i64 lock
    82 /2               | ADC             Eb,Ib         | i8086     | MMMMMX | i64 lock
    82 /3               | SBB             Eb,Ib         | i8086     | MMMMMX | i64 lock
    82 /4               | AND             Eb,Ib         | i8086     | 0MM?M0 | i64 lock
    82 /5               | SUB             Eb,Ib         | i8086     | MMMMMM | i64 lock
    82 /6               | XOR             Eb,Ib         | i8086     | 0MM?M0 | i64 lock
    82 /7               | CMP             Eb,Ib         | i8086     | MMMMMM | i64
    83 /0               | ADD             Ev,sIb        | i8086     | MMMMMM | lock
    83 /1               | OR              Ev,sIb        | i8086     | 0MM?M0 | lock
    83 /2               | ADC             Ev,sIb        | i8086     | MMMMMX | lock
    83 /3               | SBB             Ev,sIb        | i8086     | MMMMMX | lock
    83 /4               | AND             Ev,sIb        | i8086     | 0MM?M0 | lock
    83 /5               | SUB             Ev,sIb        | i8086     | MMMMMM | lock
    83 /6               | XOR             Ev,sIb        | i8086     | 0MM?M0 | lock
    83 /7               | CMP             Ev,sIb        | i8086     | MMMMMM
    # 84-8F
    84                  | TEST            Eb,Gb         | i8086     | 0MM?M0
    85                  | TEST            Ev,Gv         | i8086     | 0MM?M0
    86                  | XCHG            Eb,Gb         | i8086     | ------ | lock
    87                  | XCHG            Ev,Gv         | i8086     | ------ | lock
    88                  | MOV             Eb,Gb         | i8086
    89                  | MOV             Ev,Gv         | i8086
    8A                  | MOV             Gb,Eb         | i8086
    8B                  | MOV             Gv,Ev         | i8086
    8C                  | MOV             Rv/Mw,Sw      | i8086
    8D                  | LEA             Gv,M          | i8086     | ------ | noaccess
    8E                  | MOV             Sw,Ew         | i8086     | ------ | implicit ends
    8F /0               | POP             Ev            | i8086     | ------ | d64 stack
    # 90-9F
    90+r                | XCHG            Zv,rAX        | i8086
    90                  | NOP                           | i8086     | ------ | rexb
    F3 90               | PAUSE                         | i8086     | ------ | rexb
    98                  | CWDE                          | i386
    o16 98              | CBW                           | i8086
    REX.W 98            | CDQE                          | longMode
    99                  | CDQ                           | i386
    o16 99              | CWD                           | i8086
    REX.W 99            | CQO                           | longMode
    9A                  | CALL_FAR        Ap            | i8086     | ------ | i64 stack ends
    9B                  | FWAIT                         | fpu
    9C                  | PUSHF           Fv            | i8086     | TTTTTT | d64 stack
    9D                  | POPF            Fv            | i8086     | MMMMMM | d64 stack ends
    9E                  | SAHF                          | i8086     | -MMMMM
    9F                  | LAHF                          | i8086     | -TTTTT
    # A0-AF  moffs moves; strings; TEST
    A0                  | MOV             AL,Ob         | i8086
    A1                  | MOV             rAX,Ov        | i8086
    A2                  | MOV             Ob,AL         | i8086
    A3                  | MOV             Ov,rAX        | i8086
    A4                  | MOVSB           Yb,Xb         | i8086     | ------ | string
    A5                  | MOVSD_STR       Yd,Xd         | i386      | ------ | string
    o16 A5              | MOVSW           Yw,Xw         | i8086     | ------ | string
    REX.W A5            | MOVSQ           Yq,Xq         | longMode  | ------ | string
    A6                  | CMPSB           Xb,Yb         | i8086     | mmmmmm | string
    A7                  | CMPSD_STR       Xd,Yd         | i386      | mmmmmm | string
    o16 A7              | CMPSW           Xw,Yw         | i8086     | mmmmmm | string
    REX.W A7            | CMPSQ           Xq,Yq         | longMode  | mmmmmm | string
    A8                  | TEST            AL,Ib         | i8086     | 0MM?M0
    A9                  | TEST            rAX,Iz        | i8086     | 0MM?M0
    AA                  | STOSB           Yb            | i8086     | ------ | string
    AB                  | STOSD           Yd            | i386      | ------ | string
    o16 AB              | STOSW           Yw            | i8086     | ------ | string
    REX.W AB            | STOSQ           Yq            | longMode  | ------ | string
    AC                  | LODSB           Xb            | i8086     | ------ | string
    AD                  | LODSD           Xd            | i386      | ------ | string
    o16 AD              | LODSW           Xw            | i8086     | ------ | string
    REX.W AD            | LODSQ           Xq            | longMode  | ------ | string
    AE                  | SCASB           Yb            | i8086     | mmmmmm | string
    AF                  | SCASD           Yd            | i386      | mmmmmm | string
    o16 AF              | SCASW           Yw            | i8086     | mmmmmm | string
    REX.W AF            | SCASQ           Yq            | longMode  | mmmmmm | string
    # B0-BF  move immediate to register
    B0+r                | MOV             Zb,Ib         | i8086
    B8+r                | MOV             Zv,Iv         | i8086
    # C0-CF
    C0 /0               | ROL             Eb,Ib         | i186      | u----m
    C0 /1               | ROR             Eb,Ib         | i186      | u----m
    C0 /2               | RCL             Eb,Ib         | i186      | u----x
    C0 /3               | RCR             Eb,Ib         | i186      | u----x
    C0 /4               | SHL             Eb,Ib         | i186      | ummumm
    C0 /5               | SHR             Eb,Ib         | i186      | ummumm
    C0 /6               | SHL             Eb,Ib         | i186      | ummumm
    C0 /7               | SAR             Eb,Ib         | i186      | ummumm
    C1 /0               | ROL             Ev,Ib         | i186      | u----m
    C1 /1               | ROR             Ev,Ib         | i186      | u----m
    C1 /2               | RCL             Ev,Ib         | i186      | u----x
    C1 /3               | RCR             Ev,Ib         | i186      | u----x
    C1 /4               | SHL             Ev,Ib         | i186      | ummumm
    C1 /5               | SHR             Ev,Ib         | i186      | ummumm
    C1 /6               | SHL             Ev,Ib         | i186      | ummumm
    C1 /7               | SAR             Ev,Ib         | i186      | ummumm
    C2                  | RET             Iw            | i8086     | ------ | f64 stack ends
    C3                  | RET                           | i8086     | ------ | f64 stack ends
    C4                  | LES             Gz,Mp         | i8086     | ------ | i64 ends
    C5                  | LDS             Gz,Mp         | i8086     | ------ | i64 ends
    C6 /0               | MOV             Eb,Ib         | i8086
    C7 /0               | MOV             Ev,Iz         | i8086
    C8                  | ENTER           Iw,Ib         | i186      | ------ | d64 stack
    C9                  | LEAVE                         | i186      | ------ | d64 stack
    CA                  | RET_FAR         Iw            | i8086     | ------ | stack ends
    CB                  | RET_FAR                       | i8086     | ------ | stack ends
    CC                  | INT3                          | i8086     | TTTTTT | stack ends
    CD                  | INT             Ib            | i8086     | TTTTTT | stack ends
    CE                  | INTO                          | i8086     | TTTTTT | i64 stack ends
    CF                  | IRET                          | i8086     | MMMMMM | stack ends
    # D0-D7  group 2 by 1 and by CL; BCD; XLAT
    D0 /0               | ROL             Eb,1          | i8086     | M----M
    D0 /1               | ROR             Eb,1          | i8086     | M----M
    D0 /2               | RCL             Eb,1          | i8086     | M----X
    D0 /3               | RCR             Eb,1          | i8086     | M----X
    D0 /4               | SHL             Eb,1          | i8086     | MMM?MM
    D0 /5               | SHR             Eb,1          | i8086     | MMM?MM
    D0 /6               | SHL             Eb,1          | i8086     | MMM?MM
    D0 /7               | SAR             Eb,1          | i8086     | MMM?MM
    D1 /0               | ROL             Ev,1          | i8086     | M----M
    D1 /1               | ROR             Ev,1          | i8086     | M----M
    D1 /2               | RCL             Ev,1          | i8086     | M----X
    D1 /3               | RCR             Ev,1          | i8086     | M----X
    D1 /4               | SHL             Ev,1          | i8086     | MMM?MM
    D1 /5               | SHR             Ev,1          | i8086     | MMM?MM
    D1 /6               | SHL             Ev,1          | i8086     | MMM?MM
    D1 /7               | SAR             Ev,1          | i8086     | MMM?MM
    D2 /0               | ROL             Eb,CL         | i8086     | u----m
    D2 /1               | ROR             Eb,CL         | i8086     | u----m
    D2 /2               | RCL             Eb,CL         | i8086     | u----x
    D2 /3               | RCR             Eb,CL         | i8086     | u----x
    D2 /4               | SHL             Eb,CL         | i8086     | ummumm
    D2 /5               | SHR             Eb,CL         | i8086     | ummumm
    D2 /6               | SHL             Eb,CL         | i8086     | ummumm
    D2 /7               | SAR             Eb,CL         | i8086     | ummumm
    D3 /0               | ROL             Ev,CL         | i8086     | u----m
    D3 /1               | ROR             Ev,CL         | i8086     | u----m
    D3 /2               | RCL             Ev,CL         | i8086     | u----x
    D3 /3               | RCR             Ev,CL         | i8086     | u----x
    D3 /4               | SHL             Ev,CL         | i8086     | ummumm
    D3 /5               | SHR             Ev,CL         | i8086     | ummumm
    D3 /6               | SHL             Ev,CL         | i8086     | ummumm
    D3 /7               | SAR             Ev,CL         | i8086     | ummumm
    D4                  | AAM             Ib            | i8086     | ?MM?M? | i64
    D5                  | AAD             Ib            | i8086     | ?MM?M? | i64
    D6                  | SALC                          | i8086     | -----T | i64
    D7                  | XLAT                          | i8086     | ------ | implicit
    # E0-EF  loops, ports, near and far transfers
    E0                  | LOOPNE          Jb            | i8086     | --T--- | f64 ends
    E1                  | LOOPE           Jb            | i8086     | --T--- | f64 ends
    E2                  | LOOP            Jb            | i8086     | ------ | f64 ends
    E3                  | JECXZ           Jb            | i386      | ------ | f64 ends
    a16 E3              | JCXZ            Jb            | i8086     | ------ | f64 ends
    a64 E3              | JRCXZ           Jb            | longMode  | ------ | f64 ends
    E4                  | IN              AL,Ib         | i8086
    E5                  | IN              eAX,Ib        | i8086
    E6                  | OUT             Ib,AL         | i8086
    E7                  | OUT             Ib,eAX        | i8086
    E8                  | CALL            Jz            | i8086     | ------ | f64 stack ends
    E9                  | JMP             Jz            | i8086     | ------ | f64 ends
    EA                  | JMP_FAR         Ap            | i8086     | ------ | i64 implicit ends
    EB                  | JMP             Jb            | i8086     | ------ | f64 ends
    EC                  | IN              AL,DX         | i8086
    ED                  | IN              eAX,DX        | i8086
    EE                  | OUT             DX,AL         | i8086
    EF                  | OUT             DX,eAX        | i8086
    # F0-FF  flags; groups 3, 4 and 5
    F1                  | INT1                          | i386      | TTTTTT | stack ends
    F4                  | HLT                           | i8086     | ------ | cpl0 ends
    F5                  | CMC                           | i8086     | -----X
    F6 /0               | TEST            Eb,Ib         | i8086     | 0MM?M0
    F6 /1               | TEST            Eb,Ib         | i8086     | 0MM?M0
    F6 /2               | NOT             Eb            | i8086     | ------ | lock
    F6 /3               | NEG             Eb            | i8086     | MMMMMM | lock
    F6 /4               | MUL             Eb            | i8086     | M????M
    F6 /5               | IMUL            Eb            | i8086     | M????M
    F6 /6               | DIV             Eb            | i8086     | ??????
    F6 /7               | IDIV            Eb            | i8086     | ??????
    F7 /0               | TEST            Ev,Iz         | i8086     | 0MM?M0
    F7 /1               | TEST            Ev,Iz         | i8086     | 0MM?M0
    F7 /2               | NOT             Ev            | i8086     | ------ | lock
    F7 /3               | NEG             Ev            | i8086     | MMMMMM | lock
    F7 /4               | MUL             Ev            | i8086     | M????M
    F7 /5               | IMUL            Ev            | i8086     | M????M
    F7 /6               | DIV             Ev            | i8086     | ??????
    F7 /7               | IDIV            Ev            | i8086     | ??????
    F8                  | CLC                           | i8086     | -----0
    F9                  | STC                           | i8086     | -----1
    FA                  | CLI                           | i8086
    FB                  | STI                           | i8086     | ------ | ends
    FC                  | CLD                           | i8086
    FD                  | STD                           | i8086
    FE /0               | INC             Eb            | i8086     | MMMMM- | lock
    FE /1               | DEC             Eb            | i8086     | MMMMM- | lock
    FF /0               | INC             Ev            | i8086     | MMMMM- | lock
    FF /1               | DEC             Ev            | i8086     | MMMMM- | lock
    FF /2               | CALL            Ev            | i8086     | ------ | f64 stack ends
    FF /3               | CALL_FAR        Mp            | i8086     | ------ | stack ends
    FF /4               | JMP             Ev            | i8086     | ------ | f64 ends
    FF /5               | JMP_FAR         Mp            | i8086     | ------ | implicit ends
    FF /6               | PUSH            Ev            | i8086     | ------ | d64 stack
    """
}
