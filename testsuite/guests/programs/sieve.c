// The sieve of Eratosthenes over a byte array larger than any first-level cache.
#include "runtime.h"

enum { LIMIT = 3300000 };
static uint8_t composite[LIMIT];

static int program(int count, char **arguments) {
	uint32_t primes = 0, sum = 0;
	(void)count, (void)arguments;
	for (uint32_t round = 0; round < 2; round++) {
		memset(composite, 0, sizeof composite);
		for (uint32_t i = 2; i < LIMIT; i++) {
			if (composite[i])
				continue;
			primes++;
			sum += i;
			for (uint32_t j = i * 2; j < LIMIT; j += i)
				composite[j] = 1;
		}
	}
	print_hex(primes ^ sum);
	return 0;
}
