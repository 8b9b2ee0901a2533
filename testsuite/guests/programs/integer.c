// Integer arithmetic: mixing, multiplication, division, shifts and branches.
#include "runtime.h"

static int program(int count, char **arguments) {
	uint32_t state = 2463534242u, sum = 0;
	(void)count, (void)arguments;
	for (uint32_t i = 1; i <= 11500000; i++) {
		uint32_t x = xorshift(&state);
		sum += x * 2654435761u;
		sum = sum << 7 | sum >> 25;
		if (x & 1)
			sum ^= i;
		if ((i & 7) == 0)
			sum += x / (i | 1) + x % 1009;
	}
	print_hex(sum);
	return 0;
}
