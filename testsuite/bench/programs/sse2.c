// SSE2: a product of double matrices (packed), single precision, conversions and packed integers.
#include "machine.h"

#include <emmintrin.h>

enum { SIZE = 64, ROUNDS = 90 };
static double a[SIZE][SIZE] __attribute__((aligned(16))), b[SIZE][SIZE] __attribute__((aligned(16))),
	c[SIZE][SIZE] __attribute__((aligned(16)));

uint32_t benchmark(void) {
	uint32_t state = 7, sum = 0;
	for (int i = 0; i < SIZE; i++)
		for (int j = 0; j < SIZE; j++) {
			a[i][j] = (double)(int32_t)(xorshift(&state) % 201) - 100;
			b[i][j] = (double)(int32_t)(xorshift(&state) % 201) - 100.5;
		}
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < SIZE; i++)
			for (int j = 0; j < SIZE; j += 4) {
				__m128d low = _mm_setzero_pd(), high = _mm_setzero_pd();
				for (int k = 0; k < SIZE; k++) {
					__m128d left = _mm_set1_pd(a[i][k]);
					low = _mm_add_pd(low, _mm_mul_pd(left, _mm_load_pd(&b[k][j])));
					high = _mm_add_pd(high, _mm_mul_pd(left, _mm_load_pd(&b[k][j + 2])));
				}
				_mm_store_pd(&c[i][j], low);
				_mm_store_pd(&c[i][j + 2], high);
			}
		for (int i = 0; i < SIZE; i++)
			for (int j = 0; j < SIZE; j++) {
				int32_t whole = (int32_t)c[i][j];
				sum = mix(sum, (uint32_t)whole);
				a[i][j] = (double)(whole % 1009) * 0.3;
			}
	}
	__m128 x = _mm_set_ps(1.5f, 2.25f, 3.125f, 4.0625f), y = _mm_set1_ps(0.9f);
	__m128i packed = _mm_set_epi32(1, 2, 3, 4);
	for (uint32_t i = 0; i < 3000000; i++) {
		x = _mm_add_ps(_mm_mul_ps(x, y), _mm_sqrt_ps(_mm_add_ps(x, _mm_set1_ps(2.0f))));
		packed = _mm_add_epi32(_mm_xor_si128(packed, _mm_slli_epi32(packed, 3)), _mm_cvtps_epi32(x));
		packed = _mm_shuffle_epi32(_mm_add_epi16(packed, _mm_mullo_epi16(packed, packed)), 0x39);
	}
	uint32_t words[4];
	_mm_storeu_si128((__m128i *)words, packed);
	return mix(mix(mix(mix(sum, words[0]), words[1]), words[2]), words[3]);
}
