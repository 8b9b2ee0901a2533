// The model of paging that the paging suites compare with, after SDM vol. 3A chapter 5: one linear page, its entries at each level,
// and what an access to it must do.
#pragma once
#include "suite.h"

enum { READ, WRITE, FETCH };
enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, LARGE = 0x80, G = 0x100 };
#define NX (1ull << 63)
enum { ERROR_P = 1, ERROR_W = 2, ERROR_U = 4, ERROR_RESERVED = 8, ERROR_I = 16, ERROR_KEY = 32 };
enum { MAXIMUM_LEVELS = 5 };
#define NONE ((word)-1)

word probe(word access, word user, word address);
extern word probe_alias;

// What the tables under test are: `levels` of them, the root's entry last.
struct paging {
	int levels;
	int wide;                       // entries of eight bytes
	volatile void *entry[MAXIMUM_LEVELS];   // level 0 is the page table's
	uint64_t base[MAXIMUM_LEVELS];  // the physical address that the entry holds
	word linear;
	word code;                      // the same page, always accessible
};

extern struct paging paging;

#define CONTROL(n)                                                                                    \
	static inline word cr##n(void) {                                                              \
		word value;                                                                           \
		__asm__ volatile("mov %%cr" #n ", %0" : "=r"(value));                                 \
		return value;                                                                         \
	}                                                                                             \
	static inline void set_cr##n(word value) { __asm__ volatile("mov %0, %%cr" #n : : "r"(value) : "memory"); }
CONTROL(0)
CONTROL(3)
CONTROL(4)

static inline void bits_cr0(word bits, int on) { set_cr0(on ? cr0() | bits : cr0() & ~bits); }
static inline void bits_cr4(word bits, int on) { set_cr4(on ? cr4() | bits : cr4() & ~bits); }

static inline uint64_t read_msr(uint32_t number) {
	uint32_t low, high;
	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
	return (uint64_t)high << 32 | low;
}

static inline void write_msr(uint32_t number, uint64_t value) {
	__asm__ volatile("wrmsr" : : "c"(number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline void bits_efer(uint64_t bits, int on) {
	uint64_t old = read_msr(MSR_EFER);
	write_msr(MSR_EFER, on ? old | bits : old & ~bits);
}

static inline void invlpg(word address) { __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory"); }

static inline uint32_t cpuid(uint32_t leaf, uint32_t subleaf, int which) {
	uint32_t r[4];
	__asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(subleaf));
	return r[which];
}

uint64_t entry(int level);
void set_entry(int level, uint64_t flags);
void set_all(uint64_t flags);
// Performs the access and compares fault, error code, CR2, accessed and dirty bits with the model's.
void check_access(word access, word user);
// A case that does so for all accesses and privileges with what `prepare` makes of n = 0 … count - 1.
void check_all(const char *name, void (*prepare)(unsigned n), unsigned count);
void check_one(const char *name, void (*prepare)(unsigned n), unsigned count, word access, word user);

// Kinds of paging in common, with `paging` set up.
void rights_cases(const char *const names[6][2]);
void present_case(const char *name);
void accessed_dirty_case(const char *name);
extern uint32_t pkru_now;
extern int has_execute_disable;
