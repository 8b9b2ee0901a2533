// Interrupts: the local APIC's priorities and timer, NMIs, the 8259 and the I/O APIC (SDM vol. 3A chapters 7 and 12; Intel 8259A and
// 82093AA data sheets).
#include "apic.h"

word copy(void *to, const void *from, word count);
word load_cr8(word value);
word access_msr(word number, word value, word write);
void halt_here(void);
extern const char copy_instruction[], halt_end[], event_stubs[];
extern word (*event_hook)(word *frame);

enum { LOW_VECTOR = 0x41, MIDDLE = 0x91, MIDDLE_TOO = 0x98, HIGH = 0xE1, SPURIOUS = 0xEF, TIMER = 0x71, PIC_VECTOR = 0x30,
       IOAPIC_VECTOR = 0x51 };

static word in_service, requested, priority, depth, deepest;
static word (*in_handler)(void);

static word vector_of(const word *frame) { return frame[15]; }

// Notes what the APIC says, then ends the interrupt.
static word end_interrupt(word *frame) {
	word vector = vector_of(frame);
	if (vector == SPURIOUS) {                // §12.9: may come where a priority rose, and counts for nothing
		event_count--;
		return 1;
	}
	depth++;
	if (depth > deepest)
		deepest = depth;
	in_service = apic_bit(ISR, (uint32_t)vector);
	requested = apic_bit(IRR, (uint32_t)vector);
	priority = apic_read(PPR);
	if (in_handler) {
		word (*body)(void) = in_handler;
		in_handler = 0;
		body();
	}
	if (vector >= 0x20)
		apic_write(EOI, 0);
	depth--;
	return 1;
}

static void begin(const char *name) {
	case_begin(name);
	event_hook = end_interrupt;
	in_handler = 0;
	depth = deepest = 0;
}

static void send_self(uint32_t vector) { apic_send(0, ICR_SELF | ICR_ASSERT | vector); }

static void wait_for(word count) {
	for (uint64_t start = timestamp(); *(volatile word *)&event_count < count && timestamp() - start < 2000000000ull;)
		__asm__ volatile("pause");
}

static word send_middle_too(void) {
	send_self(MIDDLE_TOO);
	enable();
	disable();
	return deepest;
}

static word send_high(void) {
	send_self(HIGH);
	enable();
	disable();
	return 0;
}

static word send_nmi(void) {
	apic_send(apic_read(APIC_ID), ICR_NMI | ICR_ASSERT);
	__asm__ volatile("nop; nop; nop");
	return 0;
}

