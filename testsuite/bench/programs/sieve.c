// The sieve of Eratosthenes: strided byte stores over 4 MB.
#include "machine.h"

enum { LIMIT = 4000000 };
static uint8_t composite[LIMIT];

uint32_t benchmark(void) {
	uint32_t primes = 0, sum = 0;
	for (uint32_t round = 0; round < 5; round++) {
		for (uint32_t i = 0; i < LIMIT; i++)
			composite[i] = (uint8_t)(i < 2);
		for (uint32_t i = 2; i < LIMIT; i++) {
			if (composite[i])
				continue;
			primes++;
			sum = mix(sum, i);
			for (uint32_t j = i * 2; j < LIMIT; j += i)
				composite[j] = 1;
		}
	}
	return primes ^ sum;
}
