// The local APIC of the running processor, in xAPIC mode at its usual address (SDM vol. 3A chapter 12); the I/O APIC (Intel 82093AA
// data sheet) and the line that the suites drive it with: output 0 of the 8254, which PCs have on pin 2.
#pragma once
#include "suite.h"

enum { APIC = 0xFEE00000u, IOAPIC = 0xFEC00000u };
enum { APIC_ID = 0x20, TPR = 0x80, PPR = 0xA0, EOI = 0xB0, SVR = 0xF0, ISR = 0x100, TMR = 0x180, IRR = 0x200, ESR = 0x280, ICR = 0x300,
       ICR_HIGH = 0x310, LVT_TIMER = 0x320, LVT_LINT0 = 0x350, LVT_LINT1 = 0x360, LVT_ERROR = 0x370, TIMER_INITIAL = 0x380,
       TIMER_CURRENT = 0x390, TIMER_DIVIDE = 0x3E0 };
enum { ICR_SELF = 1 << 18, ICR_OTHERS = 3 << 18, ICR_NMI = 4 << 8, ICR_INIT = 5 << 8, ICR_STARTUP = 6 << 8, ICR_ASSERT = 1 << 14,
       ICR_PENDING = 1 << 12, MASKED = 1 << 16 };

extern uint64_t page_pointers[];

static inline uint32_t apic_read(uint32_t offset) { return *(volatile uint32_t *)(word)(APIC + offset); }
static inline void apic_write(uint32_t offset, uint32_t value) { *(volatile uint32_t *)(word)(APIC + offset) = value; }
// Whether a vector is set in ISR, TMR or IRR.
static inline word apic_bit(uint32_t what, uint32_t vector) { return apic_read(what + (vector >> 5) * 16) >> (vector & 31) & 1; }

static inline void apic_send(uint32_t high, uint32_t low) {
	apic_write(ICR_HIGH, high);
	apic_write(ICR, low);
	while (apic_read(ICR) & ICR_PENDING)
		;
}

// The fourth GiB is mapped to itself, uncached, in 64-bit programs.
static inline void map_devices(void) {
	static uint64_t directory[512] __attribute__((aligned(4096)));
	for (uint64_t n = 0; n < 512; n++)
		directory[n] = 3ull << 30 | n << 21 | 0x9F;
	page_pointers[3] = (word)directory | 7;
}

static inline void enable(void) { __asm__ volatile("sti; nop; nop" : : : "memory"); }
static inline void disable(void) { __asm__ volatile("cli" : : : "memory"); }

static inline uint64_t read_msr(uint32_t number) {
	uint32_t low, high;
	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
	return (uint64_t)high << 32 | low;
}

static inline void write_msr(uint32_t number, uint64_t value) {
	__asm__ volatile("wrmsr" : : "c"(number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline uint64_t timestamp(void) {
	uint32_t low, high;
	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static inline uint32_t cpuid(uint32_t leaf, uint32_t subleaf, int which) {
	uint32_t r[4];
	__asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(subleaf));
	return r[which];
}

static inline void out8(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline uint8_t in8(uint16_t port) {
	uint8_t value;
	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void delay(uint64_t ticks) {
	for (uint64_t start = timestamp(); timestamp() - start < ticks;)
		__asm__ volatile("pause");
}

// ---- 8254: a mode and a count, of which in mode 0 the output is low until it is over, then high

static inline void pit(uint8_t mode, uint16_t count) {
	out8(0x43, (uint8_t)(0x30 | mode << 1));
	out8(0x40, (uint8_t)count);
	out8(0x40, (uint8_t)(count >> 8));
}

// Until the 8259 has seen it, which is on the same line: some emulators' interrupt comes behind the output. Its LINT0 must be masked.
static inline void raise_line(void) {
	out8(0x20, 0x11);                        // ICW1 to ICW4; the first forgets requests
	out8(0x21, 0x30);
	out8(0x21, 4);
	out8(0x21, 1);
	out8(0x21, 0xFF);
	pit(0, 100);
	out8(0x20, 0x0A);                        // IRR
	for (uint64_t start = timestamp(); !(in8(0x20) & 1) && timestamp() - start < 2000000000ull;)
		;
	delay(20000);
}

// Low for 55 ms, which no case lasts.
static inline void lower_line(void) { pit(0, 0xFFFF); }

// ---- I/O APIC

enum { PIN = 0x10 + 2 * 2, LOWEST = 1 << 8, BY_NMI = 4 << 8, LOGICAL = 1 << 11, REMOTE_IRR = 1 << 14, LEVEL = 1 << 15 };

static inline uint32_t ioapic_read(uint32_t index) {
	*(volatile uint32_t *)(word)IOAPIC = index;
	return *(volatile uint32_t *)(word)(IOAPIC + 0x10);
}

static inline void ioapic_write(uint32_t index, uint32_t value) {
	*(volatile uint32_t *)(word)IOAPIC = index;
	*(volatile uint32_t *)(word)(IOAPIC + 0x10) = value;
}

// The line's entry: bits 63:32, then 31:0.
static inline void route_line(uint32_t high, uint32_t low) {
	ioapic_write(PIN, MASKED);
	ioapic_write(PIN + 1, high);
	ioapic_write(PIN, low);
}
