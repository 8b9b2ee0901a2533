// What a bare-metal program of the benchmark has: the machine, and nothing else.
// A program defines `benchmark`, whose result must not depend on time, on the
// emulator or on the word size.
#pragma once

#include <stddef.h>
#include <stdint.h>

uint32_t benchmark(void);

struct trap_frame {
	uintptr_t vector, error, ip, cs, flags;
};

enum { VECTOR_UD = 6, VECTOR_PF = 14, VECTOR_SOFTWARE = 32 };

// Called for every exception and for INT 32; without one, any trap ends the machine with a message.
extern void (*trap_handler)(struct trap_frame *frame);

// The page table root: page directory (32-bit) or PML4 (64-bit).
extern uintptr_t page_root[];
#ifdef __x86_64__
extern uintptr_t page_pointers[];
#endif

// Marsaglia's xorshift32: the fixed "random" numbers.
static inline uint32_t xorshift(uint32_t *state) {
	uint32_t x = *state;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}

static inline uint32_t mix(uint32_t sum, uint32_t value) { return (sum << 5 | sum >> 27) ^ value * 2654435761u; }

// Hides a value from the optimiser.
static inline uint32_t opaque(uint32_t value) {
	__asm__ volatile("" : "+r"(value));
	return value;
}
