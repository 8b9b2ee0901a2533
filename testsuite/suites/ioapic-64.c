// The I/O APIC: level-triggered interrupts from request to end, against edges; destinations and delivery modes (Intel 82093AA data sheet
// §3.2.4; SDM vol. 3A §12.8.4, §12.8.5; EOI register: Intel ICH9 §13.5). smp-64 has what needs several processors, interrupts-64 x2APIC mode.
#include "apic.h"

extern const char event_stubs[];
extern word (*event_hook)(word *frame);

enum { VECTOR = 0x51, HIGH = 0xE1, SPURIOUS = 0xEF, NOTED = 8, VERSION = 1 };

// What each event's handler saw before it ended the interrupt, and what it does then.
static word remote[NOTED], trigger[NOTED], requested[NOTED];
static void (*in_handler)(word n);

static word remote_irr(void) { return ioapic_read(PIN) >> 14 & 1; }

static word end_interrupt(word *frame) {
	uint32_t vector = (uint32_t)frame[15];
	if (vector == SPURIOUS) {                // §12.9: counts for nothing
		event_count--;
		return 1;
	}
	word n = event_count;
	if (n <= NOTED) {
		remote[n - 1] = remote_irr();
		trigger[n - 1] = apic_bit(TMR, vector);
		requested[n - 1] = apic_bit(IRR, vector);
	}
	if (in_handler)
		in_handler(n);
	if (vector < 0x20)
		return 1;
	apic_write(EOI, 0);
	return 1;
}

static void begin(const char *name, void (*handler)(word n)) {
	case_begin(name);
	event_hook = end_interrupt;
	in_handler = handler;
	lower_line();
}

static uint32_t own_id(void) { return apic_read(APIC_ID); }

// Takes what comes until there are `count`, and a while longer.
static void take(word count) {
	enable();
	for (uint64_t start = timestamp(); *(volatile word *)&event_count < count && timestamp() - start < 500000000ull;)
		__asm__ volatile("pause");
	delay(300000);
	disable();
}

static void lower_first(word n) {
	if (n == 1)
		lower_line();
}

static void lower_second(word n) {
	if (n == 2)
		lower_line();
}

// ---- Level-triggered

static void raise_again(word n) {
	lower_line();
	if (n > 1)
		return;
	raise_line();
	requested[0] = apic_bit(IRR, VECTOR);
}

static word remote_behind;

static void nest_edge(word n) {
	if (n > 1)
		return;
	lower_line();
	apic_send(0, ICR_SELF | ICR_ASSERT | HIGH);
	enable();
	disable();
	remote_behind = remote_irr();
}

static void mask_in_handler(word n) {
	if (n > 1)
		return lower_line();
	ioapic_write(PIN, MASKED | LEVEL | VECTOR);
	remote_behind = remote_irr();
}

static void level_cases(void) {
	begin("level", lower_first);
	route_line(own_id(), LEVEL | VECTOR);
	check_equal("remote irr before", remote_irr(), 0);
	raise_line();
	check_equal("remote irr", remote_irr(), 1);
	check_equal("irr", apic_bit(IRR, VECTOR), 1);
	check_equal("tmr", apic_bit(TMR, VECTOR), 1);
	take(1);
	check_equal("vector", events[0].vector, VECTOR);
	check_equal("events", event_count, 1);
	check_equal("remote irr in the handler", remote[0], 1);
	check_equal("tmr in the handler", trigger[0], 1);
	check_equal("remote irr after eoi", remote_irr(), 0);
	begin("level-high-at-eoi-comes-again", lower_second);
	route_line(own_id(), LEVEL | VECTOR);
	raise_line();
	take(2);
	check_equal("events", event_count, 2);
	check_equal("remote irr of the second", remote[1], 1);
	check_equal("remote irr after", remote_irr(), 0);
	begin("level-again-before-eoi-waits", raise_again);
	route_line(own_id(), LEVEL | VECTOR);
	raise_line();
	take(2);
	check_equal("irr before eoi", requested[0], 0);
	check_equal("events", event_count, 2);
	begin("level-lowered-before-it-is-taken", 0);      // the local APIC has it already
	route_line(own_id(), LEVEL | VECTOR);
	raise_line();
	lower_line();
	check_equal("irr", apic_bit(IRR, VECTOR), 1);
	check_equal("remote irr", remote_irr(), 1);
	take(1);
	check_equal("events", event_count, 1);
	check_equal("remote irr after eoi", remote_irr(), 0);
	begin("level-unmasked-while-high", lower_first);
	route_line(own_id(), MASKED | LEVEL | VECTOR);
	raise_line();
	take(0);
	check_equal("masked", event_count, 0);
	check_equal("remote irr", remote_irr(), 0);
	ioapic_write(PIN, LEVEL | VECTOR);
	take(1);
	check_equal("unmasked", event_count, 1);
	begin("level-lowered-while-masked", 0);
	route_line(own_id(), MASKED | LEVEL | VECTOR);
	raise_line();
	lower_line();
	ioapic_write(PIN, LEVEL | VECTOR);
	take(0);
	check_equal("events", event_count, 0);
	begin("level-masked-in-the-handler", mask_in_handler);
	route_line(own_id(), LEVEL | VECTOR);
	raise_line();
	take(1);
	check_equal("remote irr is read-only", remote_behind, 1);
	check_equal("events", event_count, 1);
	check_equal("remote irr after eoi", remote_irr(), 0);
	ioapic_write(PIN, LEVEL | VECTOR);
	take(2);
	check_equal("unmasked", event_count, 2);
	begin("remote-irr-cannot-be-set", 0);
	route_line(own_id(), MASKED | LEVEL | REMOTE_IRR | VECTOR);
	check_equal("remote irr", remote_irr(), 0);
	begin("eoi-of-an-edge-is-not-broadcast", nest_edge);
	route_line(own_id(), LEVEL | VECTOR);
	raise_line();
	take(2);
	check_equal("events", event_count, 2);
	check_equal("second", events[1].vector, HIGH);
	check_equal("tmr of the edge", trigger[1], 0);
	check_equal("remote irr behind its eoi", remote_behind, 1);
	check_equal("remote irr after both", remote_irr(), 0);
	begin("level-held-back-by-tpr", lower_first);
	apic_write(TPR, 0x60);
	route_line(own_id(), LEVEL | VECTOR);
	raise_line();
	take(0);
	check_equal("events", event_count, 0);
	check_equal("remote irr", remote_irr(), 1);
	apic_write(TPR, 0);
	take(1);
	check_equal("events then", event_count, 1);
}

