// CRC-32 (polynomial EDB88320h), byte by byte through a table.
#include "runtime.h"

static uint8_t data[1 << 16];

static int program(int count, char **arguments) {
	uint32_t table[256], state = 1, crc = ~0u;
	(void)count, (void)arguments;
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t value = i;
		for (int bit = 0; bit < 8; bit++)
			value = value >> 1 ^ (value & 1 ? 0xEDB88320u : 0);
		table[i] = value;
	}
	for (uint32_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)xorshift(&state);
	for (uint32_t round = 0; round < 400; round++)
		for (uint32_t i = 0; i < sizeof data; i++)
			crc = crc >> 8 ^ table[(crc ^ data[i]) & 255];
	print_hex(~crc);
	return 0;
}
