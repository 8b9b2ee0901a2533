// Run-time of the bare-metal programs: COM1, traps, stamps and the end of the machine.
#include "machine.h"

enum { COM1 = 0x3F8, LINE_STATUS = COM1 + 5, HOLDING_EMPTY = 0x20, ALL_SENT = 0x40 };
enum { DEBUG_EXIT = 0xF4, BOCHS_SHUTDOWN = 0x8900 };

extern const char trap_stubs[];
void (*trap_handler)(struct trap_frame *frame);

static inline void out8(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }

static inline uint8_t in8(uint16_t port) {
	uint8_t value;
	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void print(const char *text) {
	for (; *text; text++) {
		while (!(in8(LINE_STATUS) & HOLDING_EMPTY))
			;
		out8(COM1, (uint8_t)*text);
	}
}

static void print_hex(uint32_t value) {
	char text[9];
	for (int i = 0; i < 8; i++)
		text[i] = "0123456789abcdef"[value >> (28 - 4 * i) & 15];
	text[8] = 0;
	print(text);
}

// Ends the run: exit code 0 is success. QEMU and Xenolith listen on the debug-exit port, Bochs on its own.
static void end_machine(uint8_t code) {
	while (!(in8(LINE_STATUS) & ALL_SENT))
		;
	out8(DEBUG_EXIT, code);
	for (const char *text = "Shutdown"; *text; text++)
		out8(BOCHS_SHUTDOWN, (uint8_t)*text);
	for (;;)
		__asm__ volatile("cli; hlt");
}

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
	out8(COM1 + 1, 0);              // no interrupts
	out8(COM1 + 3, 0x80);           // divisor: 115200 baud
	out8(COM1 + 0, 1);
	out8(COM1 + 1, 0);
	out8(COM1 + 3, 3);              // 8N1
	out8(COM1 + 2, 0);
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
