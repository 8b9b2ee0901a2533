// COM1 and the end of the machine, for programs without an operating system.
#include "console.h"

enum { COM1 = 0x3F8, LINE_STATUS = COM1 + 5, HOLDING_EMPTY = 0x20, ALL_SENT = 0x40 };
enum { DEBUG_EXIT = 0xF4, BOCHS_SHUTDOWN = 0x8900 };

static inline void out8(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }

static inline uint8_t in8(uint16_t port) {
	uint8_t value;
	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

void print(const char *text) {
	for (; *text; text++) {
		while (!(in8(LINE_STATUS) & HOLDING_EMPTY))
			;
		out8(COM1, (uint8_t)*text);
	}
}

void print_hex(uint32_t value) {
	char text[9];
	for (int i = 0; i < 8; i++)
		text[i] = "0123456789abcdef"[value >> (28 - 4 * i) & 15];
	text[8] = 0;
	print(text);
}

// Ends the run: exit code 0 is success. QEMU and Xenolith listen on the debug-exit port, Bochs on its own.
void end_machine(uint8_t code) {
	while (!(in8(LINE_STATUS) & ALL_SENT))
		;
	out8(DEBUG_EXIT, code);
	for (const char *text = "Shutdown"; *text; text++)
		out8(BOCHS_SHUTDOWN, (uint8_t)*text);
	for (;;)
		__asm__ volatile("cli; hlt");
}

void start_console(void) {
	out8(COM1 + 1, 0);              // no interrupts
	out8(COM1 + 3, 0x80);           // divisor: 115200 baud
	out8(COM1 + 0, 1);
	out8(COM1 + 1, 0);
	out8(COM1 + 3, 3);              // 8N1
	out8(COM1 + 2, 0);
}
