/// AVX, AVX2, FMA and F16C instructions of the VEX map 0F (SDM vol. 2D table A-3).
///
/// See `OpcodeMapText` for the notation. A later row takes the place of an earlier one where both match.
extension OpcodeMapText {
  static let avx0F: StaticString = """
    # 0F 10-0F 1F
    VEX.NP.0F 10            | VMOVUPS           Vps,Wps           | avx
    VEX.66.0F 10            | VMOVUPD           Vpd,Wpd           | avx
    VEX.LIG.F3.0F 10        | VMOVSS            Vss,Mss           | avx
    VEX.LIG.F3.0F 10        | VMOVSS            Vdq,Hdq,Uss       | avx
    VEX.LIG.F2.0F 10        | VMOVSD            Vsd,Msd           | avx
    VEX.LIG.F2.0F 10        | VMOVSD            Vdq,Hdq,Usd       | avx
    VEX.NP.0F 11            | VMOVUPS           Wps,Vps           | avx
    VEX.66.0F 11            | VMOVUPD           Wpd,Vpd           | avx
    VEX.LIG.F3.0F 11        | VMOVSS            Mss,Vss           | avx
    VEX.LIG.F3.0F 11        | VMOVSS            Udq,Hdq,Vss       | avx
    VEX.LIG.F2.0F 11        | VMOVSD            Msd,Vsd           | avx
    VEX.LIG.F2.0F 11        | VMOVSD            Udq,Hdq,Vsd       | avx
    VEX.128.NP.0F 12        | VMOVLPS           Vdq,Hdq,Mq        | avx
    VEX.128.NP.0F 12        | VMOVHLPS          Vdq,Hdq,Uq        | avx
    VEX.128.66.0F 12        | VMOVLPD           Vdq,Hdq,Mq        | avx
    VEX.F3.0F 12            | VMOVSLDUP         Vx,Wx             | avx
    VEX.128.F2.0F 12        | VMOVDDUP          Vdq,Wq            | avx
    VEX.256.F2.0F 12        | VMOVDDUP          Vx,Wx             | avx
    VEX.128.NP.0F 13        | VMOVLPS           Mq,Vq             | avx
    VEX.128.66.0F 13        | VMOVLPD           Mq,Vq             | avx
    VEX.NP.0F 14            | VUNPCKLPS         Vx,Hx,Wx          | avx
    VEX.66.0F 14            | VUNPCKLPD         Vx,Hx,Wx          | avx
    VEX.NP.0F 15            | VUNPCKHPS         Vx,Hx,Wx          | avx
    VEX.66.0F 15            | VUNPCKHPD         Vx,Hx,Wx          | avx
    VEX.128.NP.0F 16        | VMOVHPS           Vdq,Hdq,Mq        | avx
    VEX.128.NP.0F 16        | VMOVLHPS          Vdq,Hdq,Uq        | avx
    VEX.128.66.0F 16        | VMOVHPD           Vdq,Hdq,Mq        | avx
    VEX.F3.0F 16            | VMOVSHDUP         Vx,Wx             | avx
    VEX.128.NP.0F 17        | VMOVHPS           Mq,Vq             | avx
    VEX.128.66.0F 17        | VMOVHPD           Mq,Vq             | avx
    # 0F 20-0F 2F
    VEX.NP.0F 28            | VMOVAPS           Vps,Wps           | avx
    VEX.66.0F 28            | VMOVAPD           Vpd,Wpd           | avx
    VEX.NP.0F 29            | VMOVAPS           Wps,Vps           | avx
    VEX.66.0F 29            | VMOVAPD           Wpd,Vpd           | avx
    VEX.LIG.F3.0F 2A        | VCVTSI2SS         Vdq,Hdq,Ey        | avx
    VEX.LIG.F2.0F 2A        | VCVTSI2SD         Vdq,Hdq,Ey        | avx
    VEX.NP.0F 2B            | VMOVNTPS          Mx,Vps            | avx
    VEX.66.0F 2B            | VMOVNTPD          Mx,Vpd            | avx
    VEX.LIG.F3.0F 2C        | VCVTTSS2SI        Gy,Wss            | avx
    VEX.LIG.F2.0F 2C        | VCVTTSD2SI        Gy,Wsd            | avx
    VEX.LIG.F3.0F 2D        | VCVTSS2SI         Gy,Wss            | avx
    VEX.LIG.F2.0F 2D        | VCVTSD2SI         Gy,Wsd            | avx
    VEX.LIG.NP.0F 2E        | VUCOMISS          Vss,Wss           | avx       | 00M0MM
    VEX.LIG.66.0F 2E        | VUCOMISD          Vsd,Wsd           | avx       | 00M0MM
    VEX.LIG.NP.0F 2F        | VCOMISS           Vss,Wss           | avx       | 00M0MM
    VEX.LIG.66.0F 2F        | VCOMISD           Vsd,Wsd           | avx       | 00M0MM
    # 0F 50-0F 5F
    VEX.NP.0F 50            | VMOVMSKPS         Gd,Ups            | avx
    VEX.66.0F 50            | VMOVMSKPD         Gd,Upd            | avx
    VEX.NP.0F 51            | VSQRTPS           Vx,Wx             | avx
    VEX.66.0F 51            | VSQRTPD           Vx,Wx             | avx
    VEX.LIG.F3.0F 51        | VSQRTSS           Vdq,Hdq,Wss       | avx
    VEX.LIG.F2.0F 51        | VSQRTSD           Vdq,Hdq,Wsd       | avx
    VEX.NP.0F 52            | VRSQRTPS          Vx,Wx             | avx
    VEX.LIG.F3.0F 52        | VRSQRTSS          Vdq,Hdq,Wss       | avx
    VEX.NP.0F 53            | VRCPPS            Vx,Wx             | avx
    VEX.LIG.F3.0F 53        | VRCPSS            Vdq,Hdq,Wss       | avx
    VEX.NP.0F 54            | VANDPS            Vx,Hx,Wx          | avx
    VEX.66.0F 54            | VANDPD            Vx,Hx,Wx          | avx
    VEX.NP.0F 55            | VANDNPS           Vx,Hx,Wx          | avx
    VEX.66.0F 55            | VANDNPD           Vx,Hx,Wx          | avx
    VEX.NP.0F 56            | VORPS             Vx,Hx,Wx          | avx
    VEX.66.0F 56            | VORPD             Vx,Hx,Wx          | avx
    VEX.NP.0F 57            | VXORPS            Vx,Hx,Wx          | avx
    VEX.66.0F 57            | VXORPD            Vx,Hx,Wx          | avx
    VEX.NP.0F 58            | VADDPS            Vx,Hx,Wx          | avx
    VEX.66.0F 58            | VADDPD            Vx,Hx,Wx          | avx
    VEX.LIG.F3.0F 58        | VADDSS            Vdq,Hdq,Wss       | avx
    VEX.LIG.F2.0F 58        | VADDSD            Vdq,Hdq,Wsd       | avx
    VEX.NP.0F 59            | VMULPS            Vx,Hx,Wx          | avx
    VEX.66.0F 59            | VMULPD            Vx,Hx,Wx          | avx
    VEX.LIG.F3.0F 59        | VMULSS            Vdq,Hdq,Wss       | avx
    VEX.LIG.F2.0F 59        | VMULSD            Vdq,Hdq,Wsd       | avx
    VEX.NP.0F 5A            | VCVTPS2PD         Vx,Wh             | avx
    VEX.66.0F 5A            | VCVTPD2PS         Vdq,Wx            | avx
    VEX.LIG.F3.0F 5A        | VCVTSS2SD         Vdq,Hdq,Wss       | avx
    VEX.LIG.F2.0F 5A        | VCVTSD2SS         Vdq,Hdq,Wsd       | avx
    VEX.NP.0F 5B            | VCVTDQ2PS         Vx,Wx             | avx
    VEX.66.0F 5B            | VCVTPS2DQ         Vx,Wx             | avx
    VEX.F3.0F 5B            | VCVTTPS2DQ        Vx,Wx             | avx
    VEX.NP.0F 5C            | VSUBPS            Vx,Hx,Wx          | avx
    VEX.66.0F 5C            | VSUBPD            Vx,Hx,Wx          | avx
    VEX.LIG.F3.0F 5C        | VSUBSS            Vdq,Hdq,Wss       | avx
    VEX.LIG.F2.0F 5C        | VSUBSD            Vdq,Hdq,Wsd       | avx
    VEX.NP.0F 5D            | VMINPS            Vx,Hx,Wx          | avx
    VEX.66.0F 5D            | VMINPD            Vx,Hx,Wx          | avx
    VEX.LIG.F3.0F 5D        | VMINSS            Vdq,Hdq,Wss       | avx
    VEX.LIG.F2.0F 5D        | VMINSD            Vdq,Hdq,Wsd       | avx
    VEX.NP.0F 5E            | VDIVPS            Vx,Hx,Wx          | avx
    VEX.66.0F 5E            | VDIVPD            Vx,Hx,Wx          | avx
    VEX.LIG.F3.0F 5E        | VDIVSS            Vdq,Hdq,Wss       | avx
    VEX.LIG.F2.0F 5E        | VDIVSD            Vdq,Hdq,Wsd       | avx
    VEX.NP.0F 5F            | VMAXPS            Vx,Hx,Wx          | avx
    VEX.66.0F 5F            | VMAXPD            Vx,Hx,Wx          | avx
    VEX.LIG.F3.0F 5F        | VMAXSS            Vdq,Hdq,Wss       | avx
    VEX.LIG.F2.0F 5F        | VMAXSD            Vdq,Hdq,Wsd       | avx
    # 0F 60-0F 6F
    VEX.128.66.0F 60        | VPUNPCKLBW        Vx,Hx,Wx          | avx
    VEX.256.66.0F 60        | VPUNPCKLBW        Vx,Hx,Wx          | avx2
    VEX.128.66.0F 61        | VPUNPCKLWD        Vx,Hx,Wx          | avx
    VEX.256.66.0F 61        | VPUNPCKLWD        Vx,Hx,Wx          | avx2
    VEX.128.66.0F 62        | VPUNPCKLDQ        Vx,Hx,Wx          | avx
    VEX.256.66.0F 62        | VPUNPCKLDQ        Vx,Hx,Wx          | avx2
    VEX.128.66.0F 63        | VPACKSSWB         Vx,Hx,Wx          | avx
    VEX.256.66.0F 63        | VPACKSSWB         Vx,Hx,Wx          | avx2
    VEX.128.66.0F 64        | VPCMPGTB          Vx,Hx,Wx          | avx
    VEX.256.66.0F 64        | VPCMPGTB          Vx,Hx,Wx          | avx2
    VEX.128.66.0F 65        | VPCMPGTW          Vx,Hx,Wx          | avx
    VEX.256.66.0F 65        | VPCMPGTW          Vx,Hx,Wx          | avx2
    VEX.128.66.0F 66        | VPCMPGTD          Vx,Hx,Wx          | avx
    VEX.256.66.0F 66        | VPCMPGTD          Vx,Hx,Wx          | avx2
    VEX.128.66.0F 67        | VPACKUSWB         Vx,Hx,Wx          | avx
    VEX.256.66.0F 67        | VPACKUSWB         Vx,Hx,Wx          | avx2
    VEX.128.66.0F 68        | VPUNPCKHBW        Vx,Hx,Wx          | avx
    VEX.256.66.0F 68        | VPUNPCKHBW        Vx,Hx,Wx          | avx2
    VEX.128.66.0F 69        | VPUNPCKHWD        Vx,Hx,Wx          | avx
    VEX.256.66.0F 69        | VPUNPCKHWD        Vx,Hx,Wx          | avx2
    VEX.128.66.0F 6A        | VPUNPCKHDQ        Vx,Hx,Wx          | avx
    VEX.256.66.0F 6A        | VPUNPCKHDQ        Vx,Hx,Wx          | avx2
    VEX.128.66.0F 6B        | VPACKSSDW         Vx,Hx,Wx          | avx
    VEX.256.66.0F 6B        | VPACKSSDW         Vx,Hx,Wx          | avx2
    VEX.128.66.0F 6C        | VPUNPCKLQDQ       Vx,Hx,Wx          | avx
    VEX.256.66.0F 6C        | VPUNPCKLQDQ       Vx,Hx,Wx          | avx2
    VEX.128.66.0F 6D        | VPUNPCKHQDQ       Vx,Hx,Wx          | avx
    VEX.256.66.0F 6D        | VPUNPCKHQDQ       Vx,Hx,Wx          | avx2
    VEX.128.66.0F.W0 6E     | VMOVD             Vdq,Ed            | avx
    VEX.128.66.0F.W1 6E     | VMOVQ             Vdq,Eq            | avx       | ------ | o64
    VEX.66.0F 6F            | VMOVDQA           Vx,Wx             | avx
    VEX.F3.0F 6F            | VMOVDQU           Vx,Wx             | avx
    # 0F 70-0F 7F
    VEX.128.66.0F 70        | VPSHUFD           Vx,Wx,Ib          | avx
    VEX.256.66.0F 70        | VPSHUFD           Vx,Wx,Ib          | avx2
    VEX.128.F3.0F 70        | VPSHUFHW          Vx,Wx,Ib          | avx
    VEX.256.F3.0F 70        | VPSHUFHW          Vx,Wx,Ib          | avx2
    VEX.128.F2.0F 70        | VPSHUFLW          Vx,Wx,Ib          | avx
    VEX.256.F2.0F 70        | VPSHUFLW          Vx,Wx,Ib          | avx2
    VEX.128.66.0F 71 /2     | VPSRLW            Hx,Ux,Ib          | avx
    VEX.256.66.0F 71 /2     | VPSRLW            Hx,Ux,Ib          | avx2
    VEX.128.66.0F 71 /4     | VPSRAW            Hx,Ux,Ib          | avx
    VEX.256.66.0F 71 /4     | VPSRAW            Hx,Ux,Ib          | avx2
    VEX.128.66.0F 71 /6     | VPSLLW            Hx,Ux,Ib          | avx
    VEX.256.66.0F 71 /6     | VPSLLW            Hx,Ux,Ib          | avx2
    VEX.128.66.0F 72 /2     | VPSRLD            Hx,Ux,Ib          | avx
    VEX.256.66.0F 72 /2     | VPSRLD            Hx,Ux,Ib          | avx2
    VEX.128.66.0F 72 /4     | VPSRAD            Hx,Ux,Ib          | avx
    VEX.256.66.0F 72 /4     | VPSRAD            Hx,Ux,Ib          | avx2
    VEX.128.66.0F 72 /6     | VPSLLD            Hx,Ux,Ib          | avx
    VEX.256.66.0F 72 /6     | VPSLLD            Hx,Ux,Ib          | avx2
    VEX.128.66.0F 73 /2     | VPSRLQ            Hx,Ux,Ib          | avx
    VEX.256.66.0F 73 /2     | VPSRLQ            Hx,Ux,Ib          | avx2
    VEX.128.66.0F 73 /6     | VPSLLQ            Hx,Ux,Ib          | avx
    VEX.256.66.0F 73 /6     | VPSLLQ            Hx,Ux,Ib          | avx2
    VEX.128.66.0F 73 /3     | VPSRLDQ           Hx,Ux,Ib          | avx
    VEX.256.66.0F 73 /3     | VPSRLDQ           Hx,Ux,Ib          | avx2
    VEX.128.66.0F 73 /7     | VPSLLDQ           Hx,Ux,Ib          | avx
    VEX.256.66.0F 73 /7     | VPSLLDQ           Hx,Ux,Ib          | avx2
    VEX.128.66.0F 74        | VPCMPEQB          Vx,Hx,Wx          | avx
    VEX.256.66.0F 74        | VPCMPEQB          Vx,Hx,Wx          | avx2
    VEX.128.66.0F 75        | VPCMPEQW          Vx,Hx,Wx          | avx
    VEX.256.66.0F 75        | VPCMPEQW          Vx,Hx,Wx          | avx2
    VEX.128.66.0F 76        | VPCMPEQD          Vx,Hx,Wx          | avx
    VEX.256.66.0F 76        | VPCMPEQD          Vx,Hx,Wx          | avx2
    VEX.128.NP.0F 77        | VZEROUPPER                          | avx
    VEX.256.NP.0F 77        | VZEROALL                            | avx
    VEX.66.0F 7C            | VHADDPD           Vx,Hx,Wx          | avx
    VEX.F2.0F 7C            | VHADDPS           Vx,Hx,Wx          | avx
    VEX.66.0F 7D            | VHSUBPD           Vx,Hx,Wx          | avx
    VEX.F2.0F 7D            | VHSUBPS           Vx,Hx,Wx          | avx
    VEX.128.66.0F.W0 7E     | VMOVD             Ed,Vd             | avx
    VEX.128.66.0F.W1 7E     | VMOVQ             Eq,Vq             | avx       | ------ | o64
    VEX.128.F3.0F 7E        | VMOVQ             Vdq,Wq            | avx
    VEX.66.0F 7F            | VMOVDQA           Wx,Vx             | avx
    VEX.F3.0F 7F            | VMOVDQU           Wx,Vx             | avx
    # 0F A0-0F AF
    VEX.128.NP.0F AE /2     | VLDMXCSR          Md                | avx
    VEX.128.NP.0F AE /3     | VSTMXCSR          Md                | avx
    # 0F C0-0F CF
    VEX.NP.0F C2            | VCMPPS            Vx,Hx,Wx,Ib       | avx
    VEX.66.0F C2            | VCMPPD            Vx,Hx,Wx,Ib       | avx
    VEX.LIG.F3.0F C2        | VCMPSS            Vdq,Hdq,Wss,Ib    | avx
    VEX.LIG.F2.0F C2        | VCMPSD            Vdq,Hdq,Wsd,Ib    | avx
    VEX.128.66.0F C4        | VPINSRW           Vdq,Hdq,Rd/Mw,Ib  | avx
    VEX.128.66.0F C5        | VPEXTRW           Gd,Udq,Ib         | avx
    VEX.NP.0F C6            | VSHUFPS           Vx,Hx,Wx,Ib       | avx
    VEX.66.0F C6            | VSHUFPD           Vx,Hx,Wx,Ib       | avx
    # 0F D0-0F DF
    VEX.66.0F D0            | VADDSUBPD         Vx,Hx,Wx          | avx
    VEX.F2.0F D0            | VADDSUBPS         Vx,Hx,Wx          | avx
    VEX.128.66.0F D1        | VPSRLW            Vx,Hx,Wdq         | avx
    VEX.256.66.0F D1        | VPSRLW            Vx,Hx,Wdq         | avx2
    VEX.128.66.0F D2        | VPSRLD            Vx,Hx,Wdq         | avx
    VEX.256.66.0F D2        | VPSRLD            Vx,Hx,Wdq         | avx2
    VEX.128.66.0F D3        | VPSRLQ            Vx,Hx,Wdq         | avx
    VEX.256.66.0F D3        | VPSRLQ            Vx,Hx,Wdq         | avx2
    VEX.128.66.0F D4        | VPADDQ            Vx,Hx,Wx          | avx
    VEX.256.66.0F D4        | VPADDQ            Vx,Hx,Wx          | avx2
    VEX.128.66.0F D5        | VPMULLW           Vx,Hx,Wx          | avx
    VEX.256.66.0F D5        | VPMULLW           Vx,Hx,Wx          | avx2
    VEX.128.66.0F D6        | VMOVQ             Wq,Vq             | avx
    VEX.128.66.0F D7        | VPMOVMSKB         Gd,Ux             | avx
    VEX.256.66.0F D7        | VPMOVMSKB         Gd,Ux             | avx2
    VEX.128.66.0F D8        | VPSUBUSB          Vx,Hx,Wx          | avx
    VEX.256.66.0F D8        | VPSUBUSB          Vx,Hx,Wx          | avx2
    VEX.128.66.0F D9        | VPSUBUSW          Vx,Hx,Wx          | avx
    VEX.256.66.0F D9        | VPSUBUSW          Vx,Hx,Wx          | avx2
    VEX.128.66.0F DA        | VPMINUB           Vx,Hx,Wx          | avx
    VEX.256.66.0F DA        | VPMINUB           Vx,Hx,Wx          | avx2
    VEX.128.66.0F DB        | VPAND             Vx,Hx,Wx          | avx
    VEX.256.66.0F DB        | VPAND             Vx,Hx,Wx          | avx2
    VEX.128.66.0F DC        | VPADDUSB          Vx,Hx,Wx          | avx
    VEX.256.66.0F DC        | VPADDUSB          Vx,Hx,Wx          | avx2
    VEX.128.66.0F DD        | VPADDUSW          Vx,Hx,Wx          | avx
    VEX.256.66.0F DD        | VPADDUSW          Vx,Hx,Wx          | avx2
    VEX.128.66.0F DE        | VPMAXUB           Vx,Hx,Wx          | avx
    VEX.256.66.0F DE        | VPMAXUB           Vx,Hx,Wx          | avx2
    VEX.128.66.0F DF        | VPANDN            Vx,Hx,Wx          | avx
    VEX.256.66.0F DF        | VPANDN            Vx,Hx,Wx          | avx2
    # 0F E0-0F EF
    VEX.128.66.0F E0        | VPAVGB            Vx,Hx,Wx          | avx
    VEX.256.66.0F E0        | VPAVGB            Vx,Hx,Wx          | avx2
    VEX.128.66.0F E1        | VPSRAW            Vx,Hx,Wdq         | avx
    VEX.256.66.0F E1        | VPSRAW            Vx,Hx,Wdq         | avx2
    VEX.128.66.0F E2        | VPSRAD            Vx,Hx,Wdq         | avx
    VEX.256.66.0F E2        | VPSRAD            Vx,Hx,Wdq         | avx2
    VEX.128.66.0F E3        | VPAVGW            Vx,Hx,Wx          | avx
    VEX.256.66.0F E3        | VPAVGW            Vx,Hx,Wx          | avx2
    VEX.128.66.0F E4        | VPMULHUW          Vx,Hx,Wx          | avx
    VEX.256.66.0F E4        | VPMULHUW          Vx,Hx,Wx          | avx2
    VEX.128.66.0F E5        | VPMULHW           Vx,Hx,Wx          | avx
    VEX.256.66.0F E5        | VPMULHW           Vx,Hx,Wx          | avx2
    VEX.66.0F E6            | VCVTTPD2DQ        Vdq,Wx            | avx
    VEX.F3.0F E6            | VCVTDQ2PD         Vx,Wh             | avx
    VEX.F2.0F E6            | VCVTPD2DQ         Vdq,Wx            | avx
    VEX.66.0F E7            | VMOVNTDQ          Mx,Vx             | avx
    VEX.128.66.0F E8        | VPSUBSB           Vx,Hx,Wx          | avx
    VEX.256.66.0F E8        | VPSUBSB           Vx,Hx,Wx          | avx2
    VEX.128.66.0F E9        | VPSUBSW           Vx,Hx,Wx          | avx
    VEX.256.66.0F E9        | VPSUBSW           Vx,Hx,Wx          | avx2
    VEX.128.66.0F EA        | VPMINSW           Vx,Hx,Wx          | avx
    VEX.256.66.0F EA        | VPMINSW           Vx,Hx,Wx          | avx2
    VEX.128.66.0F EB        | VPOR              Vx,Hx,Wx          | avx
    VEX.256.66.0F EB        | VPOR              Vx,Hx,Wx          | avx2
    VEX.128.66.0F EC        | VPADDSB           Vx,Hx,Wx          | avx
    VEX.256.66.0F EC        | VPADDSB           Vx,Hx,Wx          | avx2
    VEX.128.66.0F ED        | VPADDSW           Vx,Hx,Wx          | avx
    VEX.256.66.0F ED        | VPADDSW           Vx,Hx,Wx          | avx2
    VEX.128.66.0F EE        | VPMAXSW           Vx,Hx,Wx          | avx
    VEX.256.66.0F EE        | VPMAXSW           Vx,Hx,Wx          | avx2
    VEX.128.66.0F EF        | VPXOR             Vx,Hx,Wx          | avx
    VEX.256.66.0F EF        | VPXOR             Vx,Hx,Wx          | avx2
    # 0F F0-0F FF
    VEX.F2.0F F0            | VLDDQU            Vx,Mx             | avx
    VEX.128.66.0F F1        | VPSLLW            Vx,Hx,Wdq         | avx
    VEX.256.66.0F F1        | VPSLLW            Vx,Hx,Wdq         | avx2
    VEX.128.66.0F F2        | VPSLLD            Vx,Hx,Wdq         | avx
    VEX.256.66.0F F2        | VPSLLD            Vx,Hx,Wdq         | avx2
    VEX.128.66.0F F3        | VPSLLQ            Vx,Hx,Wdq         | avx
    VEX.256.66.0F F3        | VPSLLQ            Vx,Hx,Wdq         | avx2
    VEX.128.66.0F F4        | VPMULUDQ          Vx,Hx,Wx          | avx
    VEX.256.66.0F F4        | VPMULUDQ          Vx,Hx,Wx          | avx2
    VEX.128.66.0F F5        | VPMADDWD          Vx,Hx,Wx          | avx
    VEX.256.66.0F F5        | VPMADDWD          Vx,Hx,Wx          | avx2
    VEX.128.66.0F F6        | VPSADBW           Vx,Hx,Wx          | avx
    VEX.256.66.0F F6        | VPSADBW           Vx,Hx,Wx          | avx2
    VEX.128.66.0F F7        | VMASKMOVDQU       Vdq,Udq           | avx       | ------ | implicit
    VEX.128.66.0F F8        | VPSUBB            Vx,Hx,Wx          | avx
    VEX.256.66.0F F8        | VPSUBB            Vx,Hx,Wx          | avx2
    VEX.128.66.0F F9        | VPSUBW            Vx,Hx,Wx          | avx
    VEX.256.66.0F F9        | VPSUBW            Vx,Hx,Wx          | avx2
    VEX.128.66.0F FA        | VPSUBD            Vx,Hx,Wx          | avx
    VEX.256.66.0F FA        | VPSUBD            Vx,Hx,Wx          | avx2
    VEX.128.66.0F FB        | VPSUBQ            Vx,Hx,Wx          | avx
    VEX.256.66.0F FB        | VPSUBQ            Vx,Hx,Wx          | avx2
    VEX.128.66.0F FC        | VPADDB            Vx,Hx,Wx          | avx
    VEX.256.66.0F FC        | VPADDB            Vx,Hx,Wx          | avx2
    VEX.128.66.0F FD        | VPADDW            Vx,Hx,Wx          | avx
    VEX.256.66.0F FD        | VPADDW            Vx,Hx,Wx          | avx2
    VEX.128.66.0F FE        | VPADDD            Vx,Hx,Wx          | avx
    VEX.256.66.0F FE        | VPADDD            Vx,Hx,Wx          | avx2
    """
}