static void ipi_cases(void) {
	begin("ipi-self");
	send_self(MIDDLE);
	check_equal("irr before", apic_bit(IRR, MIDDLE), 1);
	check_equal("isr before", apic_bit(ISR, MIDDLE), 0);
	check_equal("events with IF = 0", event_count, 0);
	enable();
	disable();
	check_equal("events", event_count, 1);
	check_equal("vector", events[0].vector, MIDDLE);
	check_equal("in service", in_service, 1);
	check_equal("requested", requested, 0);
	check_equal("ppr in the handler", priority, MIDDLE & 0xF0);
	check_equal("isr after", apic_bit(ISR, MIDDLE), 0);
	check_equal("rf in frame", events[0].flags & FLAG_RF, 0);
	begin("ipi-physical-destination");
	apic_send(apic_read(APIC_ID), ICR_ASSERT | LOW_VECTOR);
	enable();
	disable();
	check_equal("vector", events[0].vector, LOW_VECTOR);
	begin("ipi-other-destination");
	apic_send(0x0E000000 ^ (apic_read(APIC_ID) & 0x0F000000), ICR_ASSERT | LOW_VECTOR);
	enable();
	disable();
	check_equal("events", event_count, 0);
	begin("ipi-twice-is-once");              // §12.8.4: one bit of IRR
	send_self(MIDDLE);
	send_self(MIDDLE);
	enable();
	disable();
	check_equal("events", event_count, 1);
	begin("priority-order");
	send_self(LOW_VECTOR);
	send_self(HIGH);
	send_self(MIDDLE);
	enable();
	disable();
	check_equal("events", event_count, 3);
	check_equal("first", events[0].vector, HIGH);
	check_equal("second", events[1].vector, MIDDLE);
	check_equal("third", events[2].vector, LOW_VECTOR);
	begin("priority-same-class-waits");      // §12.8.3.1: bits 7:4
	in_handler = send_middle_too;
	send_self(MIDDLE);
	enable();
	disable();
	check_equal("events", event_count, 2);
	check_equal("deepest", deepest, 1);
	begin("priority-higher-class-nests");
	in_handler = send_high;
	send_self(MIDDLE);
	enable();
	disable();
	check_equal("events", event_count, 2);
	check_equal("deepest", deepest, 2);
	check_equal("second", events[1].vector, HIGH);
	begin("tpr-holds-back");
	apic_write(TPR, 0x90);
	check_equal("ppr", apic_read(PPR), 0x90);
	send_self(MIDDLE);
	enable();
	disable();
	check_equal("events", event_count, 0);
	check_equal("irr", apic_bit(IRR, MIDDLE), 1);
	send_self(HIGH);
	enable();
	disable();
	check_equal("higher comes", event_count, 1);
	apic_write(TPR, 0);
	enable();
	disable();
	check_equal("lower comes then", events[1].vector, MIDDLE);
	begin("tpr-subclass");                   // bits 3:0 of TPR do not hold back, but PPR shows them
	apic_write(TPR, 0x8F);
	check_equal("ppr", apic_read(PPR), 0x8F);
	send_self(MIDDLE);
	enable();
	disable();
	check_equal("events", event_count, 1);
	apic_write(TPR, 0);
	begin("cr8-is-tpr");                     // §12.8.6
	__asm__ volatile("mov %0, %%cr8" : : "r"((word)0x9));
	check_equal("tpr", apic_read(TPR), 0x90);
	apic_write(TPR, 0x5F);
	word value;
	__asm__ volatile("mov %%cr8, %0" : "=r"(value));
	check_equal("cr8", value, 5);
	apic_write(TPR, 0);
	begin("cr8-lowered-delivers-at-once");
	__asm__ volatile("mov %0, %%cr8" : : "r"((word)0x9));
	send_self(MIDDLE);
	enable();
	check_equal("before", *(volatile word *)&event_count, 0);
	__asm__ volatile("mov %0, %%cr8; nop" : : "r"((word)0) : "memory");
	check_equal("after", *(volatile word *)&event_count, 1);
	disable();
	case_begin("gp-cr8-reserved");
	check_equal("vector", load_cr8(0x10), GP);
	begin("esr-illegal-vector");             // §12.5.3: bit 5, for a vector below 16
	apic_write(ESR, 0);
	send_self(5);
	apic_write(ESR, 0);
	check_equal("esr", apic_read(ESR) & 0x20, 0x20);
	apic_write(ESR, 0);
	check_equal("cleared", apic_read(ESR), 0);
	enable();
	disable();
	check_equal("events", event_count, 0);
	begin("lvt-error-interrupt");
	apic_write(LVT_ERROR, 0x61);
	apic_write(ESR, 0);
	send_self(5);
	enable();
	disable();
	check_equal("events", event_count, 1);
	check_equal("vector", events[0].vector, 0x61);
	apic_write(LVT_ERROR, MASKED);
	apic_write(ESR, 0);
}

