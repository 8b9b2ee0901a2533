// REP string instructions: MOVS and STOS in bulk and in the short lengths
// kernels use (16 to 255 bytes), SCASB and CMPSB, forwards and backwards.
#include "machine.h"

static uint8_t source[65536 + 512], target[65536 + 512];

static inline void move_bytes(void *to, const void *from, size_t count) {
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

static inline void move_words(void *to, const void *from, size_t count) {
	__asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

static inline void move_backwards(void *to, const void *from, size_t count) {
	__asm__ volatile("std; rep movsb; cld" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

static inline void store_words(void *to, uint32_t value, size_t count) {
	__asm__ volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(value) : "memory");
}

static inline size_t scan(const void *from, uint8_t value, size_t count) {
	size_t left = count;
	__asm__ volatile("repne scasb" : "+D"(from), "+c"(left) : "a"(value) : "memory", "cc");
	return count - left;
}

static inline size_t compare(const void *a, const void *b, size_t count) {
	size_t left = count;
	__asm__ volatile("repe cmpsb" : "+S"(a), "+D"(b), "+c"(left) : : "memory", "cc");
	return count - left;
}

uint32_t benchmark(void) {
	uint32_t state = 9, sum = 0;
	for (uint32_t i = 0; i < sizeof source; i++)
		source[i] = (uint8_t)xorshift(&state);
	for (uint32_t i = 0; i < 1500; i++) {
		move_words(target, source + (i & 255), 16384);
		store_words(target + 4096 * (i & 15), i, 1024);
		move_bytes(target + 32768, source, 4096 + (i & 7));
		sum = mix(sum, target[xorshift(&state) & 65535]);
	}
	for (uint32_t i = 0; i < 1500000; i++) {
		uint32_t random = xorshift(&state);
		uint32_t size = 16 + (random & 0xEF), at = random >> 8 & 0x7FFF;
		move_bytes(target + at, source + (random >> 16), size & 31);
		move_words(target + at, source + (at ^ 64), size / 4);
		if ((i & 3) == 0)
			store_words(target + at, i, size / 4);
		sum = mix(sum, target[at + 7]);
	}
	for (uint32_t i = 0; i < 60000; i++) {
		uint32_t at = xorshift(&state) & 0x7FFF;
		sum = mix(sum, (uint32_t)scan(source + at, (uint8_t)i, 1024));
		move_backwards(target + at + 95, source + at + 95, 64);
		sum = mix(sum, (uint32_t)compare(source + at, target + at, 256));
	}
	return sum;
}
