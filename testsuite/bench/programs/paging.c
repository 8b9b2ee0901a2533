// Page-table churn: entries rewritten with INVLPG, address spaces switched by
// CR3, pages remapped under access, and faults that map the page they missed.
#include "machine.h"

enum { PAGES = 256, PAGE = 4096 };
enum { PRESENT = 1, WRITABLE = 2 };
#define WINDOW 0x40000000u              // 1 GiB: the first address boot.S leaves unmapped

typedef uintptr_t entry;
enum { ENTRIES = PAGE / sizeof(entry) };

static entry tables[2][ENTRIES] __attribute__((aligned(4096)));
static entry roots[2][ENTRIES] __attribute__((aligned(4096)));
#ifdef __x86_64__
static entry pointers[2][ENTRIES] __attribute__((aligned(4096)));
static entry directories[2][ENTRIES] __attribute__((aligned(4096)));
#endif
static uint32_t frames[PAGES][PAGE / 4] __attribute__((aligned(4096)));
static uint32_t faults;

static void load_root(const entry *root) { __asm__ volatile("mov %0, %%cr3" : : "r"(root) : "memory"); }
static void invalidate(uintptr_t address) { __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory"); }
static entry map(uint32_t frame) { return (entry)frames[frame % PAGES] | PRESENT | WRITABLE; }
static volatile uint32_t *page(uint32_t index) { return (volatile uint32_t *)(uintptr_t)(WINDOW + index * PAGE); }

// Both address spaces share the low mapping and differ in the window.
static void build(int space) {
#ifdef __x86_64__
	for (int i = 0; i < ENTRIES; i++)
		pointers[space][i] = page_pointers[i];
	roots[space][0] = (entry)pointers[space] | PRESENT | WRITABLE;
	pointers[space][WINDOW >> 30] = (entry)directories[space] | PRESENT | WRITABLE;
	directories[space][0] = (entry)tables[space] | PRESENT | WRITABLE;
#else
	for (int i = 0; i < ENTRIES; i++)
		roots[space][i] = page_root[i];
	roots[space][WINDOW >> 22] = (entry)tables[space] | PRESENT | WRITABLE;
#endif
	for (uint32_t i = 0; i < PAGES; i++)
		tables[space][i] = map(space ? i * 7 : i);
}

static void map_on_fault(struct trap_frame *frame) {
	uintptr_t address;
	(void)frame;
	__asm__ volatile("mov %%cr2, %0" : "=r"(address));
	faults++;
	uint32_t index = (uint32_t)(address - WINDOW) / PAGE;
	tables[0][index % PAGES] = map(index + faults);
}

uint32_t benchmark(void) {
	uint32_t sum = 0, state = 11;
	for (uint32_t i = 0; i < PAGES; i++)
		for (uint32_t j = 0; j < PAGE / 4; j += 64)
			frames[i][j] = i * 1000 + j;
	build(0);
	build(1);
	trap_handler = map_on_fault;
	load_root(roots[0]);

	for (uint32_t i = 0; i < 600000; i++) {
		uint32_t random = xorshift(&state), index = random % PAGES;
		tables[0][index] = map(random >> 8);
		invalidate(WINDOW + index * PAGE);
		sum = mix(sum, page(index)[(random >> 16 & 15) * 64]++);
	}
	for (uint32_t i = 0; i < 250000; i++) {
		load_root(roots[i & 1]);
		for (uint32_t j = 0; j < 8; j++)
			sum = mix(sum, page((i + j * 31) % PAGES)[j * 64]);
	}
	load_root(roots[0]);
	for (uint32_t i = 0; i < 150000; i++) {
		uint32_t index = xorshift(&state) % PAGES;
		tables[0][index] = 0;
		invalidate(WINDOW + index * PAGE);
		sum = mix(sum, page(index)[0]++);
	}
	load_root(page_root);
	return mix(sum, faults);
}
