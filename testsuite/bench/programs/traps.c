// Traps and returns: software interrupts and invalid opcodes through the IDT, CPUID, CR0 and flags.
#include "machine.h"

static uint32_t counts[2];

static void count_trap(struct trap_frame *frame) {
	if (frame->vector == VECTOR_UD) {
		counts[1]++;
		frame->ip += 2;                 // over the UD2
	} else {
		counts[0] += (uint32_t)frame->vector;
	}
}

uint32_t benchmark(void) {
	uint32_t sum = 0;
	trap_handler = count_trap;
	for (uint32_t i = 0; i < 1200000; i++) {
		__asm__ volatile("int $32" : : : "memory");
		if ((i & 3) == 0)
			__asm__ volatile("ud2" : : : "memory");
		uintptr_t flags;
		__asm__ volatile("pushf; pop %0; push %0; popf" : "=&r"(flags) : : "memory", "cc");
		sum = mix(sum, counts[0] ^ counts[1]) + (uint32_t)(flags & 0x200);
	}
	for (uint32_t i = 0; i < 300000; i++) {
		uint32_t a = 0, b, c, d;
		__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
		uintptr_t cr0;
		__asm__ volatile("mov %%cr0, %0; mov %0, %%cr0" : "=r"(cr0) : : "memory");
		sum = mix(sum, (uint32_t)(cr0 & 1) + (a != 0));
	}
	return sum;
}
