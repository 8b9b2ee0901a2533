// Quicksort with insertion sort for short runs: unpredictable branches, recursion.
#include "machine.h"

enum { COUNT = 100000 };
static uint32_t values[COUNT];

static void sort(uint32_t *from, uint32_t *to) {
	while (to - from > 12) {
		uint32_t pivot = from[(to - from) / 2], *low = from, *high = to - 1;
		while (low <= high) {
			while (*low < pivot)
				low++;
			while (*high > pivot)
				high--;
			if (low <= high) {
				uint32_t kept = *low;
				*low++ = *high;
				*high-- = kept;
			}
		}
		sort(from, high + 1);
		from = low;
	}
	for (uint32_t *i = from + 1; i < to; i++) {
		uint32_t value = *i, *j = i;
		for (; j > from && j[-1] > value; j--)
			*j = j[-1];
		*j = value;
	}
}

uint32_t benchmark(void) {
	uint32_t state = 17, sum = 0;
	for (int round = 0; round < 22; round++) {
		for (uint32_t i = 0; i < COUNT; i++)
			values[i] = xorshift(&state);
		sort(values, values + COUNT);
		for (uint32_t i = 0; i < COUNT; i += 97)
			sum = mix(sum, values[i]);
	}
	return sum;
}
