// Calls and returns: deep recursion (Takeuchi's function) and indirect calls through a table.
#include "machine.h"

__attribute__((noipa)) static int32_t takeuchi(int32_t x, int32_t y, int32_t z) {
	if (y >= x)
		return z;
	return takeuchi(takeuchi(x - 1, y, z), takeuchi(y - 1, z, x), takeuchi(z - 1, x, y));
}

__attribute__((noipa)) static uint32_t add(uint32_t a, uint32_t b) { return a + b; }
__attribute__((noipa)) static uint32_t exclusive(uint32_t a, uint32_t b) { return a ^ b; }
__attribute__((noipa)) static uint32_t rotate(uint32_t a, uint32_t b) { return a << (b & 15) | a >> (32 - (b & 15) & 31); }
__attribute__((noipa)) static uint32_t scale(uint32_t a, uint32_t b) { return a * 31 + b; }

static uint32_t (*const operations[])(uint32_t, uint32_t) = {add, exclusive, rotate, scale};

uint32_t benchmark(void) {
	uint32_t sum = 0, state = 5;
	for (int i = 0; i < 120; i++)
		sum = mix(sum, (uint32_t)takeuchi(18, 12, 6));
	for (uint32_t i = 0; i < 8000000; i++)
		sum = operations[xorshift(&state) >> 7 & 3](sum, i);
	return sum;
}