static void timer_cases(void) {
	apic_write(TIMER_DIVIDE, 0xB);           // by 1
	begin("timer-one-shot");
	apic_write(LVT_TIMER, TIMER);
	apic_write(TIMER_INITIAL, 5000000);
	check_equal("counting", apic_read(TIMER_CURRENT) != 0, 1);
	enable();
	wait_for(1);
	check_equal("vector", events[0].vector, TIMER);
	check_equal("at zero", apic_read(TIMER_CURRENT), 0);
	for (volatile int n = 0; n < 50000; n++)
		;
	check_equal("once", event_count, 1);
	disable();
	begin("timer-periodic");
	apic_write(LVT_TIMER, 1 << 17 | TIMER);
	apic_write(TIMER_INITIAL, 50000);
	enable();
	wait_for(3);
	disable();
	apic_write(TIMER_INITIAL, 0);
	check_equal("three", event_count >= 3, 1);
	enable();
	disable();
	begin("timer-initial-0-stops");
	apic_write(TIMER_INITIAL, 1000000000);
	apic_write(TIMER_INITIAL, 0);
	check_equal("current", apic_read(TIMER_CURRENT), 0);
	begin("timer-masked-counts");
	apic_write(LVT_TIMER, MASKED | TIMER);
	apic_write(TIMER_INITIAL, 500000);
	enable();
	for (uint64_t start = timestamp(); apic_read(TIMER_CURRENT) && timestamp() - start < 2000000000ull;)
		;
	disable();
	check_equal("current", apic_read(TIMER_CURRENT), 0);
	check_equal("irr", apic_bit(IRR, TIMER), 0);
	check_equal("events", event_count, 0);
	begin("timer-wakes-hlt");
	apic_write(LVT_TIMER, TIMER);
	apic_write(TIMER_INITIAL, 100000);
	halt_here();
	check_equal("events", event_count, 1);
	check_equal("rip behind hlt", events[0].ip, (word)halt_end);
	if (cpuid(1, 0, 2) >> 24 & 1) {          // §12.5.4.1
		begin("timer-tsc-deadline");
		apic_write(LVT_TIMER, 2 << 17 | TIMER);
		__asm__ volatile("mfence" : : : "memory");
		write_msr(0x6E0, timestamp() + 100000);
		check_equal("armed", read_msr(0x6E0) != 0, 1);
		enable();
		wait_for(1);
		disable();
		check_equal("vector", events[0].vector, TIMER);
		check_equal("disarmed", read_msr(0x6E0), 0);
		begin("timer-tsc-deadline-in-the-past");
		write_msr(0x6E0, 1);
		enable();
		wait_for(1);
		disable();
		check_equal("events", event_count, 1);
		begin("timer-tsc-deadline-ignores-initial-count");
		apic_write(TIMER_INITIAL, 1000);
		check_equal("current", apic_read(TIMER_CURRENT), 0);
		begin("timer-tsc-deadline-of-other-mode");
		apic_write(LVT_TIMER, TIMER);
		write_msr(0x6E0, timestamp() + 1000000000000ull);
		check_equal("reads 0", read_msr(0x6E0), 0);
	} else {
		case_skip("timer-tsc-deadline", "CPUID has no TSC deadline");
	}
	apic_write(LVT_TIMER, MASKED);
}

static void nmi_cases(void) {
	begin("nmi-ipi");
	apic_send(apic_read(APIC_ID), ICR_NMI | ICR_ASSERT);
	__asm__ volatile("nop; nop");
	check_equal("events", event_count, 1);
	check_equal("vector", events[0].vector, NMI);
	begin("nmi-blocked-until-iret");         // §7.7.1
	in_handler = send_nmi;
	apic_send(apic_read(APIC_ID), ICR_NMI | ICR_ASSERT);
	__asm__ volatile("nop; nop");
	check_equal("events", event_count, 2);
	check_equal("deepest", deepest, 1);
	begin("nmi-before-interrupt");           // table 7-2
	send_self(HIGH);
	apic_send(apic_read(APIC_ID), ICR_NMI | ICR_ASSERT);
	__asm__ volatile("nop; nop");
	enable();
	disable();
	check_equal("first", events[0].vector, NMI);
	check_equal("second", events[1].vector, HIGH);
}

static void rep_case(void) {
	static uint8_t from[65536], to[65536];
	begin("rep-is-interrupted");             // the frame is that of the instruction, which goes on afterwards
	for (unsigned n = 0; n < sizeof from; n++) {
		from[n] = (uint8_t)(n * 7 + 3);
		to[n] = 0;
	}
	apic_write(TIMER_DIVIDE, 0xB);
	apic_write(LVT_TIMER, TIMER);
	word left = 0;
	// Emulators differ in how long a REP takes: the timer is set earlier until it strikes in the middle.
	for (uint32_t count = 1 << 20; count >= 256; count /= 2) {
		event_count = 0;
		apic_write(TIMER_INITIAL, count);
		left = copy(to, from, sizeof to);
		wait_for(0);
		apic_write(TIMER_INITIAL, 0);
		enable();
		disable();
		if (event_count && events[0].ip == (word)copy_instruction)
			break;
	}
	check_equal("rip", events[0].ip, (word)copy_instruction);
	check_equal("left", left, 0);
	word differences = 0;
	for (unsigned n = 0; n < sizeof from; n++)
		differences += from[n] != to[n];
	check_equal("differences", differences, 0);
	apic_write(LVT_TIMER, MASKED);
}

