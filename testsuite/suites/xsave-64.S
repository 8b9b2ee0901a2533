// XSAVE, XSAVEOPT, XSAVEC, XSAVES, their restoring counterparts, XGETBV and XSETBV (SDM vol. 1 chapter 13, vol. 2 of each).
#include "suite.h"

#define X87 1
#define SSE 2
#define AVX 4
#define XSTATE_BV 512
#define XCOMP_BV 520

	.text
	.globl suite_main
suite_main:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15

	// Without CR4.OSXSAVE
	CLEAR_CR4_BITS CR4_OSXSAVE
	FAULT "ud-xsave-without-osxsave", UD, NO_ERROR, xsave area
	FAULT "ud-xrstor-without-osxsave", UD, NO_ERROR, xrstor area
	FAULT "ud-xgetbv-without-osxsave", UD, NO_ERROR, xgetbv
	FAULT "ud-xsetbv-without-osxsave", UD, NO_ERROR, xsetbv
	FAULT "ud-avx-without-osxsave", UD, NO_ERROR, vxorps %ymm0, %ymm0, %ymm0
	CASE "cpuid-osxsave-off"
	mov $1, %eax
	cpuid
	and $(1 << 27), %ecx
	RUNS
	EQUAL "bit", %rcx, 0
	LOAD_CR4_BITS CR4_OSXSAVE
	CASE "cpuid-osxsave-on"
	mov $1, %eax
	cpuid
	and $(1 << 27), %ecx
	RUNS
	EQUAL "bit", %rcx, 1<<27

	// XCR0 (vol. 1 §13.3, vol. 2C XSETBV)
	.macro XSETBV_FAULT name, number, low, high=0
	CASE "\name"
	mov $\number, %ecx
	mov $\low, %eax
	mov $\high, %edx
9:	xsetbv
	FAULTS GP, 0
	.endm
	.macro LOAD_XCR0 value
	xor %ecx, %ecx
	xor %edx, %edx
	mov $\value, %eax
	xsetbv
	.endm
	LOAD_XCR0 X87
	CASE "ud-avx-not-in-xcr0"
9:	vxorps %ymm0, %ymm0, %ymm0
	FAULTS UD
	CASE "xcr0-7"
	LOAD_XCR0 X87|SSE|AVX
	xor %ecx, %ecx
	xgetbv
	RUNS
	EQUAL "eax", %rax, 7
	EQUAL "edx", %rdx, 0
	XSETBV_FAULT "gp-xcr0-without-x87", 0, SSE
	XSETBV_FAULT "gp-xcr0-avx-without-sse", 0, X87|AVX
	XSETBV_FAULT "gp-xcr0-reserved-high", 0, 7, 0x40000000
	XSETBV_FAULT "gp-xcr1", 1, 7
	XSETBV_FAULT "gp-xcr0-bit-8", 0, 0x107
	CASE "gp-xsetbv-user"
	TO_USER
	xor %ecx, %ecx
	xor %edx, %edx
	mov $7, %eax
9:	xsetbv
	FAULTS GP, 0
	CASE "xgetbv-user"
	TO_USER
	xor %ecx, %ecx
	xgetbv
	mov %eax, %ebx
	TO_KERNEL
	RUNS
	EQUAL "eax", %rbx, 7
	CASE "gp-xgetbv-2"
	mov $2, %ecx
9:	xgetbv
	FAULTS GP, 0
	FAULT "ud-xgetbv-lock", UD, NO_ERROR, .byte 0xF0, 0x0F, 0x01, 0xD0
	FAULT "ud-xsave-register", UD, NO_ERROR, .byte 0x0F, 0xAE, 0xE0
	FAULT "ud-xsave-66", UD, NO_ERROR, .byte 0x66, 0x0F, 0xAE, 0x24, 0x25, 0, 0, 0, 0

	// CPUID leaf 0DH (vol. 2A)
	CASE "cpuid-d-0"
	mov $0xD, %eax
	xor %ecx, %ecx
	cpuid
	mov %eax, %esi
	and $7, %esi
	RUNS
	EQUAL "size of XCR0 = 7", %rbx, 832
	EQUAL "components", %rsi, 7
	EQUAL "edx", %rdx, 0
	CASE "cpuid-d-0-follows-xcr0"
	LOAD_XCR0 X87|SSE
	mov $0xD, %eax
	xor %ecx, %ecx
	cpuid
	RUNS
	EQUAL "size of XCR0 = 3", %rbx, 576
	LOAD_XCR0 X87|SSE|AVX
	CASE "cpuid-d-2"
	mov $0xD, %eax
	mov $2, %ecx
	cpuid
	and $1, %ecx
	RUNS
	EQUAL "size", %rax, 256
	EQUAL "offset", %rbx, 576
	EQUAL "supervisor", %rcx, 0
	CASE "cpuid-d-62-absent"
	mov $0xD, %eax
	mov $62, %ecx
	cpuid
	or %ebx, %eax
	or %ecx, %eax
	or %edx, %eax
	RUNS
	EQUAL "all", %rax, 0

	// #GP and #NM
	CASE "gp-xsave-misaligned"
	mov $7, %eax
	xor %edx, %edx