// ---- Edge-triggered

static void edge_cases(void) {
	begin("edge-has-no-remote-irr", 0);
	route_line(own_id(), VECTOR);
	raise_line();
	check_equal("remote irr", remote_irr(), 0);
	take(1);
	check_equal("events", event_count, 1);   // the line is high still
	check_equal("in the handler", remote[0], 0);
	check_equal("tmr", trigger[0], 0);
	begin("edge-while-masked-is-lost", 0);
	route_line(own_id(), MASKED | VECTOR);
	raise_line();
	ioapic_write(PIN, VECTOR);
	take(0);
	check_equal("events", event_count, 0);
	lower_line();
	raise_line();
	take(1);
	check_equal("the next", event_count, 1);
	begin("edge-twice-before-it-is-taken", 0);          // one bit of IRR
	route_line(own_id(), VECTOR);
	raise_line();
	lower_line();
	raise_line();
	take(1);
	check_equal("events", event_count, 1);
	begin("edge-in-the-handler-is-kept", raise_again);
	route_line(own_id(), VECTOR);
	raise_line();
	take(2);
	check_equal("irr", requested[0], 1);
	check_equal("events", event_count, 2);
}

// ---- Destinations and delivery modes

static void destination_cases(void) {
	apic_write(0xE0, 0xFFFFFFFF);            // flat model
	apic_write(0xD0, 1 << 24);
	begin("logical", lower_first);
	route_line(1 << 24, LOGICAL | LEVEL | VECTOR);
	raise_line();
	take(1);
	check_equal("events", event_count, 1);
	begin("logical-of-another", 0);
	route_line(2 << 24, LOGICAL | VECTOR);
	raise_line();
	take(0);
	check_equal("events", event_count, 0);
	begin("physical-of-another", 0);
	route_line(own_id() ^ 0x0E000000, VECTOR);
	raise_line();
	take(0);
	check_equal("events", event_count, 0);
	begin("lowest-priority-level", lower_first);
	route_line(1 << 24, LOGICAL | LOWEST | LEVEL | VECTOR);
	raise_line();
	check_equal("remote irr", remote_irr(), 1);
	take(1);
	check_equal("events", event_count, 1);
	check_equal("remote irr after eoi", remote_irr(), 0);
	begin("nmi", 0);
	route_line(own_id(), BY_NMI);
	raise_line();
	check_equal("events", event_count, 1);   // IF is 0
	check_equal("vector", events[0].vector, NMI);
	begin("entry-reads-back", 0);
	route_line(0x0A000000, MASKED | LEVEL | LOGICAL | LOWEST | VECTOR);
	check_equal("low", ioapic_read(PIN), MASKED | LEVEL | LOGICAL | LOWEST | VECTOR);
	check_equal("high", ioapic_read(PIN + 1), 0x0A000000);
	ioapic_write(PIN, MASKED);
}

// ---- An end that is not by the local APIC

static void eoi_register_case(void) {
	if ((ioapic_read(VERSION) & 0xFF) < 0x20) {
		case_skip("eoi-register", "this version of the I/O APIC has none");
		return;
	}
	begin("eoi-register", 0);
	route_line(own_id(), LEVEL | VECTOR);
	raise_line();
	lower_line();
	*(volatile uint32_t *)(word)(IOAPIC + 0x40) = VECTOR + 1;
	check_equal("of another vector", remote_irr(), 1);
	*(volatile uint32_t *)(word)(IOAPIC + 0x40) = VECTOR;
	check_equal("of this vector", remote_irr(), 0);
	take(1);
	check_equal("events", event_count, 1);
	ioapic_write(PIN, MASKED);
}

void suite_main(void) {
	map_devices();
	// Nested events need the stack they interrupt.
	for (word vector = 0x20; vector < 0x100; vector++)
		if (vector != RETURN_VECTOR)
			set_gate(vector, CODE64, (word)event_stubs + 16 * vector, PRESENT | TYPE_INT32);
	apic_write(SVR, 0x100 | SPURIOUS);
	static const uint32_t entries[] = {LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_TIMER};
	for (unsigned n = 0; n < sizeof entries / sizeof *entries; n++)
		apic_write(entries[n], MASKED);
	level_cases();
	edge_cases();
	destination_cases();
	eoi_register_case();
	event_hook = 0;
}
