// Run-time of the suites' programs: the descriptor tables, the record of events, and what is printed.
//
// A line for each case: `ok NAME`, `FAIL NAME WHAT got=… want=…` or `skip NAME REASON`, and at the end `@@ END PROGRAM`. All cases run
// a second time, with warm translation and code caches; of that only failures are printed, and their names end in `(again)`.
#include "suite.h"
#include "console.h"

enum { GATE_DEFAULT = PRESENT | TYPE_INT32 };

extern const char event_stubs[];
extern word case_resume, resume_target;
extern uint32_t idt[];
extern char tss[];

struct event events[MAXIMUM_EVENTS];
word event_count;
// So many events return to where they came from; the next one ends the case.
word event_returns;
// If set, called for every event with its saved registers (see boot.S); its result is taken in place of the rule above.
word (*event_hook)(word *frame);

static const char *case_name;
static int case_failed, repeated;
static uint32_t failures;

static void print_word(word value) {
	char text[2 * sizeof value + 1];
	int digits = 0;
	for (word rest = value; rest; rest >>= 4)
		digits++;
	if (!digits)
		digits = 1;
	for (int i = 0; i < digits; i++)
		text[digits - 1 - i] = "0123456789abcdef"[value >> (4 * i) & 15];
	text[digits] = 0;
	print(text);
}

static void fail(const char *what, word got, word want) {
	if (case_failed)
		return;
	case_failed = 1;
	failures++;
	print("FAIL ");
	print(case_name ? case_name : "(outside)");
	print(repeated ? "(again) " : " ");
	print(what);
	print(" got=");
	print_word(got);
	print(" want=");
	print_word(want);
	print("\n");
}

static void case_end(void) {
	if (case_name && !case_failed && !repeated) {
		print("ok ");
		print(case_name);
		print("\n");
	}
	case_name = 0;
	case_failed = 0;
}

void case_begin(const char *name) {
	case_end();
	case_name = name;
	event_count = 0;
	event_returns = 0;
	event_hook = 0;
}

void case_skip(const char *name, const char *reason) {
	case_end();
	if (repeated)
		return;
	print("skip ");
	print(name);
	print(" ");
	print(reason);
	print("\n");
}

void check_equal(const char *what, word got, word want) {
	if (got != want)
		fail(what, got, want);
}

void check_event(word vector, word error, word ip) {
	if (event_count == 0)
		fail("no event, vector", (word)-1, vector);
	check_equal("vector", events[0].vector, vector);
	check_equal("error", events[0].error, error);
	if (ip != (word)ANYWHERE)
		check_equal("ip", events[0].ip, ip);
}

void check_none(void) {
	if (event_count != 0)
		fail("unexpected vector", events[0].vector, (word)-1);
}

static void stop(const struct event *event) {
	print("FAIL ");
	print(case_name ? case_name : "(outside)");
	print(" stray event: vector ");
	print_word(event->vector);
	print(" error ");
	print_word(event->error);
	print(" ip ");
	print_word(event->ip);
	print(" cr2 ");
	print_word(event->cr2);
	print("\n");
	end_machine(1);
}

// The registers' order is that of boot.S. The result is 0 to go on at `case_resume`, 1 to return from the event.
__attribute__((used)) int note_event(word *frame) {
	const word *top = frame + (WORD == 8 ? 15 : 8);
	struct event event = {.vector = top[0], .error = top[1], .ip = top[2], .cs = top[3], .flags = top[4]};
	uint16_t ss;
	__asm__ volatile("mov %%ss, %0" : "=r"(ss));
	__asm__ volatile("mov %%cr2, %0" : "=r"(event.cr2));
	if (event.vector == DB) {
		__asm__ volatile("mov %%dr6, %0" : "=r"(event.dr6));
		__asm__ volatile("mov %0, %%dr6" : : "r"((word)0xFFFF0FF0));
	}
	if (WORD == 8 || (event.cs & 3) || (event.flags & FLAG_VM)) {
		event.sp = top[5];
		event.ss = top[6] & 0xFFFF;
	} else {
		event.sp = (word)(top + 5);
		event.ss = ss;
	}
	event.frame = (word)(top + (event.error == (word)NO_ERROR ? 2 : 1));
	event.cs &= 0xFFFF;
	if (event.vector == RETURN_VECTOR) {
		resume_target = event.ip;
		return 0;
	}
	resume_target = case_resume;
	if (event_count < MAXIMUM_EVENTS)
		events[event_count] = event;
	event_count++;
	if (event_hook)
		return (int)event_hook(frame);
	if (event_count <= event_returns)
		return 1;
	if (!case_resume)
		stop(&event);
	return 0;
}

// An `event_hook`: the instruction at the event goes on without its breakpoint.
__attribute__((used)) word return_with_rf(word *frame) {
	frame[(WORD == 8 ? 15 : 8) + 4] |= FLAG_RF;
	return event_count <= event_returns;
}

void set_segment(word selector, word base, word limit, word attributes) {
	uint32_t *d = (uint32_t *)((char *)gdt + (selector & 0xFFF8));
	d[0] = (uint32_t)base << 16 | (limit & 0xFFFF);
	d[1] = ((uint32_t)base & 0xFF000000) | (uint32_t)(base >> 16 & 0xFF) | (uint32_t)(attributes & 0xF0FF) << 8 |
	       (uint32_t)(limit & 0xF0000);
}

// A call, interrupt, trap or task gate. In the IA-32e mode `attributes` may have an IST number in bits 10:8.
static void gate(uint32_t *d, word selector, word offset, word attributes) {
	d[0] = (uint32_t)selector << 16 | (offset & 0xFFFF);
	d[1] = ((uint32_t)offset & 0xFFFF0000) | (uint32_t)(attributes & 0xFF) << 8 | (uint32_t)(attributes >> 8 & 0x1F);
#ifdef __x86_64__
	d[2] = (uint32_t)(offset >> 32);
	d[3] = 0;
#endif
}

void set_gate(word vector, word selector, word offset, word attributes) {
	gate(idt + vector * (WORD / 2), selector, offset, attributes);
}

// The parameter count is in bits 12:8 of `attributes`.
void set_call_gate(word selector, word target, word offset, word attributes) {
	gate((uint32_t *)((char *)gdt + (selector & 0xFFF8)), target, offset, attributes);
}

// In 64-bit programs every event comes on the stack of IST1, whatever the case did to its own.
__attribute__((used)) void reset_gate(word vector) {
	set_gate(vector, CODE, (word)event_stubs + 16 * vector,
	         GATE_DEFAULT | (WORD == 8 ? 1 << 8 : 0) | (vector == RETURN_VECTOR ? DPL(3) : 0));
}

__attribute__((used)) void load_tables(void) {
	for (word vector = 0; vector < VECTORS; vector++)
		reset_gate(vector);
	set_segment(TSS, (word)tss, 0x67, PRESENT | TYPE_TSS32);
}

__attribute__((used, noreturn)) void machine_main(void) {
	start_console();
	print("\n@@ BEGIN " NAME "\n");
	for (repeated = 0; repeated < 2; repeated++) {
		suite_main();
		case_end();
	}
	print("@@ END " NAME "\n");
	end_machine(failures != 0);
	__builtin_unreachable();
}
