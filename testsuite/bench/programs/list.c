// Copies by words and linked lists: insertion, reversal, merge sort, removal.
#include "machine.h"

enum { COUNT = 4096, BUFFER = 16384 };
struct item {
	struct item *next;
	uint32_t key, payload[5];
};
static struct item items[COUNT];
static uint32_t from[BUFFER], to[BUFFER];

__attribute__((noipa)) static void copy(volatile uint32_t *target, const uint32_t *origin, uint32_t count) {
	for (uint32_t i = 0; i < count; i += 4) {
		target[i] = origin[i];
		target[i + 1] = origin[i + 1];
		target[i + 2] = origin[i + 2];
		target[i + 3] = origin[i + 3];
	}
}

static struct item *merge(struct item *a, struct item *b) {
	struct item head = {0}, *tail = &head;
	while (a && b) {
		struct item **smaller = a->key <= b->key ? &a : &b;
		tail->next = *smaller;
		tail = *smaller;
		*smaller = (*smaller)->next;
	}
	tail->next = a ? a : b;
	return head.next;
}

static struct item *sort(struct item *list) {
	if (!list || !list->next)
		return list;
	struct item *slow = list, *fast = list->next;
	while (fast && fast->next)
		slow = slow->next, fast = fast->next->next;
	struct item *second = slow->next;
	slow->next = 0;
	return merge(sort(list), sort(second));
}

uint32_t benchmark(void) {
	uint32_t state = 23, sum = 0;
	for (uint32_t round = 0; round < 110; round++) {
		struct item *list = 0, *reversed = 0;
		for (uint32_t i = 0; i < COUNT; i++) {
			items[i].key = xorshift(&state);
			items[i].payload[round % 5] = i;
			items[i].next = list;
			list = &items[i];
		}
		list = sort(list);
		for (struct item *item = list, *next; item; item = next) {
			next = item->next;
			item->next = reversed;
			reversed = item;
		}
		for (struct item **link = &reversed; *link;) {
			sum = mix(sum, (*link)->key);
			if ((*link)->key & 1)
				*link = (*link)->next;
			else
				link = &(*link)->next;
		}
		for (uint32_t i = 0; i < 64; i++)
			from[(i * 257 + round) % BUFFER] = sum + i;
		for (uint32_t i = 0; i < 14; i++)
			copy(to, from, BUFFER);
		sum = mix(sum, to[sum % BUFFER]);
	}
	return sum;
}
