// Several processors: start-up, inter-processor and I/O APIC interrupts, atomicity of locked instructions, memory ordering (SDM vol. 3A §10.1, §10.2,
// §10.4, §12.6), cross-modifying code and TLB shootdown. An outcome that the ordering rules forbid fails; the others need not be seen.
#include "apic.h"

enum { MAXIMUM = 8, SLOTS = 1024, ROUNDS = 1000, COUNT_VECTOR = 0x61, SHOOTDOWN_VECTOR = 0x62, LEVEL_VECTOR = 0x63 };

extern uint32_t ap_cr0, ap_cs, ap_ds, ap_efer, ap_root;
extern const char count_interrupt[], shootdown_interrupt[], level_interrupt[], nmi_interrupt[];
extern uint64_t page_root[];
extern volatile uint8_t patched[];

static volatile uint32_t present[MAXIMUM], counted[MAXIMUM], nmis[MAXIMUM], started;
static void (*volatile job)(unsigned n);
static volatile uint32_t generation, finished[MAXIMUM];
static unsigned processors;             // numbers 0 … processors - 1: their APIC ids

static inline void relax(void) { __asm__ volatile("pause" : : : "memory"); }
static inline void fence(void) { __asm__ volatile("mfence" : : : "memory"); }
static inline void compiler(void) { __asm__ volatile("" : : : "memory"); }

static unsigned self(void) { return apic_read(APIC_ID) >> 24; }

__attribute__((used)) void ap_main(unsigned n) {
	if (n >= MAXIMUM)
		return;
	apic_write(SVR, 0x1EF);
	uint32_t seen = generation;
	present[n]++;
	__asm__ volatile("lock incl %0" : "+m"(started));
	for (;;) {
		__asm__ volatile("sti");
		while (generation == seen)
			relax();
		seen = generation;
		void (*work)(unsigned) = job;
		work(n);
		fence();
		finished[n] = seen;
	}
}

__attribute__((used)) void count_work(void) {
	counted[self()]++;
	apic_write(EOI, 0);
}

__attribute__((used)) void nmi_work(void) { nmis[self()]++; }

// All processors do `work`, this one too; it waits for the others.
static void together(void (*work)(unsigned n)) {
	job = work;
	fence();
	uint32_t now = generation + 1;
	generation = now;
	work(0);
	for (unsigned n = 1; n < processors; n++)
		while (finished[n] != now)
			relax();
}

static int wait_until(volatile uint32_t *value, uint32_t want) {
	for (uint64_t start = timestamp(); *value != want;) {
		if (timestamp() - start > 1000000000ull)
			return 0;
		relax();
	}
	return 1;
}

static void start_processors(void) {
	case_begin("init-and-sipi");
	if (!processors) {
		started = 0;
		apic_send(0, ICR_OTHERS | ICR_INIT | ICR_ASSERT);
		delay(100000);
		for (int n = 0; n < 2 && started < 2; n++) {
			apic_send(0, ICR_OTHERS | ICR_STARTUP | ICR_ASSERT | LOW_START >> 12);
			wait_until(&started, 2);
		}
		processors = 1;
		while (processors < MAXIMUM && present[processors])
			processors++;
	}
	check_equal("processors", processors, 3);
	case_begin("state-after-sipi");         // table 10-1
	check_equal("cr0, but CD and NW", ap_cr0 & ~0x60000000u, 0x10);
	check_equal("cs", ap_cs & 0xFFFF, LOW_START >> 4);
	check_equal("ds", ap_ds & 0xFFFF, 0);
	check_equal("efer", ap_efer & (EFER_LME | EFER_LMA), 0);
	case_begin("sipi-of-a-running-processor-is-ignored");
	apic_send(1 << 24, ICR_STARTUP | ICR_ASSERT | LOW_START >> 12);
	delay(200000);
	check_equal("starts", present[1], present[2]);
}

// ---- Inter-processor interrupts

static void clear_counts(void) {
	for (int n = 0; n < MAXIMUM; n++)
		counted[n] = nmis[n] = 0;
}