9:	xsave area+16
	FAULTS GP, 0
	CASE "gp-xrstor-misaligned"
	mov $7, %eax
	xor %edx, %edx
9:	xrstor area+32
	FAULTS GP, 0
	CASE "nm-xsave"
	LOAD_CR0_BITS CR0_TS
9:	xsave area
	FAULTS NM
	CASE "nm-xrstor"
	LOAD_CR0_BITS CR0_TS
9:	xrstor area
	FAULTS NM
	CASE "nm-avx"
	LOAD_CR0_BITS CR0_TS
9:	vxorps %ymm0, %ymm0, %ymm0
	FAULTS NM
	clts
	CASE "xsave-with-em"                  // CR0.EM does not concern XSAVE, nor AVX
	LOAD_CR0_BITS CR0_EM
	mov $7, %eax
	xor %edx, %edx
	xsave area
	vxorps %ymm0, %ymm0, %ymm0
	RUNS
	CLEAR_CR0_BITS CR0_EM

	// A known state: ST(0) = 1, XMM0 and YMM1 ones.
	.macro KNOWN
	fninit
	fld1
	movl $0x1F80, scratch
	ldmxcsr scratch
	vzeroall
	vpcmpeqd %ymm1, %ymm1, %ymm1
	vpcmpeqd %xmm0, %xmm0, %xmm0
	.endm
	.macro CLEAR_AREA value
	push %rax
	mov $area, %edi
	mov $512, %ecx
	movabs $\value, %rax
	cld
	rep stosq
	pop %rax
	xor %edx, %edx
	.endm
	// Leaves of XSTATE_BV the bits 2:1 that differ from XINUSE (where XGETBV shows it).
	.macro XOR_XINUSE register
	testl $4, features
	jz 997f
	mov $1, %ecx
	xgetbv
	xor %rax, \register
	and $6, \register
	jmp 996f
