// Run-time of the bare-metal programs: traps, stamps, and what the compiler calls.
#include "console.h"
#include "machine.h"

extern const char trap_stubs[];
void (*trap_handler)(struct trap_frame *frame);

__attribute__((used)) void trap_entry(struct trap_frame *frame) {
	if (trap_handler) {
		trap_handler(frame);
		return;
	}
	print("@@ FAULT vector ");
	print_hex((uint32_t)frame->vector);
	print(" error ");
	print_hex((uint32_t)frame->error);
	print(" at ");
	print_hex((uint32_t)frame->ip);
	print("\n");
	end_machine(1);
}

static void load_traps(void) {
	// Interrupt gates, DPL 0 (SDM vol. 3A §6.11, §6.14.1).
#ifdef __x86_64__
	static uint32_t gates[33][4];
	const uint32_t selector = 0x18;
#else
	static uint32_t gates[33][2];
	const uint32_t selector = 0x08;
#endif
	for (uint32_t vector = 0; vector < 33; vector++) {
		uint32_t address = (uint32_t)(uintptr_t)trap_stubs + 16 * vector;
		gates[vector][0] = selector << 16 | (address & 0xFFFF);
		gates[vector][1] = (address & 0xFFFF0000) | 0x8E00;
	}
	struct __attribute__((packed)) {
		uint16_t limit;
		uintptr_t base;
	} pointer = {sizeof gates - 1, (uintptr_t)gates};
	__asm__ volatile("lidt %0" : : "m"(pointer));
}

__attribute__((used, noreturn)) void machine_main(void) {
	start_console();
	load_traps();
	print("\n@@ BEGIN " NAME "\n");
	uint32_t result = benchmark();
	trap_handler = 0;
	print("@@ RESULT " NAME " ");
	print_hex(result);
	print("\n@@ END " NAME "\n");
	end_machine(0);
	__builtin_unreachable();
}

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