static void ipi_cases(void) {
	case_begin("ipi-all-but-self");
	clear_counts();
	apic_send(0, ICR_OTHERS | ICR_ASSERT | COUNT_VECTOR);
	wait_until(&counted[1], 1);
	wait_until(&counted[2], 1);
	enable();
	disable();
	check_equal("0", counted[0], 0);
	check_equal("1", counted[1], 1);
	check_equal("2", counted[2], 1);
	case_begin("ipi-all");
	clear_counts();
	apic_send(0, 2 << 18 | ICR_ASSERT | COUNT_VECTOR);
	enable();
	wait_until(&counted[1], 1);
	wait_until(&counted[2], 1);
	disable();
	check_equal("0", counted[0], 1);
	check_equal("1", counted[1], 1);
	check_equal("2", counted[2], 1);
	case_begin("ipi-physical");
	clear_counts();
	apic_send(2 << 24, ICR_ASSERT | COUNT_VECTOR);
	wait_until(&counted[2], 1);
	delay(100000);
	check_equal("1", counted[1], 0);
	check_equal("2", counted[2], 1);
	case_begin("ipi-physical-broadcast");   // §12.6.2.1: FFh, the sender too
	clear_counts();
	apic_send(0xFF000000, ICR_ASSERT | COUNT_VECTOR);
	enable();
	wait_until(&counted[1], 1);
	wait_until(&counted[2], 1);
	disable();
	check_equal("0", counted[0], 1);
	check_equal("1", counted[1], 1);
	case_begin("ipi-nmi");
	clear_counts();
	apic_send(1 << 24, ICR_NMI | ICR_ASSERT);
	wait_until(&nmis[1], 1);
	delay(100000);
	check_equal("1", nmis[1], 1);
	check_equal("2", nmis[2], 0);
}

static void set_logical(unsigned n) {
	apic_write(0xE0, 0xFFFFFFFF);
	apic_write(0xD0, 1u << (24 + n));
}

static void logical_case(void) {
	case_begin("ipi-logical-flat");         // §12.6.2.2
	together(set_logical);
	clear_counts();
	apic_send(6u << 24, 1 << 11 | ICR_ASSERT | COUNT_VECTOR);
	wait_until(&counted[1], 1);
	wait_until(&counted[2], 1);
	delay(100000);
	enable();
	disable();
	check_equal("0", counted[0], 0);
	check_equal("1", counted[1], 1);
	check_equal("2", counted[2], 1);
}

// ---- I/O APIC: lowest-priority delivery (§12.6.2.4), ends of level-triggered interrupts

static uint8_t priorities[MAXIMUM];
static void set_priority(unsigned n) { apic_write(TPR, priorities[n]); }

// Interrupts that processors 0 to 2 took, a byte each, when the line rose with these task priorities.
static word line_taken(uint32_t set, uint32_t mode, uint8_t first, uint8_t second, uint8_t third) {
	priorities[0] = first;
	priorities[1] = second;
	priorities[2] = third;
	together(set_priority);
	clear_counts();
	lower_line();
	route_line(set << 24, mode | LOGICAL | COUNT_VECTOR);
	raise_line();
	enable();
	delay(300000);
	disable();
	ioapic_write(PIN, MASKED);
	return counted[0] | counted[1] << 8 | counted[2] << 16;
}

// The second interrupt lowers the line.
__attribute__((used)) void level_work(void) {
	if (++counted[self()] >= 2)
		lower_line();
	apic_write(EOI, 0);
}

