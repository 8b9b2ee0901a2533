// Pointer chasing: one random cycle through 4 MiB, a node a cache line.
#include "machine.h"

enum { NODES = 65536 };
static struct node {
	struct node *next;
	uint32_t value;
	uint32_t padding[16 - 1 - sizeof(void *) / 4];
} nodes[NODES];
static uint32_t order[NODES];

uint32_t benchmark(void) {
	uint32_t state = 3, sum = 0;
	for (uint32_t i = 0; i < NODES; i++)
		order[i] = i;
	for (uint32_t i = NODES - 1; i > 0; i--) {
		uint32_t j = xorshift(&state) % (i + 1), kept = order[i];
		order[i] = order[j];
		order[j] = kept;
	}
	for (uint32_t i = 0; i < NODES; i++) {
		nodes[order[i]].next = &nodes[order[(i + 1) % NODES]];
		nodes[order[i]].value = i;
	}
	struct node *node = nodes;
	for (uint32_t i = 0; i < 12000000; i++) {
		sum += node->value ^ i;
		node = node->next;
	}
	return sum;
}
