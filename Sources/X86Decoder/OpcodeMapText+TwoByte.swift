/// Integer and system instructions of the maps 0F, 0F 38 and 0F 3A (SDM vol. 2D tables ).
///
/// See `OpcodeMapText` for the notation. A later row takes the place of an earlier one where both match.
extension OpcodeMapText {
  static let integer: StaticString = """
    # 0F 00, 0F 01  groups 6 and 7: descriptor tables, virtualisation, protection keys
    0F 00 /0            | SLDT            Rv/Mw         | i286
    0F 00 /1            | STR             Rv/Mw         | i286
    0F 00 /2            | LLDT            Ew            | i286      | ------ | cpl0 implicit
    0F 00 /3            | LTR             Ew            | i286      | ------ | cpl0 implicit
    0F 00 /4            | VERR            Ew            | i286      | --M--- | implicit
    0F 00 /5            | VERW            Ew            | i286      | --M--- | implicit
    0F 01 /0            | SGDT            Ms            | i286
    0F 01 /1            | SIDT            Ms            | i286
    0F 01 /2            | LGDT            Ms            | i286      | ------ | cpl0 ends
    0F 01 /3            | LIDT            Ms            | i286      | ------ | cpl0 ends
    0F 01 /4            | SMSW            Rv/Mw         | i286
    0F 01 /6            | LMSW            Ew            | i286      | ------ | cpl0 ends
    0F 01 /7            | INVLPG          Mb            | i486      | ------ | cpl0 noaccess ends
    NP 0F 01 C1         | VMCALL                        | vmx       | ------ | ends
    NP 0F 01 C2         | VMLAUNCH                      | vmx       | MMMMMM | cpl0 ends
    NP 0F 01 C3         | VMRESUME                      | vmx       | MMMMMM | cpl0 ends
    NP 0F 01 C4         | VMXOFF                        | vmx       | MMMMMM | cpl0 ends
    NP 0F 01 C8         | MONITOR                       | monitor   | ------ | cpl0 implicit
    NP 0F 01 C9         | MWAIT                         | monitor   | ------ | cpl0 ends
    NP 0F 01 CA         | CLAC                          | smap      | ------ | cpl0 ends
    NP 0F 01 CB         | STAC                          | smap      | ------ | cpl0 ends
    NP 0F 01 D0         | XGETBV                        | xsave
    NP 0F 01 D1         | XSETBV                        | xsave     | ------ | cpl0 ends
    NP 0F 01 D4         | VMFUNC                        | vmx       | ------ | ends
    0F 01 D8            | VMRUN                         | svm       | ------ | cpl0 ends
    0F 01 D9            | VMMCALL                       | svm       | ------ | ends
    0F 01 DA            | VMLOAD                        | svm       | ------ | cpl0 ends
    0F 01 DB            | VMSAVE                        | svm       | ------ | cpl0 ends
    0F 01 DC            | STGI                          | svm       | ------ | cpl0 ends
    0F 01 DD            | CLGI                          | svm       | ------ | cpl0 ends
    0F 01 DE            | SKINIT                        | svm       | ------ | cpl0 ends
    0F 01 DF            | INVLPGA                       | svm       | ------ | cpl0 ends
    NP 0F 01 EE         | RDPKRU                        | pku
    NP 0F 01 EF         | WRPKRU                        | pku       | ------ | ends
    0F 01 F8            | SWAPGS                        | longMode  | ------ | o64 cpl0
    0F 01 F9            | RDTSCP                        | rdtscp
    # 0F 02-0F 0D
    0F 02               | LAR             Gv,Rv/Mw      | i286      | --M--- | implicit
    0F 03               | LSL             Gv,Rz/Mw      | i286      | --M--- | implicit
    0F 05               | SYSCALL                       | syscall   | xxxxxx | ends
    0F 06               | CLTS                          | i286      | ------ | cpl0 ends
    0F 07               | SYSRET                        | syscall   | MMMMMM | cpl0 ends
    0F 08               | INVD                          | i486      | ------ | cpl0
    0F 09               | WBINVD                        | i486      | ------ | cpl0
    0F 0B               | UD2                           | i8086     | ------ | ends
    0F 0D               | NOP             Ev            | longMode  | ------ | noaccess
    0F 0D /0            | PREFETCH        Mb            | prefetchw | ------ | noaccess fallback
    0F 0D /1            | PREFETCHW       Mb            | prefetchw | ------ | noaccess fallback
    0F 0D /2            | PREFETCHWT1     Mb            | prefetchw | ------ | noaccess fallback
    0F 0D /3            | PREFETCH        Mb            | prefetchw | ------ | noaccess fallback
    0F 0D /4            | PREFETCH        Mb            | prefetchw | ------ | noaccess fallback
    0F 0D /5            | PREFETCH        Mb            | prefetchw | ------ | noaccess fallback
    0F 0D /6            | PREFETCH        Mb            | prefetchw | ------ | noaccess fallback
    0F 0D /7            | PREFETCH        Mb            | prefetchw | ------ | noaccess fallback
    # 0F 18-0F 1F  prefetches and hint NOPs (ENDBR32, ENDBR64, RDSSP, CLDEMOTE and BND* are NOPs here)
    0F 18               | NOP             Ev            | p6        | ------ | noaccess
    0F 18 /0            | PREFETCHNTA     Mb            | sse       | ------ | noaccess fallback
    0F 18 /1            | PREFETCHT0      Mb            | sse       | ------ | noaccess fallback
    0F 18 /2            | PREFETCHT1      Mb            | sse       | ------ | noaccess fallback
    0F 18 /3            | PREFETCHT2      Mb            | sse       | ------ | noaccess fallback
    0F 19               | NOP             Ev            | p6        | ------ | noaccess
    0F 1A               | NOP             Ev            | p6        | ------ | noaccess
    0F 1B               | NOP             Ev            | p6        | ------ | noaccess
    0F 1C               | NOP             Ev            | p6        | ------ | noaccess
    0F 1D               | NOP             Ev            | p6        | ------ | noaccess
    0F 1E               | NOP             Ev            | p6        | ------ | noaccess
    0F 1F               | NOP             Ev            | p6        | ------ | noaccess
    # 0F 20-0F 23  control and debug registers (mod is ignored, SDM vol. 2B, MOV—Move to/from Control Registers)
    0F 20               | MOV             Rn,Cn         | i386      | ------ | cpl0 anymod
    0F 21               | MOV             Rn,Dn         | i386      | ------ | cpl0 anymod
    0F 22               | MOV             Cn,Rn         | i386      | ------ | cpl0 anymod ends
    0F 23               | MOV             Dn,Rn         | i386      | ------ | cpl0 anymod ends
    # 0F 30-0F 35
    0F 30               | WRMSR                         | msr       | ------ | cpl0 ends
    0F 31               | RDTSC                         | tsc
    0F 32               | RDMSR                         | msr       | ------ | cpl0
    0F 33               | RDPMC                         | p6
    0F 34               | SYSENTER                      | sep       | ------ | ends
    0F 35               | SYSEXIT                       | sep       | ------ | cpl0 ends
    # 0F 40-0F 4F  conditional moves
    0F 40               | CMOVO           Gv,Ev         | cmov      | T-----
    0F 41               | CMOVNO          Gv,Ev         | cmov      | T-----
    0F 42               | CMOVB           Gv,Ev         | cmov      | -----T
    0F 43               | CMOVNB          Gv,Ev         | cmov      | -----T
    0F 44               | CMOVZ           Gv,Ev         | cmov      | --T---
    0F 45               | CMOVNZ          Gv,Ev         | cmov      | --T---
    0F 46               | CMOVBE          Gv,Ev         | cmov      | --T--T
    0F 47               | CMOVNBE         Gv,Ev         | cmov      | --T--T
    0F 48               | CMOVS           Gv,Ev         | cmov      | -T----
    0F 49               | CMOVNS          Gv,Ev         | cmov      | -T----
    0F 4A               | CMOVP           Gv,Ev         | cmov      | ----T-
    0F 4B               | CMOVNP          Gv,Ev         | cmov      | ----T-
    0F 4C               | CMOVL           Gv,Ev         | cmov      | TT----
    0F 4D               | CMOVNL          Gv,Ev         | cmov      | TT----
    0F 4E               | CMOVLE          Gv,Ev         | cmov      | TTT---
    0F 4F               | CMOVNLE         Gv,Ev         | cmov      | TTT---
    # 0F 78-0F 79  VMX
    NP 0F 78            | VMREAD          En,Gn         | vmx       | MMMMMM | cpl0
    NP 0F 79            | VMWRITE         Gn,En         | vmx       | MMMMMM | cpl0
    # 0F 80-0F 9F  conditional jumps and sets
    0F 80               | JO              Jz            | i386      | T----- | f64 ends
    0F 81               | JNO             Jz            | i386      | T----- | f64 ends
    0F 82               | JB              Jz            | i386      | -----T | f64 ends
    0F 83               | JNB             Jz            | i386      | -----T | f64 ends
    0F 84               | JZ              Jz            | i386      | --T--- | f64 ends
    0F 85               | JNZ             Jz            | i386      | --T--- | f64 ends
    0F 86               | JBE             Jz            | i386      | --T--T | f64 ends
    0F 87               | JNBE            Jz            | i386      | --T--T | f64 ends
    0F 88               | JS              Jz            | i386      | -T---- | f64 ends
    0F 89               | JNS             Jz            | i386      | -T---- | f64 ends
    0F 8A               | JP              Jz            | i386      | ----T- | f64 ends
    0F 8B               | JNP             Jz            | i386      | ----T- | f64 ends
    0F 8C               | JL              Jz            | i386      | TT---- | f64 ends
    0F 8D               | JNL             Jz            | i386      | TT---- | f64 ends
    0F 8E               | JLE             Jz            | i386      | TTT--- | f64 ends
    0F 8F               | JNLE            Jz            | i386      | TTT--- | f64 ends
    0F 90               | SETO            Eb            | i386      | T-----
    0F 91               | SETNO           Eb            | i386      | T-----
    0F 92               | SETB            Eb            | i386      | -----T
    0F 93               | SETNB           Eb            | i386      | -----T
    0F 94               | SETZ            Eb            | i386      | --T---
    0F 95               | SETNZ           Eb            | i386      | --T---
    0F 96               | SETBE           Eb            | i386      | --T--T
    0F 97               | SETNBE          Eb            | i386      | --T--T
    0F 98               | SETS            Eb            | i386      | -T----
    0F 99               | SETNS           Eb            | i386      | -T----
    0F 9A               | SETP            Eb            | i386      | ----T-
    0F 9B               | SETNP           Eb            | i386      | ----T-
    0F 9C               | SETL            Eb            | i386      | TT----
    0F 9D               | SETNL           Eb            | i386      | TT----
    0F 9E               | SETLE           Eb            | i386      | TTT---
    0F 9F               | SETNLE          Eb            | i386      | TTT---
    # 0F A0-0F AF
    0F A0               | PUSH            FS            | i386      | ------ | d64 stack
    0F A1               | POP             FS            | i386      | ------ | d64 stack ends
    0F A2               | CPUID                         | i486      | ------ | ends
    0F A3               | BT              Ev,Gv         | i386      | ??-??M
    0F A4               | SHLD            Ev,Gv,Ib      | i386      | ummumm
    0F A5               | SHLD            Ev,Gv,CL      | i386      | ummumm
    0F A8               | PUSH            GS            | i386      | ------ | d64 stack
    0F A9               | POP             GS            | i386      | ------ | d64 stack ends
    0F AA               | RSM                           | i386      | MMMMMM | implicit ends
    0F AB               | BTS             Ev,Gv         | i386      | ??-??M | lock
    0F AC               | SHRD            Ev,Gv,Ib      | i386      | ummumm
    0F AD               | SHRD            Ev,Gv,CL      | i386      | ummumm
    NP 0F AE /0         | FXSAVE          M             | fxsr
    NP 0F AE /1         | FXRSTOR         M             | fxsr
    NP 0F AE /2         | LDMXCSR         Md            | sse
    NP 0F AE /3         | STMXCSR         Md            | sse
    NP 0F AE /4         | XSAVE           M             | xsave
    NP 0F AE /5         | XRSTOR          M             | xsave
    NP 0F AE /6         | XSAVEOPT        M             | xsaveopt
    NP 0F AE /7         | CLFLUSH         Mb            | clflush
    66 0F AE /6         | CLWB            Mb            | clwb
    66 0F AE /7         | CLFLUSHOPT      Mb            | clflushopt
    NP 0F AE /5 reg     | LFENCE                        | sse2
    NP 0F AE /6 reg     | MFENCE                        | sse2
    NP 0F AE /7 reg     | SFENCE                        | sse
    F3 0F AE /0         | RDFSBASE        Ry            | fsgsbase  | ------ | o64
    F3 0F AE /1         | RDGSBASE        Ry            | fsgsbase  | ------ | o64
    F3 0F AE /2         | WRFSBASE        Ry            | fsgsbase  | ------ | o64
    F3 0F AE /3         | WRGSBASE        Ry            | fsgsbase  | ------ | o64
    0F AF               | IMUL            Gv,Ev         | i386      | M????M
    # 0F B0-0F CF
    0F B0               | CMPXCHG         Eb,Gb         | i486      | MMMMMM | lock
    0F B1               | CMPXCHG         Ev,Gv         | i486      | MMMMMM | lock
    0F B2               | LSS             Gv,Mp         | i386      | ------ | ends
    0F B3               | BTR             Ev,Gv         | i386      | ??-??M | lock
    0F B4               | LFS             Gv,Mp         | i386      | ------ | ends
    0F B5               | LGS             Gv,Mp         | i386      | ------ | ends
    0F B6               | MOVZX           Gv,Eb         | i386
    0F B7               | MOVZX           Gv,Ew         | i386
    F3 0F B8            | POPCNT          Gv,Ev         | popcnt    | 00M000
    0F B9               | UD1             Gd,Ed         | i8086     | ------ | ends noaccess
    0F BA /4            | BT              Ev,Ib         | i386      | ??-??M
    0F BA /5            | BTS             Ev,Ib         | i386      | ??-??M | lock
    0F BA /6            | BTR             Ev,Ib         | i386      | ??-??M | lock
    0F BA /7            | BTC             Ev,Ib         | i386      | ??-??M | lock
    0F BB               | BTC             Ev,Gv         | i386      | ??-??M | lock
    0F BC               | BSF             Gv,Ev         | i386      | ??M???
    F3 0F BC            | TZCNT           Gv,Ev         | bmi1      | ??M??M | fallback
    0F BD               | BSR             Gv,Ev         | i386      | ??M???
    F3 0F BD            | LZCNT           Gv,Ev         | lzcnt     | ??M??M | fallback
    0F BE               | MOVSX           Gv,Eb         | i386
    0F BF               | MOVSX           Gv,Ew         | i386
    0F C0               | XADD            Eb,Gb         | i486      | MMMMMM | lock
    0F C1               | XADD            Ev,Gv         | i486      | MMMMMM | lock
    NP 0F C3            | MOVNTI          My,Gy         | sse2
    0F C7 /1            | CMPXCHG8B       Mq            | cx8       | --M--- | lock
    REX.W 0F C7 /1      | CMPXCHG16B      Mdq           | cx16      | --M--- | lock
    NP 0F C7 /3         | XRSTORS         M             | xsaves    | ------ | cpl0
    NP 0F C7 /4         | XSAVEC          M             | xsavec
    NP 0F C7 /5         | XSAVES          M             | xsaves    | ------ | cpl0
    NP 0F C7 /6         | VMPTRLD         Mq            | vmx       | MMMMMM | cpl0
    66 0F C7 /6         | VMCLEAR         Mq            | vmx       | MMMMMM | cpl0
    F3 0F C7 /6         | VMXON           Mq            | vmx       | MMMMMM | cpl0 ends
    NP 0F C7 /7         | VMPTRST         Mq            | vmx       | MMMMMM | cpl0
    NP,66 0F C7 /6      | RDRAND          Rv            | rdrand    | 00000M
    NP,66 0F C7 /7      | RDSEED          Rv            | rdseed    | 00000M
    F3 0F C7 /7         | RDPID           Rn            | rdpid
    0F C8+r             | BSWAP           Zv            | i486
    0F FF               | UD0             Gd,Ed         | i8086     | ------ | ends noaccess
    # 0F 38 and 0F 3A  integer and system
    66 0F 38 80         | INVEPT          Gn,Mdq        | vmx       | MMMMMM | cpl0 ends
    66 0F 38 81         | INVVPID         Gn,Mdq        | vmx       | MMMMMM | cpl0 ends
    66 0F 38 82         | INVPCID         Gn,Mdq        | invpcid   | ------ | cpl0 ends
    NP,66 0F 38 F0      | MOVBE           Gv,Mv         | movbe
    NP,66 0F 38 F1      | MOVBE           Mv,Gv         | movbe
    F2 0F 38 F0         | CRC32           Gy,Eb         | sse42
    F2 0F 38 F1         | CRC32           Gy,Ev         | sse42
    66 0F 38 F6         | ADCX            Gy,Ey         | adx       | -----X
    F3 0F 38 F6         | ADOX            Gy,Ey         | adx       | X-----
    # VEX  BMI1 and BMI2
    VEX.L0.NP.0F38 F2       | ANDN              Gy,By,Ey          | bmi1      | 0MM??0
    VEX.L0.NP.0F38 F3 /1    | BLSR              By,Ey             | bmi1      | 0MM??M
    VEX.L0.NP.0F38 F3 /2    | BLSMSK            By,Ey             | bmi1      | 0M0??M
    VEX.L0.NP.0F38 F3 /3    | BLSI              By,Ey             | bmi1      | 0MM??M
    VEX.L0.NP.0F38 F5       | BZHI              Gy,Ey,By          | bmi2      | 0MM??M
    VEX.L0.F3.0F38 F5       | PEXT              Gy,By,Ey          | bmi2
    VEX.L0.F2.0F38 F5       | PDEP              Gy,By,Ey          | bmi2
    VEX.L0.F2.0F38 F6       | MULX              Gy,By,Ey          | bmi2
    VEX.L0.NP.0F38 F7       | BEXTR             Gy,Ey,By          | bmi1      | 0?M??0
    VEX.L0.66.0F38 F7       | SHLX              Gy,Ey,By          | bmi2
    VEX.L0.F3.0F38 F7       | SARX              Gy,Ey,By          | bmi2
    VEX.L0.F2.0F38 F7       | SHRX              Gy,Ey,By          | bmi2
    VEX.L0.F2.0F3A F0       | RORX              Gy,Ey,Ib          | bmi2
    """
}
