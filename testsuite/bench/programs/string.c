// Strings as C programs handle them: length, comparison, search, splitting into words, hashing.
#include "machine.h"

enum { SIZE = 32768, BUCKETS = 1024 };
static char text[SIZE + 1];
static const char *table[BUCKETS];

__attribute__((noipa)) static size_t length(const char *s) {
	const char *end = s;
	while (*end)
		end++;
	return (size_t)(end - s);
}

__attribute__((noipa)) static int same(const char *a, const char *b) {
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

__attribute__((noipa)) static uint32_t count_word(const char *in, const char *word) {
	uint32_t found = 0;
	for (; *in; in++) {
		const char *a = in, *b = word;
		while (*b && *a == *b)
			a++, b++;
		found += *b == 0;
	}
	return found;
}

uint32_t benchmark(void) {
	static const char *const words[] = {"trap", "table", "the", "frame", "of", "interrupt", "a", "there"};
	uint32_t sum = 0;
	for (uint32_t round = 1; round <= 150; round++) {
		uint32_t state = round, used = 0;
		while (used < SIZE - 16) {
			for (const char *word = words[xorshift(&state) & 7]; *word; word++)
				text[used++] = *word;
			text[used++] = ' ';
		}
		text[used] = 0;
		sum = mix(sum, (uint32_t)length(text));
		sum = mix(sum, count_word(text, "there"));
		for (uint32_t i = 0; i < BUCKETS; i++)
			table[i] = 0;
		for (char *start = text; *start;) {
			char *end = start;
			uint32_t hash = 2166136261u;
			while (*end != ' ' && *end)
				hash = (hash ^ (uint8_t)*end++) * 16777619u;
			if (*end)
				*end++ = 0;
			const char **slot = &table[(hash ^ hash >> 15) % BUCKETS];
			while (*slot && !same(*slot, start))
				slot = slot == &table[BUCKETS - 1] ? table : slot + 1;
			if (!*slot) {
				*slot = start;
				sum = mix(sum, hash);
			}
			sum += (uint32_t)length(start);
			start = end;
		}
	}
	return sum;
}