static void ioapic_cases(void) {
	case_begin("ioapic-fixed-goes-to-all-of-the-set");
	check_equal("taken", line_taken(6, 0, 0, 0, 0), 0x10100);
	case_begin("lowest-priority-is-taken-once");
	word taken = line_taken(7, LOWEST, 0, 0, 0);
	check_equal("taken", taken == 1 || taken == 0x100 || taken == 0x10000, 1);
	case_begin("lowest-priority-goes-by-tpr");
	check_equal("to 0", line_taken(7, LOWEST, 0x10, 0x20, 0x30), 1);
	check_equal("to 1", line_taken(7, LOWEST, 0x20, 0x10, 0x30), 0x100);
	check_equal("to 2", line_taken(7, LOWEST, 0x30, 0x20, 0x10), 0x10000);
	case_begin("lowest-priority-within-the-set");
	check_equal("to 2", line_taken(6, LOWEST, 0, 0x20, 0x10), 0x10000);
	check_equal("to 1", line_taken(3, LOWEST, 0x20, 0x10, 0), 0x100);
	line_taken(7, MASKED, 0, 0, 0);
	case_begin("ioapic-level-to-another-processor");
	clear_counts();
	lower_line();
	route_line(2 << 24, LEVEL | LEVEL_VECTOR);
	pit(0, 100);                            // raise_line would look at the line that the handler lowers
	wait_until(&counted[2], 2);
	delay(300000);
	check_equal("0", counted[0], 0);
	check_equal("1", counted[1], 0);
	check_equal("2", counted[2], 2);
	check_equal("remote irr after its eoi", ioapic_read(PIN) & REMOTE_IRR, 0);
	ioapic_write(PIN, MASKED);
}

static volatile uint32_t awake[MAXIMUM];
static void sleep(unsigned n) {
	if (n == 0)
		return;
	__asm__ volatile("cli" : : : "memory");
	awake[n] = 1;
	__asm__ volatile("sti; hlt" : : : "memory");
	awake[n] = 2;
}

static void halt_case(void) {
	case_begin("ipi-wakes-hlt");
	clear_counts();
	awake[1] = awake[2] = 0;
	job = sleep;
	fence();
	uint32_t now = ++generation;
	wait_until(&awake[1], 1);
	wait_until(&awake[2], 1);
	delay(200000);
	check_equal("asleep", awake[1], 1);
	apic_send(1 << 24, ICR_ASSERT | COUNT_VECTOR);
	check_equal("1 wakes", (word)wait_until(&awake[1], 2), 1);
	check_equal("2 sleeps on", awake[2], 1);
	apic_send(2 << 24, ICR_ASSERT | COUNT_VECTOR);
	check_equal("2 wakes", (word)wait_until(&awake[2], 2), 1);
	wait_until(&finished[1], now);
	wait_until(&finished[2], now);
}

// ---- Atomicity (§10.1.2)

static union {
	volatile uint64_t word[16];
	volatile uint32_t half[32];
	volatile uint8_t byte[128];
} shared __attribute__((aligned(128)));

#define ATOMIC(name, ...)                         \
	static void name(unsigned n) {            \
		(void)n;                          \
		for (int k = 0; k < ROUNDS; k++) { \
			__VA_ARGS__;              \
		}                                 \
	}
ATOMIC(atomic_inc, __asm__ volatile("lock incl %0" : "+m"(shared.half[0])))
ATOMIC(atomic_add, __asm__ volatile("lock addq $3, %0" : "+m"(shared.word[1])))
ATOMIC(atomic_dec_byte, __asm__ volatile("lock decb %0" : "+m"(shared.byte[16])))
ATOMIC(atomic_xadd, uint32_t one = 1; __asm__ volatile("lock xaddl %0, %1" : "+r"(one), "+m"(shared.half[6])))
ATOMIC(atomic_split, __asm__ volatile("lock incl %0" : "+m"(*(volatile uint32_t *)&shared.byte[62])))
ATOMIC(atomic_cmpxchg, for (uint32_t old = shared.half[8];;) {
	uint8_t done;
	__asm__ volatile("lock cmpxchgl %3, %1; setz %2" : "+a"(old), "+m"(shared.half[8]), "=q"(done) : "r"(old + 1) : "cc");
	if (done)
		break;
})
ATOMIC(atomic_cmpxchg8b, uint32_t low = shared.half[10], high = shared.half[11]; uint8_t done; do {
	__asm__ volatile("mov %%eax, %%ebx; add $1, %%ebx; mov %%edx, %%ecx; adc $0, %%ecx; lock cmpxchg8b %2; setz %3"
	                 : "+a"(low), "+d"(high), "+m"(*(volatile uint64_t *)&shared.half[10]), "=q"(done) : : "rbx", "rcx", "cc");
} while (!done))
ATOMIC(atomic_cmpxchg16b, uint64_t low = shared.word[6], high = shared.word[7]; uint8_t done; do {
	__asm__ volatile("mov %%rax, %%rbx; add $1, %%rbx; mov %%rdx, %%rcx; add $2, %%rcx; lock cmpxchg16b %2; setz %3"
	                 : "+a"(low), "+d"(high), "+m"(*(volatile unsigned __int128 *)&shared.word[6]), "=q"(done) : : "rbx", "rcx", "cc");
} while (!done))
// A lock by XCHG (locked of itself) and one by BTS, around plain instructions.
ATOMIC(atomic_xchg, uint32_t taken = 1; while (taken) { __asm__ volatile("xchgl %0, %1" : "+r"(taken), "+m"(shared.half[18])); if (taken) relax(); }
       shared.half[19]++; compiler(); shared.half[18] = 0)
