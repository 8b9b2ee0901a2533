// Integer arithmetic: shifts, multiplication, division, branches on data.
#include "machine.h"

uint32_t benchmark(void) {
	uint32_t state = 2463534242u, sum = 0;
	for (uint32_t i = 1; i <= 12000000; i++) {
		uint32_t x = xorshift(&state);
		sum += x * 2654435761u;
		sum = sum << 7 | sum >> 25;
		if (x & 1)
			sum ^= i;
		if ((i & 7) == 0)
			sum += x / (i | 1) + x % 1009;
	}
	return sum;
}
