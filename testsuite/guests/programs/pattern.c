// pattern SIZE SEED: writes SIZE bytes of text with the repetitions real text
// has, so that compressors find matches and sorters find order.
#include "runtime.h"

static const char words[][12] = {
	"guest ", "kernel ", "page ", "table ", "frame ", "fault ", "timer ", "queue ",
	"event ", "the ", "a ", "of ", "to ", "entry ", "domain ", "\n",
};

static int program(int count, char **arguments) {
	static char buffer[65536];
	uint32_t size = count > 1 ? parse_number(arguments[1]) : 0;
	uint32_t state = count > 2 ? parse_number(arguments[2]) : 1;
	uint32_t used = 0;
	state |= 1;
	while (size > 0) {
		uint32_t random = xorshift(&state);
		char text[24];
		uint32_t length = 0;
		for (const char *c = words[random & 15]; *c; c++)
			text[length++] = *c;
		if ((random >> 4 & 3) == 0)
			for (uint32_t i = 0; i < 6; i++)
				text[length++] = (char)('0' + (random >> (8 + 4 * i) & 15) % 10);
		for (uint32_t i = 0; i < length && size > 0; i++, size--) {
			buffer[used++] = text[i];
			if (used == sizeof buffer) {
				write_all(buffer, used);
				used = 0;
			}
		}
	}
	write_all(buffer, used);
	return 0;
}