ATOMIC(atomic_bts, uint8_t taken = 1; while (taken) { __asm__ volatile("lock btsl $5, %0; setc %1" : "+m"(shared.half[20]), "=q"(taken) : : "cc"); if (taken) relax(); }
       shared.half[21]++; compiler(); __asm__ volatile("lock btrl $5, %0" : "+m"(shared.half[20])))

static void atomic_cases(void) {
	for (int n = 0; n < 16; n++)
		shared.word[n] = 0;
	uint32_t all = ROUNDS * processors;
	case_begin("lock-inc");
	together(atomic_inc);
	check_equal("sum", shared.half[0], all);
	case_begin("lock-add-64");
	together(atomic_add);
	check_equal("sum", shared.word[1], 3ull * all);
	case_begin("lock-dec-byte");
	together(atomic_dec_byte);
	check_equal("sum", shared.byte[16], (uint8_t)-all);
	case_begin("lock-xadd");
	together(atomic_xadd);
	check_equal("sum", shared.half[6], all);
	case_begin("lock-cmpxchg");
	together(atomic_cmpxchg);
	check_equal("sum", shared.half[8], all);
	case_begin("lock-cmpxchg8b");
	together(atomic_cmpxchg8b);
	check_equal("sum", *(volatile uint64_t *)&shared.half[10], all);
	case_begin("lock-cmpxchg16b");
	together(atomic_cmpxchg16b);
	check_equal("low", shared.word[6], all);
	check_equal("high", shared.word[7], 2ull * all);
	case_begin("lock-inc-across-cache-lines");     // §10.1.2.2
	*(volatile uint32_t *)&shared.byte[62] = 0;
	together(atomic_split);
	check_equal("sum", *(volatile uint32_t *)&shared.byte[62], all);
	case_begin("xchg-lock");
	together(atomic_xchg);
	check_equal("sum", shared.half[19], all);
	case_begin("bts-lock");
	together(atomic_bts);
	check_equal("sum", shared.half[21], all);
}

// ---- Ordering (§10.2.3): a slot for each round, so that no round waits for another.

static volatile uint32_t x[SLOTS], y[SLOTS], r[4][SLOTS];

static void clear_slots(void) {
	for (int n = 0; n < SLOTS; n++)
		x[n] = y[n] = r[0][n] = r[1][n] = r[2][n] = r[3][n] = 0;
}

#define EVERY_SLOT for (int k = 0; k < SLOTS; k++)

static void message(unsigned n) {
	if (n == 0)
		EVERY_SLOT { x[k] = 1; y[k] = 1; }
	if (n == 1)
		EVERY_SLOT { r[0][k] = y[k]; r[1][k] = x[k]; }
}

static void load_buffering(unsigned n) {
	if (n == 0)
		EVERY_SLOT { r[0][k] = x[k]; y[k] = 1; }
	if (n == 1)
		EVERY_SLOT { r[1][k] = y[k]; x[k] = 1; }
}

static void store_buffering_fence(unsigned n) {
	if (n == 0)
		EVERY_SLOT { x[k] = 1; fence(); r[0][k] = y[k]; }
	if (n == 1)
		EVERY_SLOT { y[k] = 1; fence(); r[1][k] = x[k]; }
}