997:	xor \register, \register
996:
	.endm
	.macro HEADER bv, comp
	EQUAL "XSTATE_BV", area+XSTATE_BV, \bv
	EQUAL "XCOMP_BV", area+XCOMP_BV, \comp
	.endm

	CASE "xsave-all"
	KNOWN
	mov $7, %eax
	CLEAR_AREA 0
	xsave area
	RUNS
	HEADER 7, 0
	movzwl area, %eax
	EQUAL "fcw", %rax, 0x37F
	EQUAL "ymm1 high", area+576+16, -1
	EQUAL "ymm0 high", area+576, 0
	EQUAL "xmm0", area+160, -1
	CASE "xsave-writes-no-other-components"     // vol. 1 §13.7: only those of RFBM, and XSTATE_BV keeps the others' bits
	KNOWN
	mov $2, %eax
	CLEAR_AREA 0x5555555555555555
	movq $4, area + XSTATE_BV
	xsave area
	RUNS
	EQUAL "XSTATE_BV", area+XSTATE_BV, 6
	EQUAL "x87 untouched", area+32, 0x5555555555555555
	EQUAL "avx untouched", area+576, 0x5555555555555555
	EQUAL "xmm0", area+160, -1
	CASE "xsave-mxcsr-with-avx-alone"     // MXCSR is saved when RFBM has SSE or AVX
	KNOWN
	mov $4, %eax
	CLEAR_AREA 0x5555555555555555
	movq $0, area + XSTATE_BV
	xsave area
	mov area + 24, %eax
	RUNS
	EQUAL "mxcsr", %rax, 0x1F80
	EQUAL "xmm0 untouched", area+160, 0x5555555555555555
	CASE "xsave-mxcsr-not-with-x87"
	KNOWN
	mov $1, %eax
	CLEAR_AREA 0x5555555555555555
	movq $0, area + XSTATE_BV
	xsave area
	mov area + 24, %eax
	RUNS
	EQUAL "mxcsr", %rax, 0x55555555
	CASE "xsave-nothing"
	xor %eax, %eax
	CLEAR_AREA 0
	xsave area
	RUNS
	HEADER 0, 0

	// XRSTOR: the initial state where XSTATE_BV is 0 (vol. 1 §13.8, §13.6)
	CASE "xrstor-initialises"
	KNOWN
	mov $7, %eax
	CLEAR_AREA 0
	movl $0x1F80, area + 24
	xrstor area
	vmovups %ymm1, scratch
	fnstsw %ax
	movzwl %ax, %ebx
	fnstcw scratch + 64
	movzwl scratch + 64, %ecx
	RUNS
	EQUAL "ymm1", scratch, 0
	EQUAL "ymm1 high", scratch+16, 0
	EQUAL "fsw", %rbx, 0
	EQUAL "fcw", %rcx, 0x37F
	CASE "xrstor-round-trip"
	KNOWN
	mov $7, %eax
	CLEAR_AREA 0
	xsave area
	fninit
	vzeroall
	mov $7, %eax
	xor %edx, %edx
	xrstor area
	vmovups %ymm1, scratch
	fstpl scratch + 32
	RUNS
	EQUAL "ymm1 high", scratch+24, -1
	EQUAL "st0", scratch+32, 0x3FF0000000000000
	CASE "xrstor-some"                    // only SSE of RFBM: the rest stays
	KNOWN
	mov $2, %eax
	CLEAR_AREA 0
	movl $0x1F80, area + 24
	xrstor area
	vmovups %ymm1, scratch
	RUNS
	EQUAL "xmm1", scratch, 0
	EQUAL "ymm1 high", scratch+16, -1
	CASE "gp-xrstor-mxcsr"
	mov $7, %eax
	CLEAR_AREA 0
	movl $0x80001F80, area + 24
	movq $2, area + XSTATE_BV
9:	xrstor area
	FAULTS GP, 0
	CASE "gp-xrstor-mxcsr-even-if-initialised"     // standard form: MXCSR is loaded whenever RFBM has SSE or AVX
	mov $4, %eax
	CLEAR_AREA 0
	movl $0x80001F80, area + 24
9:	xrstor area
	FAULTS GP, 0
	CASE "gp-xrstor-bv-not-in-xcr0"
	mov $7, %eax
	CLEAR_AREA 0
	movl $0x1F80, area + 24
	movq $0x107, area + XSTATE_BV
9:	xrstor area
	FAULTS GP, 0
	CASE "gp-xrstor-header-reserved"
	mov $7, %eax
	CLEAR_AREA 0
	movl $0x1F80, area + 24
	movq $1, area + 528
9:	xrstor area
	FAULTS GP, 0
	CASE "xrstor-header-rest-ignored"     // bytes 63:24 of the header are not looked at by the standard form
	mov $7, %eax
	CLEAR_AREA 0
	movl $0x1F80, area + 24
	movq $-1, area + 536
	movq $-1, area + 568
	xrstor area
	RUNS

	// XSAVEOPT (vol. 1 §13.9) writes XSTATE_BV by the init optimisation; what is unmodified may stay as it is in memory.
	mov $0xD, %eax
	mov $1, %ecx
	cpuid
	mov %eax, features
	test $1, %al
	jnz 1f
	SKIP "xsaveopt", "CPUID"
	jmp 2f
1:	CASE "xsaveopt-bv-is-xinuse"          // §13.6 lets a processor call a component in use though it is initial
	fninit
	vzeroall
	mov $7, %eax
	CLEAR_AREA 0
	movq $7, area + XSTATE_BV
	xsaveopt area
	mov area + XSTATE_BV, %rbx
	XOR_XINUSE %rbx
	RUNS
	EQUAL "difference", %rbx, 0
	CASE "xsaveopt-modified"
	KNOWN
	mov $7, %eax
	CLEAR_AREA 0
	xsaveopt area
	RUNS
	EQUAL "XSTATE_BV", area+XSTATE_BV, 7
	EQUAL "ymm1 high", area+576+16, -1
	CASE "gp-xsaveopt-misaligned"
9:	xsaveopt area+8
	FAULTS GP, 0
