/// MMX, SSE to SSE4.2, AES-NI, PCLMULQDQ and SHA (SDM vol. 2D tables ).
///
/// See `OpcodeMapText` for the notation. A later row takes the place of an earlier one where both match.
extension OpcodeMapText {
  static let sse: StaticString = """
    # 0F 10-0F 1F
    NP 0F 10            | MOVUPS          Vps,Wps       | sse
    66 0F 10            | MOVUPD          Vpd,Wpd       | sse2
    F3 0F 10            | MOVSS           Vss,Wss       | sse
    F2 0F 10            | MOVSD           Vsd,Wsd       | sse2
    NP 0F 11            | MOVUPS          Wps,Vps       | sse
    66 0F 11            | MOVUPD          Wpd,Vpd       | sse2
    F3 0F 11            | MOVSS           Wss,Vss       | sse
    F2 0F 11            | MOVSD           Wsd,Vsd       | sse2
    NP 0F 12            | MOVLPS          Vq,Mq         | sse
    NP 0F 12            | MOVHLPS         Vq,Uq         | sse
    66 0F 12            | MOVLPD          Vq,Mq         | sse2
    F3 0F 12            | MOVSLDUP        Vx,Wx         | sse3
    F2 0F 12            | MOVDDUP         Vdq,Wq        | sse3
    NP 0F 13            | MOVLPS          Mq,Vq         | sse
    66 0F 13            | MOVLPD          Mq,Vq         | sse2
    NP 0F 14            | UNPCKLPS        Vps,Wps       | sse
    66 0F 14            | UNPCKLPD        Vpd,Wpd       | sse2
    NP 0F 15            | UNPCKHPS        Vps,Wps       | sse
    66 0F 15            | UNPCKHPD        Vpd,Wpd       | sse2
    NP 0F 16            | MOVHPS          Vq,Mq         | sse
    NP 0F 16            | MOVLHPS         Vq,Uq         | sse
    66 0F 16            | MOVHPD          Vq,Mq         | sse2
    F3 0F 16            | MOVSHDUP        Vx,Wx         | sse3
    NP 0F 17            | MOVHPS          Mq,Vq         | sse
    66 0F 17            | MOVHPD          Mq,Vq         | sse2
    # 0F 20-0F 2F
    NP 0F 28            | MOVAPS          Vps,Wps       | sse
    66 0F 28            | MOVAPD          Vpd,Wpd       | sse2
    NP 0F 29            | MOVAPS          Wps,Vps       | sse
    66 0F 29            | MOVAPD          Wpd,Vpd       | sse2
    NP 0F 2A            | CVTPI2PS        Vq,Qq         | sse
    66 0F 2A            | CVTPI2PD        Vdq,Qq        | sse2
    F3 0F 2A            | CVTSI2SS        Vss,Ey        | sse
    F2 0F 2A            | CVTSI2SD        Vsd,Ey        | sse2
    NP 0F 2B            | MOVNTPS         Mx,Vps        | sse
    66 0F 2B            | MOVNTPD         Mx,Vpd        | sse2
    NP 0F 2C            | CVTTPS2PI       Pq,Wq         | sse
    66 0F 2C            | CVTTPD2PI       Pq,Wdq        | sse2
    F3 0F 2C            | CVTTSS2SI       Gy,Wss        | sse
    F2 0F 2C            | CVTTSD2SI       Gy,Wsd        | sse2
    NP 0F 2D            | CVTPS2PI        Pq,Wq         | sse
    66 0F 2D            | CVTPD2PI        Pq,Wdq        | sse2
    F3 0F 2D            | CVTSS2SI        Gy,Wss        | sse
    F2 0F 2D            | CVTSD2SI        Gy,Wsd        | sse2
    NP 0F 2E            | UCOMISS         Vss,Wss       | sse       | 00M0MM
    66 0F 2E            | UCOMISD         Vsd,Wsd       | sse2      | 00M0MM
    NP 0F 2F            | COMISS          Vss,Wss       | sse       | 00M0MM
    66 0F 2F            | COMISD          Vsd,Wsd       | sse2      | 00M0MM
    # 0F 50-0F 5F
    NP 0F 50            | MOVMSKPS        Gy,Ups        | sse
    66 0F 50            | MOVMSKPD        Gy,Upd        | sse2
    NP 0F 51            | SQRTPS          Vps,Wps       | sse
    66 0F 51            | SQRTPD          Vpd,Wpd       | sse2
    F3 0F 51            | SQRTSS          Vss,Wss       | sse
    F2 0F 51            | SQRTSD          Vsd,Wsd       | sse2
    NP 0F 52            | RSQRTPS         Vps,Wps       | sse
    F3 0F 52            | RSQRTSS         Vss,Wss       | sse
    NP 0F 53            | RCPPS           Vps,Wps       | sse
    F3 0F 53            | RCPSS           Vss,Wss       | sse
    NP 0F 54            | ANDPS           Vps,Wps       | sse
    66 0F 54            | ANDPD           Vpd,Wpd       | sse2
    NP 0F 55            | ANDNPS          Vps,Wps       | sse
    66 0F 55            | ANDNPD          Vpd,Wpd       | sse2
    NP 0F 56            | ORPS            Vps,Wps       | sse
    66 0F 56            | ORPD            Vpd,Wpd       | sse2
    NP 0F 57            | XORPS           Vps,Wps       | sse
    66 0F 57            | XORPD           Vpd,Wpd       | sse2
    NP 0F 58            | ADDPS           Vps,Wps       | sse
    66 0F 58            | ADDPD           Vpd,Wpd       | sse2
    F3 0F 58            | ADDSS           Vss,Wss       | sse
    F2 0F 58            | ADDSD           Vsd,Wsd       | sse2
    NP 0F 59            | MULPS           Vps,Wps       | sse
    66 0F 59            | MULPD           Vpd,Wpd       | sse2
    F3 0F 59            | MULSS           Vss,Wss       | sse
    F2 0F 59            | MULSD           Vsd,Wsd       | sse2
    NP 0F 5A            | CVTPS2PD        Vdq,Wq        | sse2
    66 0F 5A            | CVTPD2PS        Vq,Wdq        | sse2
    F3 0F 5A            | CVTSS2SD        Vsd,Wss       | sse2
    F2 0F 5A            | CVTSD2SS        Vss,Wsd       | sse2
    NP 0F 5B            | CVTDQ2PS        Vx,Wx         | sse2
    66 0F 5B            | CVTPS2DQ        Vx,Wx         | sse2
    F3 0F 5B            | CVTTPS2DQ       Vx,Wx         | sse2
    NP 0F 5C            | SUBPS           Vps,Wps       | sse
    66 0F 5C            | SUBPD           Vpd,Wpd       | sse2
    F3 0F 5C            | SUBSS           Vss,Wss       | sse
    F2 0F 5C            | SUBSD           Vsd,Wsd       | sse2
    NP 0F 5D            | MINPS           Vps,Wps       | sse
    66 0F 5D            | MINPD           Vpd,Wpd       | sse2
    F3 0F 5D            | MINSS           Vss,Wss       | sse
    F2 0F 5D            | MINSD           Vsd,Wsd       | sse2
    NP 0F 5E            | DIVPS           Vps,Wps       | sse
    66 0F 5E            | DIVPD           Vpd,Wpd       | sse2
    F3 0F 5E            | DIVSS           Vss,Wss       | sse
    F2 0F 5E            | DIVSD           Vsd,Wsd       | sse2
    NP 0F 5F            | MAXPS           Vps,Wps       | sse
    66 0F 5F            | MAXPD           Vpd,Wpd       | sse2
    F3 0F 5F            | MAXSS           Vss,Wss       | sse
    F2 0F 5F            | MAXSD           Vsd,Wsd       | sse2
    # 0F 60-0F 6F
    NP 0F 60            | PUNPCKLBW       Pq,Qd         | mmx
    66 0F 60            | PUNPCKLBW       Vx,Wx         | sse2
    NP 0F 61            | PUNPCKLWD       Pq,Qd         | mmx
    66 0F 61            | PUNPCKLWD       Vx,Wx         | sse2
    NP 0F 62            | PUNPCKLDQ       Pq,Qd         | mmx
    66 0F 62            | PUNPCKLDQ       Vx,Wx         | sse2
    NP 0F 63            | PACKSSWB        Pq,Qq         | mmx
    66 0F 63            | PACKSSWB        Vx,Wx         | sse2
    NP 0F 64            | PCMPGTB         Pq,Qq         | mmx
    66 0F 64            | PCMPGTB         Vx,Wx         | sse2
    NP 0F 65            | PCMPGTW         Pq,Qq         | mmx
    66 0F 65            | PCMPGTW         Vx,Wx         | sse2
    NP 0F 66            | PCMPGTD         Pq,Qq         | mmx
    66 0F 66            | PCMPGTD         Vx,Wx         | sse2
    NP 0F 67            | PACKUSWB        Pq,Qq         | mmx
    66 0F 67            | PACKUSWB        Vx,Wx         | sse2
    NP 0F 68            | PUNPCKHBW       Pq,Qq         | mmx
    66 0F 68            | PUNPCKHBW       Vx,Wx         | sse2
    NP 0F 69            | PUNPCKHWD       Pq,Qq         | mmx
    66 0F 69            | PUNPCKHWD       Vx,Wx         | sse2
    NP 0F 6A            | PUNPCKHDQ       Pq,Qq         | mmx
    66 0F 6A            | PUNPCKHDQ       Vx,Wx         | sse2
    NP 0F 6B            | PACKSSDW        Pq,Qq         | mmx
    66 0F 6B            | PACKSSDW        Vx,Wx         | sse2
    66 0F 6C            | PUNPCKLQDQ      Vx,Wx         | sse2
    66 0F 6D            | PUNPCKHQDQ      Vx,Wx         | sse2
    NP 0F 6E            | MOVD            Pq,Ed         | mmx
    NP REX.W 0F 6E      | MOVQ            Pq,Eq         | mmx
    66 0F 6E            | MOVD            Vdq,Ed        | sse2
    66 REX.W 0F 6E      | MOVQ            Vdq,Eq        | sse2
    NP 0F 6F            | MOVQ            Pq,Qq         | mmx
    66 0F 6F            | MOVDQA          Vx,Wx         | sse2
    F3 0F 6F            | MOVDQU          Vx,Wx         | sse2
    # 0F 70-0F 7F
    NP 0F 70            | PSHUFW          Pq,Qq,Ib      | sse
    66 0F 70            | PSHUFD          Vx,Wx,Ib      | sse2
    F3 0F 70            | PSHUFHW         Vx,Wx,Ib      | sse2
    F2 0F 70            | PSHUFLW         Vx,Wx,Ib      | sse2
    NP 0F 71 /2         | PSRLW           Nq,Ib         | mmx
    NP 0F 71 /4         | PSRAW           Nq,Ib         | mmx
    NP 0F 71 /6         | PSLLW           Nq,Ib         | mmx
    66 0F 71 /2         | PSRLW           Ux,Ib         | sse2
    66 0F 71 /4         | PSRAW           Ux,Ib         | sse2
    66 0F 71 /6         | PSLLW           Ux,Ib         | sse2
    NP 0F 72 /2         | PSRLD           Nq,Ib         | mmx
    NP 0F 72 /4         | PSRAD           Nq,Ib         | mmx
    NP 0F 72 /6         | PSLLD           Nq,Ib         | mmx
    66 0F 72 /2         | PSRLD           Ux,Ib         | sse2
    66 0F 72 /4         | PSRAD           Ux,Ib         | sse2
    66 0F 72 /6         | PSLLD           Ux,Ib         | sse2
    NP 0F 73 /2         | PSRLQ           Nq,Ib         | mmx
    NP 0F 73 /6         | PSLLQ           Nq,Ib         | mmx
    66 0F 73 /2         | PSRLQ           Ux,Ib         | sse2
    66 0F 73 /6         | PSLLQ           Ux,Ib         | sse2
    66 0F 73 /3         | PSRLDQ          Ux,Ib         | sse2
    66 0F 73 /7         | PSLLDQ          Ux,Ib         | sse2
    NP 0F 74            | PCMPEQB         Pq,Qq         | mmx
    66 0F 74            | PCMPEQB         Vx,Wx         | sse2
    NP 0F 75            | PCMPEQW         Pq,Qq         | mmx
    66 0F 75            | PCMPEQW         Vx,Wx         | sse2
    NP 0F 76            | PCMPEQD         Pq,Qq         | mmx
    66 0F 76            | PCMPEQD         Vx,Wx         | sse2
    NP 0F 77            | EMMS                          | mmx
    66 0F 7C            | HADDPD          Vx,Wx         | sse3
    F2 0F 7C            | HADDPS          Vx,Wx         | sse3
    66 0F 7D            | HSUBPD          Vx,Wx         | sse3
    F2 0F 7D            | HSUBPS          Vx,Wx         | sse3
    NP 0F 7E            | MOVD            Ed,Pq         | mmx
    NP REX.W 0F 7E      | MOVQ            Eq,Pq         | mmx
    66 0F 7E            | MOVD            Ed,Vd         | sse2
    66 REX.W 0F 7E      | MOVQ            Eq,Vq         | sse2
    F3 0F 7E            | MOVQ            Vdq,Wq        | sse2
    NP 0F 7F            | MOVQ            Qq,Pq         | mmx
    66 0F 7F            | MOVDQA          Wx,Vx         | sse2
    F3 0F 7F            | MOVDQU          Wx,Vx         | sse2
    # 0F C0-0F CF
    NP 0F C2            | CMPPS           Vx,Wx,Ib      | sse
    66 0F C2            | CMPPD           Vx,Wx,Ib      | sse2
    F3 0F C2            | CMPSS           Vss,Wss,Ib    | sse
    F2 0F C2            | CMPSD           Vsd,Wsd,Ib    | sse2
    NP 0F C4            | PINSRW          Pq,Rd/Mw,Ib   | sse
    66 0F C4            | PINSRW          Vdq,Rd/Mw,Ib  | sse2
    NP 0F C5            | PEXTRW          Gd,Nq,Ib      | sse
    66 0F C5            | PEXTRW          Gd,Udq,Ib     | sse2
    NP 0F C6            | SHUFPS          Vx,Wx,Ib      | sse
    66 0F C6            | SHUFPD          Vx,Wx,Ib      | sse2
    # 0F D0-0F DF
    66 0F D0            | ADDSUBPD        Vx,Wx         | sse3
    F2 0F D0            | ADDSUBPS        Vx,Wx         | sse3
    NP 0F D1            | PSRLW           Pq,Qq         | mmx
    66 0F D1            | PSRLW           Vx,Wx         | sse2
    NP 0F D2            | PSRLD           Pq,Qq         | mmx
    66 0F D2            | PSRLD           Vx,Wx         | sse2
    NP 0F D3            | PSRLQ           Pq,Qq         | mmx
    66 0F D3            | PSRLQ           Vx,Wx         | sse2
    NP 0F D4            | PADDQ           Pq,Qq         | sse2
    66 0F D4            | PADDQ           Vx,Wx         | sse2
    NP 0F D5            | PMULLW          Pq,Qq         | mmx
    66 0F D5            | PMULLW          Vx,Wx         | sse2
    66 0F D6            | MOVQ            Wq,Vq         | sse2
    F3 0F D6            | MOVQ2DQ         Vdq,Nq        | sse2
    F2 0F D6            | MOVDQ2Q         Pq,Uq         | sse2
    NP 0F D7            | PMOVMSKB        Gd,Nq         | sse
    66 0F D7            | PMOVMSKB        Gd,Ux         | sse2
    NP 0F D8            | PSUBUSB         Pq,Qq         | mmx
    66 0F D8            | PSUBUSB         Vx,Wx         | sse2
    NP 0F D9            | PSUBUSW         Pq,Qq         | mmx
    66 0F D9            | PSUBUSW         Vx,Wx         | sse2
    NP 0F DA            | PMINUB          Pq,Qq         | sse
    66 0F DA            | PMINUB          Vx,Wx         | sse2
    NP 0F DB            | PAND            Pq,Qq         | mmx
    66 0F DB            | PAND            Vx,Wx         | sse2
    NP 0F DC            | PADDUSB         Pq,Qq         | mmx
    66 0F DC            | PADDUSB         Vx,Wx         | sse2
    NP 0F DD            | PADDUSW         Pq,Qq         | mmx
    66 0F DD            | PADDUSW         Vx,Wx         | sse2
    NP 0F DE            | PMAXUB          Pq,Qq         | sse
    66 0F DE            | PMAXUB          Vx,Wx         | sse2
    NP 0F DF            | PANDN           Pq,Qq         | mmx
    66 0F DF            | PANDN           Vx,Wx         | sse2
    # 0F E0-0F EF
    NP 0F E0            | PAVGB           Pq,Qq         | sse
    66 0F E0            | PAVGB           Vx,Wx         | sse2
    NP 0F E1            | PSRAW           Pq,Qq         | mmx
    66 0F E1            | PSRAW           Vx,Wx         | sse2
    NP 0F E2            | PSRAD           Pq,Qq         | mmx
    66 0F E2            | PSRAD           Vx,Wx         | sse2
    NP 0F E3            | PAVGW           Pq,Qq         | sse
    66 0F E3            | PAVGW           Vx,Wx         | sse2
    NP 0F E4            | PMULHUW         Pq,Qq         | sse
    66 0F E4            | PMULHUW         Vx,Wx         | sse2
    NP 0F E5            | PMULHW          Pq,Qq         | mmx
    66 0F E5            | PMULHW          Vx,Wx         | sse2
    66 0F E6            | CVTTPD2DQ       Vq,Wdq        | sse2
    F3 0F E6            | CVTDQ2PD        Vdq,Wq        | sse2
    F2 0F E6            | CVTPD2DQ        Vq,Wdq        | sse2
    NP 0F E7            | MOVNTQ          Mq,Pq         | sse
    66 0F E7            | MOVNTDQ         Mx,Vx         | sse2
    NP 0F E8            | PSUBSB          Pq,Qq         | mmx
    66 0F E8            | PSUBSB          Vx,Wx         | sse2
    NP 0F E9            | PSUBSW          Pq,Qq         | mmx
    66 0F E9            | PSUBSW          Vx,Wx         | sse2
    NP 0F EA            | PMINSW          Pq,Qq         | sse
    66 0F EA            | PMINSW          Vx,Wx         | sse2
    NP 0F EB            | POR             Pq,Qq         | mmx
    66 0F EB            | POR             Vx,Wx         | sse2
    NP 0F EC            | PADDSB          Pq,Qq         | mmx
    66 0F EC            | PADDSB          Vx,Wx         | sse2
    NP 0F ED            | PADDSW          Pq,Qq         | mmx
    66 0F ED            | PADDSW          Vx,Wx         | sse2
    NP 0F EE            | PMAXSW          Pq,Qq         | sse
    66 0F EE            | PMAXSW          Vx,Wx         | sse2
    NP 0F EF            | PXOR            Pq,Qq         | mmx
    66 0F EF            | PXOR            Vx,Wx         | sse2
    # 0F F0-0F FF
    F2 0F F0            | LDDQU           Vx,Mx         | sse3
    NP 0F F1            | PSLLW           Pq,Qq         | mmx
    66 0F F1            | PSLLW           Vx,Wx         | sse2
    NP 0F F2            | PSLLD           Pq,Qq         | mmx
    66 0F F2            | PSLLD           Vx,Wx         | sse2
    NP 0F F3            | PSLLQ           Pq,Qq         | mmx
    66 0F F3            | PSLLQ           Vx,Wx         | sse2
    NP 0F F4            | PMULUDQ         Pq,Qq         | sse2
    66 0F F4            | PMULUDQ         Vx,Wx         | sse2
    NP 0F F5            | PMADDWD         Pq,Qq         | mmx
    66 0F F5            | PMADDWD         Vx,Wx         | sse2
    NP 0F F6            | PSADBW          Pq,Qq         | sse
    66 0F F6            | PSADBW          Vx,Wx         | sse2
    NP 0F F7            | MASKMOVQ        Pq,Nq         | sse       | ------ | implicit
    66 0F F7            | MASKMOVDQU      Vdq,Udq       | sse2      | ------ | implicit
    NP 0F F8            | PSUBB           Pq,Qq         | mmx
    66 0F F8            | PSUBB           Vx,Wx         | sse2
    NP 0F F9            | PSUBW           Pq,Qq         | mmx
    66 0F F9            | PSUBW           Vx,Wx         | sse2
    NP 0F FA            | PSUBD           Pq,Qq         | mmx
    66 0F FA            | PSUBD           Vx,Wx         | sse2
    NP 0F FB            | PSUBQ           Pq,Qq         | sse2
    66 0F FB            | PSUBQ           Vx,Wx         | sse2
    NP 0F FC            | PADDB           Pq,Qq         | mmx
    66 0F FC            | PADDB           Vx,Wx         | sse2
    NP 0F FD            | PADDW           Pq,Qq         | mmx
    66 0F FD            | PADDW           Vx,Wx         | sse2
    NP 0F FE            | PADDD           Pq,Qq         | mmx
    66 0F FE            | PADDD           Vx,Wx         | sse2
    # 0F 38
    NP 0F 38 00         | PSHUFB          Pq,Qq         | ssse3
    66 0F 38 00         | PSHUFB          Vx,Wx         | ssse3
    NP 0F 38 01         | PHADDW          Pq,Qq         | ssse3
    66 0F 38 01         | PHADDW          Vx,Wx         | ssse3
    NP 0F 38 02         | PHADDD          Pq,Qq         | ssse3
    66 0F 38 02         | PHADDD          Vx,Wx         | ssse3
    NP 0F 38 03         | PHADDSW         Pq,Qq         | ssse3
    66 0F 38 03         | PHADDSW         Vx,Wx         | ssse3
    NP 0F 38 04         | PMADDUBSW       Pq,Qq         | ssse3
    66 0F 38 04         | PMADDUBSW       Vx,Wx         | ssse3
    NP 0F 38 05         | PHSUBW          Pq,Qq         | ssse3
    66 0F 38 05         | PHSUBW          Vx,Wx         | ssse3
    NP 0F 38 06         | PHSUBD          Pq,Qq         | ssse3
    66 0F 38 06         | PHSUBD          Vx,Wx         | ssse3
    NP 0F 38 07         | PHSUBSW         Pq,Qq         | ssse3
    66 0F 38 07         | PHSUBSW         Vx,Wx         | ssse3
    NP 0F 38 08         | PSIGNB          Pq,Qq         | ssse3
    66 0F 38 08         | PSIGNB          Vx,Wx         | ssse3
    NP 0F 38 09         | PSIGNW          Pq,Qq         | ssse3
    66 0F 38 09         | PSIGNW          Vx,Wx         | ssse3
    NP 0F 38 0A         | PSIGND          Pq,Qq         | ssse3
    66 0F 38 0A         | PSIGND          Vx,Wx         | ssse3
    NP 0F 38 0B         | PMULHRSW        Pq,Qq         | ssse3
    66 0F 38 0B         | PMULHRSW        Vx,Wx         | ssse3
    66 0F 38 10         | PBLENDVB        Vdq,Wdq       | sse41
    66 0F 38 14         | BLENDVPS        Vdq,Wdq       | sse41
    66 0F 38 15         | BLENDVPD        Vdq,Wdq       | sse41
    66 0F 38 17         | PTEST           Vx,Wx         | sse41     | 00M00M
    NP 0F 38 1C         | PABSB           Pq,Qq         | ssse3
    66 0F 38 1C         | PABSB           Vx,Wx         | ssse3
    NP 0F 38 1D         | PABSW           Pq,Qq         | ssse3
    66 0F 38 1D         | PABSW           Vx,Wx         | ssse3
    NP 0F 38 1E         | PABSD           Pq,Qq         | ssse3
    66 0F 38 1E         | PABSD           Vx,Wx         | ssse3
    66 0F 38 20         | PMOVSXBW        Vx,Wh         | sse41
    66 0F 38 21         | PMOVSXBD        Vx,Wf         | sse41
    66 0F 38 22         | PMOVSXBQ        Vx,We         | sse41
    66 0F 38 23         | PMOVSXWD        Vx,Wh         | sse41
    66 0F 38 24         | PMOVSXWQ        Vx,Wf         | sse41
    66 0F 38 25         | PMOVSXDQ        Vx,Wh         | sse41
    66 0F 38 28         | PMULDQ          Vx,Wx         | sse41
    66 0F 38 29         | PCMPEQQ         Vx,Wx         | sse41
    66 0F 38 2A         | MOVNTDQA        Vx,Mx         | sse41
    66 0F 38 2B         | PACKUSDW        Vx,Wx         | sse41
    66 0F 38 30         | PMOVZXBW        Vx,Wh         | sse41
    66 0F 38 31         | PMOVZXBD        Vx,Wf         | sse41
    66 0F 38 32         | PMOVZXBQ        Vx,We         | sse41
    66 0F 38 33         | PMOVZXWD        Vx,Wh         | sse41
    66 0F 38 34         | PMOVZXWQ        Vx,Wf         | sse41
    66 0F 38 35         | PMOVZXDQ        Vx,Wh         | sse41
    66 0F 38 37         | PCMPGTQ         Vx,Wx         | sse42
    66 0F 38 38         | PMINSB          Vx,Wx         | sse41
    66 0F 38 39         | PMINSD          Vx,Wx         | sse41
    66 0F 38 3A         | PMINUW          Vx,Wx         | sse41
    66 0F 38 3B         | PMINUD          Vx,Wx         | sse41
    66 0F 38 3C         | PMAXSB          Vx,Wx         | sse41
    66 0F 38 3D         | PMAXSD          Vx,Wx         | sse41
    66 0F 38 3E         | PMAXUW          Vx,Wx         | sse41
    66 0F 38 3F         | PMAXUD          Vx,Wx         | sse41
    66 0F 38 40         | PMULLD          Vx,Wx         | sse41
    66 0F 38 41         | PHMINPOSUW      Vdq,Wdq       | sse41
    NP 0F 38 C8         | SHA1NEXTE       Vdq,Wdq       | sha
    NP 0F 38 C9         | SHA1MSG1        Vdq,Wdq       | sha
    NP 0F 38 CA         | SHA1MSG2        Vdq,Wdq       | sha
    NP 0F 38 CB         | SHA256RNDS2     Vdq,Wdq       | sha
    NP 0F 38 CC         | SHA256MSG1      Vdq,Wdq       | sha
    NP 0F 38 CD         | SHA256MSG2      Vdq,Wdq       | sha
    66 0F 38 DB         | AESIMC          Vdq,Wdq       | aes
    66 0F 38 DC         | AESENC          Vdq,Wdq       | aes
    66 0F 38 DD         | AESENCLAST      Vdq,Wdq       | aes
    66 0F 38 DE         | AESDEC          Vdq,Wdq       | aes
    66 0F 38 DF         | AESDECLAST      Vdq,Wdq       | aes
    # 0F 3A
    66 0F 3A 08         | ROUNDPS         Vx,Wx,Ib      | sse41
    66 0F 3A 09         | ROUNDPD         Vx,Wx,Ib      | sse41
    66 0F 3A 0A         | ROUNDSS         Vss,Wss,Ib    | sse41
    66 0F 3A 0B         | ROUNDSD         Vsd,Wsd,Ib    | sse41
    66 0F 3A 0C         | BLENDPS         Vx,Wx,Ib      | sse41
    66 0F 3A 0D         | BLENDPD         Vx,Wx,Ib      | sse41
    66 0F 3A 0E         | PBLENDW         Vx,Wx,Ib      | sse41
    NP 0F 3A 0F         | PALIGNR         Pq,Qq,Ib      | ssse3
    66 0F 3A 0F         | PALIGNR         Vx,Wx,Ib      | ssse3
    66 0F 3A 14         | PEXTRB          Rd/Mb,Vdq,Ib  | sse41
    66 0F 3A 15         | PEXTRW          Rd/Mw,Vdq,Ib  | sse41
    66 0F 3A 16         | PEXTRD          Ed,Vdq,Ib     | sse41
    66 REX.W 0F 3A 16   | PEXTRQ          Eq,Vdq,Ib     | sse41
    66 0F 3A 17         | EXTRACTPS       Rd/Md,Vdq,Ib  | sse41
    66 0F 3A 20         | PINSRB          Vdq,Rd/Mb,Ib  | sse41
    66 0F 3A 21         | INSERTPS        Vdq,Udq/Md,Ib | sse41
    66 0F 3A 22         | PINSRD          Vdq,Ed,Ib     | sse41
    66 REX.W 0F 3A 22   | PINSRQ          Vdq,Eq,Ib     | sse41
    66 0F 3A 40         | DPPS            Vx,Wx,Ib      | sse41
    66 0F 3A 41         | DPPD            Vdq,Wdq,Ib    | sse41
    66 0F 3A 42         | MPSADBW         Vx,Wx,Ib      | sse41
    66 0F 3A 44         | PCLMULQDQ       Vdq,Wdq,Ib    | pclmulqdq
    66 0F 3A 60         | PCMPESTRM       Vdq,Wdq,Ib    | sse42     | MMM00M
    66 0F 3A 61         | PCMPESTRI       Vdq,Wdq,Ib    | sse42     | MMM00M
    66 0F 3A 62         | PCMPISTRM       Vdq,Wdq,Ib    | sse42     | MMM00M
    66 0F 3A 63         | PCMPISTRI       Vdq,Wdq,Ib    | sse42     | MMM00M
    NP 0F 3A CC         | SHA1RNDS4       Vdq,Wdq,Ib    | sha
    66 0F 3A DF         | AESKEYGENASSIST Vdq,Wdq,Ib    | aes
    """
}