// ---- 8259

static word end_pic(word *frame) {
	(void)frame;
	out8(0x20, 0x0B);
	in_service = in8(0x20);
	out8(0x20, 0x0A);
	requested = in8(0x20);
	out8(0x20, 0x20);
	return 1;
}

static void pic_cases(void) {
	apic_write(LVT_LINT0, 0x700);            // ExtINT
	static const uint8_t words[2][4] = {{0x11, PIC_VECTOR, 4, 1}, {0x11, PIC_VECTOR + 8, 2, 1}};
	for (int n = 0; n < 2; n++) {
		uint16_t port = n ? 0xA0 : 0x20;
		out8(port, words[n][0]);
		for (int k = 1; k < 4; k++)
			out8((uint16_t)(port + 1), words[n][k]);
	}
	out8(0x21, 0xFF);
	out8(0xA1, 0xFF);
	begin("pic-timer");
	event_hook = end_pic;
	out8(0x21, 0xFE);
	pit(0, 1000);
	enable();
	wait_for(1);
	disable();
	check_equal("vector", events[0].vector, PIC_VECTOR);
	check_equal("in service", in_service & 1, 1);
	check_equal("requested", requested & 1, 0);
	check_equal("apic isr", apic_bit(ISR, PIC_VECTOR), 0);
	begin("pic-masked-requests");
	event_hook = end_pic;
	out8(0x21, 0xFF);
	pit(0, 100);
	out8(0x20, 0x0A);
	for (uint64_t start = timestamp(); !(in8(0x20) & 1) && timestamp() - start < 2000000000ull;)
		;
	check_equal("irr", in8(0x20) & 1, 1);
	enable();
	disable();
	check_equal("events", event_count, 0);
	out8(0x21, 0xFE);
	enable();
	wait_for(1);
	disable();
	check_equal("unmasked", event_count, 1);
	begin("pic-imr-reads-back");
	out8(0x21, 0xA5);
	check_equal("imr", in8(0x21), 0xA5);
	out8(0x21, 0xFF);
	begin("pic-by-lint0-masked");
	event_hook = end_pic;
	apic_write(LVT_LINT0, MASKED | 0x700);
	out8(0x21, 0xFE);
	pit(0, 100);
	out8(0x20, 0x0A);
	for (uint64_t start = timestamp(); !(in8(0x20) & 1) && timestamp() - start < 2000000000ull;)
		;
	enable();
	disable();
	check_equal("events", event_count, 0);
	apic_write(LVT_LINT0, 0x700);
	enable();
	wait_for(1);
	disable();
	check_equal("then", event_count, 1);
	out8(0x21, 0xFF);
	apic_write(LVT_LINT0, MASKED);
}

// ---- I/O APIC

static void ioapic_cases(void) {
	begin("ioapic-edge");
	route_line(apic_read(APIC_ID), IOAPIC_VECTOR);
	pit(0, 1000);
	enable();
	wait_for(1);
	disable();
	check_equal("vector", events[0].vector, IOAPIC_VECTOR);
	check_equal("in service", in_service, 1);
	check_equal("events", event_count, 1);
	begin("ioapic-masked");
	ioapic_write(PIN, MASKED | IOAPIC_VECTOR);
	pit(0, 100);
	for (volatile int n = 0; n < 100000; n++)
		;
	enable();
	disable();
	check_equal("events", event_count, 0);
	begin("ioapic-redirection-reads-back");
	check_equal("low", ioapic_read(PIN) & ~0x5000u, MASKED | IOAPIC_VECTOR);
	check_equal("pins", ioapic_read(1) >> 16 & 0xFF, 23);
	ioapic_write(PIN, MASKED);
}

// ---- x2APIC (§12.12)

static word end_x2(word *frame) {
	(void)frame;
	write_msr(0x80B, 0);
	return 1;
}