2:
	// XSAVEC (vol. 1 §13.10): the compacted format, and the init optimisation.
	mov features, %eax
	test $2, %al
	jnz 1f
	SKIP "xsavec", "CPUID"
	jmp 2f
1:	CASE "xsavec-all"
	KNOWN
	mov $7, %eax
	CLEAR_AREA 0x5555555555555555
	xsavec area
	RUNS
	EQUAL "XCOMP_BV", area+XCOMP_BV, 0x8000000000000007
	EQUAL "XSTATE_BV", area+XSTATE_BV, 7
	EQUAL "ymm1 high", area+576+16, -1
	CASE "xsavec-bv-is-xinuse"
	fninit
	vzeroall
	vpcmpeqd %xmm0, %xmm0, %xmm0
	mov $7, %eax
	CLEAR_AREA 0x5555555555555555
	xsavec area
	mov area + XSTATE_BV, %rbx
	XOR_XINUSE %rbx
	RUNS
	EQUAL "XCOMP_BV", area+XCOMP_BV, 0x8000000000000007
	EQUAL "difference", %rbx, 0
	CASE "xrstor-compacted"
	KNOWN
	mov $7, %eax
	CLEAR_AREA 0
	xsavec area
	fninit
	vzeroall
	mov $7, %eax
	xor %edx, %edx
	xrstor area
	vmovups %ymm1, scratch
	RUNS
	EQUAL "ymm1 high", scratch+24, -1
	CASE "gp-xrstor-compacted-bv-beyond-comp"
	mov $7, %eax
	CLEAR_AREA 0
	movq $4, area + XSTATE_BV
	movabs $0x8000000000000003, %rcx
	mov %rcx, area + XCOMP_BV
	movl $0x1F80, area + 24
9:	xrstor area
	FAULTS GP, 0
	CASE "gp-xrstor-compacted-header"
	mov $7, %eax
	CLEAR_AREA 0
	movabs $0x8000000000000007, %rcx
	mov %rcx, area + XCOMP_BV
	movl $0x1F80, area + 24
	movq $1, area + 568
9:	xrstor area
	FAULTS GP, 0
	CASE "xrstor-compacted-mxcsr-not-loaded-if-init"     // compacted: MXCSR belongs to SSE's bit of XSTATE_BV
	movl $0x1FA0, scratch
	ldmxcsr scratch
	mov $7, %eax
	CLEAR_AREA 0
	movabs $0x8000000000000007, %rcx
	mov %rcx, area + XCOMP_BV
	movl $0x80001F80, area + 24
	xrstor area
	stmxcsr scratch
	mov scratch, %eax
	RUNS
	EQUAL "mxcsr", %rax, 0x1F80
2:
	mov features, %eax
	test $4, %al
	jnz 1f
	SKIP "xgetbv-1", "CPUID"
	jmp 2f
1:	CASE "xgetbv-1"                       // XINUSE
	vpcmpeqd %ymm1, %ymm1, %ymm1
	mov $1, %ecx
	xgetbv
	and $4, %eax
	vzeroall
	RUNS
	EQUAL "with ymm1", %rax, 4
2:
	mov features, %eax
	test $8, %al
	jnz 1f
	SKIP "xsaves", "CPUID"
	jmp 2f
1:	USER_FAULT "gp-xsaves-user", GP, 0, xsaves area
	USER_FAULT "gp-xrstors-user", GP, 0, xrstors area
	CASE "xsaves-xrstors"
	KNOWN
	mov $7, %eax
	CLEAR_AREA 0
	xsaves area
	vzeroall
	mov $7, %eax
	xor %edx, %edx
	xrstors area
	vmovups %ymm1, scratch
	RUNS
	EQUAL "XCOMP_BV", area+XCOMP_BV, 0x8000000000000007
	EQUAL "ymm1 high", scratch+24, -1
	CASE "gp-xrstors-standard-format"
	mov $7, %eax
	CLEAR_AREA 0
	movl $0x1F80, area + 24
9:	xrstors area
	FAULTS GP, 0
	CASE "gp-xss-unsupported"
	mov $0xDA0, %ecx
	xor %eax, %eax
	mov $0x40000000, %edx
9:	wrmsr
	FAULTS GP, 0
2:
	LOAD_XCR0 X87
	CLEAR_CR4_BITS CR4_OSXSAVE
	fninit
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	.bss
	.align 64
area:
	.skip 4096
scratch:
	.skip 256
features:
	.skip 8
	.section .note.GNU-stack, "", @progbits
