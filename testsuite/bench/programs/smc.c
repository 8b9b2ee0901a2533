// Self-modifying code: an immediate rewritten before every call, functions
// generated anew into a buffer, and data written beside running code.
#include "machine.h"

static uint8_t code[8192] __attribute__((aligned(4096)));

typedef uint32_t function(void);

// MOV EAX, imm32; XOR EAX, imm32; RET: the same bytes in both modes.
static void generate(uint8_t *at, uint32_t value, uint32_t mask) {
	at[0] = 0xB8;
	__builtin_memcpy(at + 1, &value, 4);
	at[5] = 0x35;
	__builtin_memcpy(at + 6, &mask, 4);
	at[10] = 0xC3;
}

static uint32_t call(const uint8_t *at) {
	// A jump between the store and the new code, as SDM vol. 3A §8.1.3 asks.
	__asm__ volatile("" : : : "memory");
	return ((function *)(uintptr_t)at)();
}

uint32_t benchmark(void) {
	uint32_t sum = 0, state = 13;
	generate(code, 1, 2);
	for (uint32_t i = 0; i < 60000; i++) {
		__builtin_memcpy(code + 1, &i, 4);
		sum = mix(sum, call(code));
	}
	for (uint32_t i = 0; i < 40000; i++) {
		uint8_t *at = code + (xorshift(&state) & 0xFF0);
		generate(at, i, state);
		sum = mix(sum, call(at)) + call(at);
	}
	// Data on the page of running code, the pattern of trampolines with a counter beside them.
	volatile uint32_t *counter = (volatile uint32_t *)(code + 2048);
	generate(code + 256, 77, 99);
	*counter = 0;
	for (uint32_t i = 0; i < 100000; i++) {
		*counter += i;
		sum += call(code + 256) ^ *counter;
	}
	return sum;
}
