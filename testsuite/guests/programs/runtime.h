// The whole run-time of the workload programs: entry, exit and write by system
// call. Without a C library the same source builds for both architectures with
// any x86 GCC, no 32-bit libraries installed.
#pragma once

#include <stddef.h>
#include <stdint.h>

static long system_call(long number, long a, long b, long c) {
	long result;
#ifdef __x86_64__
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
#else
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
#endif
	return result;
}

#ifdef __x86_64__
enum { SYS_WRITE = 1, SYS_EXIT = 60 };
#else
enum { SYS_WRITE = 4, SYS_EXIT = 1 };
#endif

static inline void write_all(const void *data, size_t size) {
	const char *bytes = data;
	while (size > 0) {
		long written = system_call(SYS_WRITE, 1, (long)bytes, (long)size);
		if (written <= 0)
			system_call(SYS_EXIT, 1, 0, 0);
		bytes += written;
		size -= (size_t)written;
	}
}

static inline void print_hex(uint32_t value) {
	char text[9];
	for (int i = 0; i < 8; i++)
		text[i] = "0123456789abcdef"[value >> (28 - 4 * i) & 15];
	text[8] = '\n';
	write_all(text, sizeof text);
}

// Marsaglia's xorshift32: the programs' source of fixed "random" numbers.
static inline uint32_t xorshift(uint32_t *state) {
	uint32_t x = *state;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return *state = x;
}

static inline uint32_t parse_number(const char *text) {
	uint32_t value = 0;
	while (*text >= '0' && *text <= '9')
		value = value * 10 + (uint32_t)(*text++ - '0');
	return value;
}

static int program(int count, char **arguments);

__attribute__((used, noreturn)) static void start(long *stack) {
	system_call(SYS_EXIT, program((int)stack[0], (char **)(stack + 1)), 0, 0);
	__builtin_unreachable();
}

// At entry the stack pointer is at argc and aligned to 16 (System V ABI, "Process Initialization").
#ifdef __x86_64__
__asm__(".globl _start\n_start: mov %rsp, %rdi\n call start\n");
#else
__asm__(".globl _start\n_start: mov %esp, %eax\n sub $12, %esp\n push %eax\n call start\n");
#endif

// GCC may call these for loops it recognises, also in freestanding code.
__attribute__((used)) void *memset(void *to, int value, size_t size) {
	uint8_t *bytes = to;
	__asm__ volatile("rep stosb" : "+D"(bytes), "+c"(size) : "a"(value) : "memory");
	return to;
}

__attribute__((used)) void *memcpy(void *to, const void *from, size_t size) {
	void *target = to;
	__asm__ volatile("rep movsb" : "+D"(target), "+S"(from), "+c"(size) : : "memory");
	return to;
}
