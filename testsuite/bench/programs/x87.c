// x87 in extended precision: the operations IEEE 754 defines exactly, loads,
// stores and comparisons. No transcendentals: emulators differ in their last bits.
#include "machine.h"

typedef long double real;

static inline real root(real value) {
	__asm__("fsqrt" : "+t"(value));
	return value;
}

uint32_t benchmark(void) {
	static real series[64];
	static double doubles[64];
	uint32_t sum = 0;
	for (int i = 0; i < 64; i++)
		series[i] = 1.0L + (real)i / 7;
	for (int32_t round = 1; round <= 60000; round++) {
		real x = 0.5L, y = (real)round;
		for (int i = 0; i < 64; i++) {
			x = 3.75L * x * (1 - x);
			y += root(series[i] + x) / (1 + x * x);
			series[i] = series[i] * 0.875L + x;
			doubles[i] = (double)(series[i] - x);
			if (y > 1000000)
				y -= 1000000;
		}
		sum = mix(sum, (uint32_t)(int32_t)(y * 1024));
		sum = mix(sum, (uint32_t)(int32_t)(doubles[round & 63] * 65536));
	}
	return sum;
}