static void store_buffering_xchg(unsigned n) {
	uint32_t one = 1;
	if (n == 0)
		EVERY_SLOT { one = 1; __asm__ volatile("xchgl %0, %1" : "+r"(one), "+m"(x[k]) : : "memory"); r[0][k] = y[k]; }
	if (n == 1)
		EVERY_SLOT { one = 1; __asm__ volatile("xchgl %0, %1" : "+r"(one), "+m"(y[k]) : : "memory"); r[1][k] = x[k]; }
}

static void own_stores(unsigned n) {
	if (n == 0)
		EVERY_SLOT { x[k] = 1; r[0][k] = x[k]; r[1][k] = y[k]; }
	if (n == 1)
		EVERY_SLOT { y[k] = 1; r[2][k] = y[k]; r[3][k] = x[k]; }
}

static void transitive(unsigned n) {
	if (n == 0)
		EVERY_SLOT x[k] = 1;
	if (n == 1)
		EVERY_SLOT { r[0][k] = x[k]; y[k] = r[0][k]; }
	if (n == 2)
		EVERY_SLOT { r[1][k] = y[k]; r[2][k] = x[k]; }
}

static void same_place(unsigned n) {
	if (n == 0)
		EVERY_SLOT x[0] = (uint32_t)k + 1;
	else
		EVERY_SLOT r[n][k] = x[0];
}

static void halves(unsigned n) {
	volatile uint64_t *both = (volatile uint64_t *)&x[0];
	if (n == 0)
		EVERY_SLOT *both = k & 1 ? ~0ull : 0;
	else
		EVERY_SLOT { uint64_t value = *both; r[n][k] = value != 0 && value != ~0ull; }
}

static word count_slots(int (*forbidden)(int k)) {
	word count = 0;
	EVERY_SLOT count += forbidden(k) != 0;
	return count;
}

static int message_forbidden(int k) { return r[0][k] && !r[1][k]; }
static int both_ones(int k) { return r[0][k] && r[1][k]; }
static int both_zeros(int k) { return !r[0][k] && !r[1][k]; }
static int own_forbidden(int k) { return !r[0][k] || !r[2][k]; }
static int transitive_forbidden(int k) { return r[1][k] && !r[2][k]; }
static int backwards(int k) { return k && (r[1][k] < r[1][k - 1] || r[2][k] < r[2][k - 1]); }
static int torn(int k) { return (int)(r[1][k] | r[2][k]); }

static void order(const char *name, void (*work)(unsigned n), int (*forbidden)(int k)) {
	case_begin(name);
	for (int round = 0; round < 2; round++) {
		clear_slots();
		together(work);
		check_equal("forbidden outcomes", count_slots(forbidden), 0);
	}
}

static void order_cases(void) {
	order("order-loads-and-stores-message", message, message_forbidden);           // §10.2.3.2
	order("order-load-then-store", load_buffering, both_ones);                       // §10.2.3.3
	order("order-store-fence-load", store_buffering_fence, both_zeros);              // §10.2.3.4 with MFENCE
	order("order-store-xchg-load", store_buffering_xchg, both_zeros);                // §10.2.3.9
	order("order-own-stores-are-seen", own_stores, own_forbidden);                   // §10.2.3.5
	order("order-stores-are-transitive", transitive, transitive_forbidden);          // §10.2.3.6
	order("order-one-place-never-goes-back", same_place, backwards);
	order("order-aligned-quadwords-are-whole", halves, torn);                        // §10.1.1
}

// ---- Cross-modifying code (§10.1.3) and TLB shootdown (§5.10.5)

static volatile uint32_t ready, done[MAXIMUM], wrong;
static volatile int patches;

static void cross_modify(unsigned n) {
	enum { PATCHES = 8 };
	for (uint32_t k = 1; k <= PATCHES; k++) {
		if (n == 0) {
			*(volatile uint32_t *)(patched + 1) = k * 0x01010101u;
			ready = k;
			for (unsigned other = 1; other < processors; other++)
				while (done[other] != k)
					relax();
		} else {
			while (ready < k)
				relax();
			uint32_t a = 0, b, c, d;
			__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d) : : "memory");
			uint32_t value = ((uint32_t(*)(void))(word)patched)();
			if (value != k * 0x01010101u)
				wrong++;
			done[n] = k;
		}
	}
}

