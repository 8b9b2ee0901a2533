// Products of matrices of doubles that hold small integers: exact in any precision.
#include "runtime.h"

enum { SIZE = 96, ROUNDS = 22 };
static double a[SIZE][SIZE], b[SIZE][SIZE], c[SIZE][SIZE];

static int program(int count, char **arguments) {
	uint32_t state = 7, sum = 0;
	(void)count, (void)arguments;
	for (int i = 0; i < SIZE; i++)
		for (int j = 0; j < SIZE; j++) {
			a[i][j] = (double)(int32_t)(xorshift(&state) % 201) - 100;
			b[i][j] = (double)(int32_t)(xorshift(&state) % 201) - 100;
		}
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < SIZE; i++)
			for (int j = 0; j < SIZE; j++) {
				double total = 0;
				for (int k = 0; k < SIZE; k++)
					total += a[i][k] * b[k][j];
				c[i][j] = total;
			}
		for (int i = 0; i < SIZE; i++)
			for (int j = 0; j < SIZE; j++) {
				sum = sum * 31 + (uint32_t)(int32_t)c[i][j];
				a[i][j] = (double)((int32_t)c[i][j] % 101);
			}
	}
	print_hex(sum);
	return 0;
}