static word end_x2_level(word *frame) {
	in_service = ioapic_read(PIN) & REMOTE_IRR;
	requested = read_msr(0x818 + (IOAPIC_VECTOR >> 5)) >> (IOAPIC_VECTOR & 31) & 1;
	if (event_count == 2)
		lower_line();
	return end_x2(frame);
}

static void x2apic_cases(void) {
	if (!(cpuid(1, 0, 2) >> 21 & 1)) {
		case_skip("x2apic", "CPUID has no x2APIC");
		return;
	}
	uint64_t base = read_msr(0x1B);
	uint32_t id = apic_read(APIC_ID) >> 24;
	case_begin("x2apic-msr-in-xapic-mode");
	check_equal("vector", access_msr(0x802, 0, 0), GP);
	write_msr(0x1B, base | 1 << 10);
	case_begin("x2apic-id");
	check_equal("id", read_msr(0x802), id);
	case_begin("x2apic-self-ipi");
	write_msr(0x83F, MIDDLE);
	check_equal("irr", read_msr(0x824) >> (MIDDLE & 31) & 1, 1);
	event_hook = end_x2;
	enable();
	disable();
	check_equal("vector", events[0].vector, MIDDLE);
	check_equal("events", event_count, 1);
	case_begin("x2apic-eoi-is-broadcast");   // §12.8.5
	event_hook = end_x2_level;
	lower_line();
	route_line(id << 24, LEVEL | IOAPIC_VECTOR);
	raise_line();
	enable();
	delay(2000000);
	disable();
	lower_line();
	check_equal("remote irr in the handler", in_service, REMOTE_IRR);
	check_equal("tmr", requested, 1);
	check_equal("events", event_count, 2);
	check_equal("remote irr after eoi", ioapic_read(PIN) & REMOTE_IRR, 0);
	ioapic_write(PIN, MASKED);
	case_begin("x2apic-eoi-not-zero");
	check_equal("vector", access_msr(0x80B, 1, 1), GP);
	case_begin("x2apic-no-icr-high");
	check_equal("vector", access_msr(0x831, 0, 0), GP);
	case_begin("x2apic-no-dfr");
	check_equal("vector", access_msr(0x80E, 0, 0), GP);
	case_begin("x2apic-self-ipi-is-write-only");
	check_equal("vector", access_msr(0x83F, 0, 0), GP);
	case_begin("x2apic-id-is-read-only");
	check_equal("vector", access_msr(0x802, 0, 1), GP);
	case_begin("x2apic-tpr-reserved");
	check_equal("vector", access_msr(0x808, 0x100, 1), GP);
	case_begin("x2apic-straight-to-xapic");  // §12.12.5: only through the disabled state
	check_equal("vector", access_msr(0x1B, base, 1), GP);
	case_begin("x2apic-disable-and-back");
	check_equal("disable", access_msr(0x1B, base & ~(1ull << 11), 1), (word)-1);
	check_equal("cpuid", cpuid(1, 0, 3) >> 9 & 1, 0);
	check_equal("disabled to x2APIC", access_msr(0x1B, base | 1 << 10, 1), GP);
	check_equal("enable", access_msr(0x1B, base, 1), (word)-1);
	check_equal("cpuid again", cpuid(1, 0, 3) >> 9 & 1, 1);
	check_equal("software-disabled", apic_read(SVR) >> 8 & 1, 0);
	apic_write(SVR, 0x100 | SPURIOUS);
}

void suite_main(void) {
	map_devices();
	// Nested events need the stack they interrupt.
	for (word vector = 0x20; vector < 0x100; vector++)
		if (vector != RETURN_VECTOR)
			set_gate(vector, CODE64, (word)event_stubs + 16 * vector, PRESENT | TYPE_INT32);
	apic_write(SVR, 0x100 | SPURIOUS);
	apic_write(LVT_LINT0, MASKED);
	apic_write(LVT_LINT1, MASKED);
	apic_write(LVT_ERROR, MASKED);
	apic_write(LVT_TIMER, MASKED);
	ipi_cases();
	timer_cases();
	nmi_cases();
	rep_case();
	pic_cases();
	ioapic_cases();
	x2apic_cases();
	event_hook = 0;
}