static uint64_t pages[2][512] __attribute__((aligned(4096))), pointers_2[512] __attribute__((aligned(4096))),
	directory_2[512] __attribute__((aligned(4096))), table_2[512] __attribute__((aligned(4096)));
#define REMAPPED (1ull << 39)

__attribute__((used)) void shootdown_work(void) {
	__asm__ volatile("invlpg (%0)" : : "r"(REMAPPED) : "memory");
	done[self()] = ready;
	apic_write(EOI, 0);
}

static void shootdown(unsigned n) {
	for (uint32_t k = 1; k <= 4; k++) {
		if (n == 0) {
			for (unsigned other = 1; other < processors; other++)
				while (done[other] != k + 1000)
					relax();
			table_2[0] = (word)pages[k & 1] | 7;
			ready = k;
			__asm__ volatile("invlpg (%0)" : : "r"(REMAPPED) : "memory");
			apic_send(0, ICR_OTHERS | ICR_ASSERT | SHOOTDOWN_VECTOR);
			for (unsigned other = 1; other < processors; other++)
				while (done[other] != k)
					relax();
			ready = k + 1000;
			if (*(volatile uint64_t *)REMAPPED != (k & 1))
				wrong++;
		} else {
			(void)*(volatile uint64_t *)REMAPPED;
			done[n] = k + 1000;
			while (ready != k + 1000)
				relax();
			if (*(volatile uint64_t *)REMAPPED != (k & 1))
				wrong++;
		}
	}
}

static void code_and_page_cases(void) {
	case_begin("cross-modifying-code");
	ready = wrong = 0;
	for (int n = 0; n < MAXIMUM; n++)
		done[n] = 0;
	together(cross_modify);
	check_equal("old code", wrong, 0);
	case_begin("tlb-shootdown");
	page_root[1] = (word)pointers_2 | 7;
	pointers_2[0] = (word)directory_2 | 7;
	directory_2[0] = (word)table_2 | 7;
	table_2[0] = (word)pages[0] | 7;
	pages[0][0] = 0;
	pages[1][0] = 1;
	ready = wrong = 0;
	for (int n = 0; n < MAXIMUM; n++)
		done[n] = 0;
	together(shootdown);
	check_equal("old page", wrong, 0);
}

static void restart_case(void) {
	case_begin("init-and-sipi-again");      // INIT stops a running processor, a start-up IPI starts it anew
	uint32_t before = present[2], all = started;
	apic_send(2 << 24, ICR_INIT | ICR_ASSERT);
	delay(100000);
	check_equal("stopped", present[2], before);
	apic_send(2 << 24, ICR_STARTUP | ICR_ASSERT | LOW_START >> 12);
	check_equal("started", (word)wait_until(&started, all + 1), 1);
	check_equal("its count", present[2], before + 1);
	// The others must agree again about how often each was started.
	present[1] = present[2];
	case_begin("works-after-restart");
	shared.half[0] = 0;
	together(atomic_inc);
	check_equal("sum", shared.half[0], ROUNDS * processors);
}

void suite_main(void) {
	map_devices();
	ap_root = (uint32_t)(word)page_root;
	apic_write(SVR, 0x1EF);
	apic_write(LVT_LINT0, MASKED);
	apic_write(LVT_LINT1, MASKED);
	set_gate(COUNT_VECTOR, CODE64, (word)count_interrupt, PRESENT | TYPE_INT32);
	set_gate(SHOOTDOWN_VECTOR, CODE64, (word)shootdown_interrupt, PRESENT | TYPE_INT32);
	set_gate(LEVEL_VECTOR, CODE64, (word)level_interrupt, PRESENT | TYPE_INT32);
	set_gate(NMI, CODE64, (word)nmi_interrupt, PRESENT | TYPE_INT32);
	start_processors();
	if (processors != 3)
		return;
	ipi_cases();
	logical_case();
	ioapic_cases();
	halt_case();
	atomic_cases();
	order_cases();
	code_and_page_cases();
	restart_case();
}
