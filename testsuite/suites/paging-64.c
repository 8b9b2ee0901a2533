// 4-level and 5-level paging: every combination of rights, presence, accessed and dirty bits, reserved bits, large pages, execute
// disable, SMEP, SMAP, protection keys, PCIDs (SDM vol. 3A §5.5–§5.8, §5.10, §5.13).
#include "paging-model.inc"

enum { ALIAS = 0x40000000 };
// Different indices at all levels: 5, 3, 4, 5 and 6.
#define TARGET (5ull << 39 | 3ull << 30 | 4ull << 21 | 5ull << 12)
#define TARGET_5 (7ull << 48 | TARGET)

word faulting_cr(word which, word value);
word faulting_invpcid(word type, const void *descriptor);
word faulting_wrpkru(word eax, word ecx);
void change_paging(word la57, word root);

static uint64_t root_5[512] __attribute__((aligned(4096)));
static uint64_t root[512] __attribute__((aligned(4096)));
static uint64_t other_root[512] __attribute__((aligned(4096)));
static uint64_t low_pointers[512] __attribute__((aligned(4096)));
static uint64_t low[512] __attribute__((aligned(4096)));
static uint64_t low_user[512] __attribute__((aligned(4096)));
static uint64_t tables[5][512] __attribute__((aligned(4096)));
static uint8_t page[4096] __attribute__((aligned(4096)));
static uint8_t page_2[4096] __attribute__((aligned(4096)));
static uint64_t old_root;

static const char *const names_4[6][2] = {
	{"four-level-read", "four-level-read-wp"}, {"four-level-user-read", "four-level-user-read-wp"},
	{"four-level-write", "four-level-write-wp"}, {"four-level-user-write", "four-level-user-write-wp"},
	{"four-level-fetch", "four-level-fetch-wp"}, {"four-level-user-fetch", "four-level-user-fetch-wp"}};

static void fill_low(uint64_t *top) {
	top[0] = (word)low_pointers | P | W | U;
}

static void start(void) {
	for (uint64_t n = 0; n < 32; n++) {
		low[n] = n << 21 | P | W | LARGE;
		low_user[n] = n << 21 | P | W | U | LARGE;
	}
	low_pointers[0] = (word)low | P | W;
	low_pointers[ALIAS >> 30] = (word)low_user | P | W | U;
	fill_low(root);
	fill_low(other_root);
	root_5[0] = (word)root | P | W | U;
	paging = (struct paging){.levels = 4, .wide = 1, .linear = TARGET, .code = (word)page,
	                         .entry = {&tables[0][5], &tables[1][4], &tables[2][3], &root[5]},
	                         .base = {(word)page, (word)tables[0], (word)tables[1], (word)tables[2]}};
	set_all(P | W | U);
	old_root = cr3();
	set_cr3((word)root);
}

static void start_5(void) {
	paging = (struct paging){.levels = 5, .wide = 1, .linear = TARGET_5, .code = (word)page,
	                         .entry = {&tables[0][5], &tables[1][4], &tables[2][3], &tables[3][5], &root_5[7]},
	                         .base = {(word)page, (word)tables[0], (word)tables[1], (word)tables[2], (word)tables[3]}};
	set_all(P | W | U);
	change_paging(1, (word)root_5);
}

static void reserved_case(const char *name) {
	case_begin(name);
	for (int level = 0; level < paging.levels; level++)
		for (int bit = 0; bit < 64; bit++) {
			if (!(reserved_bits(level) >> bit & 1))
				continue;
			for (word access = READ; access <= FETCH; access++)
				for (word user = 0; user < 2; user++) {
					set_all(P | W | U);
					set_entry(level, P | W | U | 1ull << bit);
					check_access(access, user);
				}
		}
	set_all(P | W | U);
}

// The bits 62:52 of all entries are free, 11:9 too, and 62:59 of the leaf without CR4.PKE.
static void ignored_high(unsigned n) { set_all(P | W | U | 1ull << (52 + n)); }

static void no_execute(unsigned n) {
	for (int level = 0; level < paging.levels; level++)
		set_entry(level, P | W | (n >> paging.levels & 1 ? U : 0) | (n >> level & 1 ? NX : 0));
}

static void supervisor_and_user(unsigned n) {
	for (int level = 0; level < paging.levels; level++)
		set_entry(level, P | (n >> 4 & 1 ? W : 0) | (n >> level & 1 ? U : 0));
}

static void smep_smap_cases(const char *const names[5]) {
	bits_cr0(CR0_WP, 1);
	for (int which = 0; which < 4; which++) {
		bits_cr4(CR4_SMEP, which & 1);
		bits_cr4(CR4_SMAP, which >> 1);
		check_all(names[which], supervisor_and_user, 32);
	}
	flags_ac = 1;
	check_all(names[4], supervisor_and_user, 32);
	flags_ac = 0;
	bits_cr4(CR4_SMEP | CR4_SMAP, 0);
	bits_cr0(CR0_WP, 0);
}

// A leaf at a higher level: 2 MiB or 1 GiB.
static void large_case(const char *name, int level) {
	struct paging whole = paging;
	int shift = 12 + 9 * level;
	for (int n = level; n < whole.levels; n++) {
		paging.entry[n - level] = whole.entry[n];
		paging.base[n - level] = whole.base[n];
	}
	paging.levels = whole.levels - level;
	paging.base[0] = (word)page & ~((1ull << shift) - 1);
	paging.linear = (whole.linear & ~((1ull << shift) - 1)) | ((word)page & ((1ull << shift) - 1));
	case_begin(name);
	for (unsigned n = 0; n < 16; n++)
		for (word access = READ; access <= FETCH; access++)
			for (word user = 0; user < 2; user++) {
				set_all(P | W | U);
				set_entry(0, P | LARGE | (n & 1 ? W : 0) | (n & 2 ? U : 0) | (n & 4 ? A : 0) | (n & 8 ? D : 0));
				uint64_t before = entry(0);
				word want = expected_fault(access, user, 0);
				invlpg(paging.linear);
				check_equal("vector", probe(access, user, paging.linear), want == NONE ? NONE : PF);
				if (want != NONE)
					check_equal("error", events[0].error, want);
				else
					check_equal("entry", (word)entry(0), (word)(before | A | (access == WRITE ? (uint64_t)D : 0)));
			}
	// Bit 12 is PAT; those up to the address are reserved (§5.5.4, tables 5-16 and 5-18).
	set_entry(0, P | W | LARGE | 1 << 12);
	invlpg(paging.linear);
	check_equal("PAT", probe(READ, 0, paging.linear), NONE);
	for (int bit = 13; bit < shift; bit++) {
		set_entry(0, P | W | LARGE | 1ull << bit);
		invlpg(paging.linear);
		check_equal("reserved", probe(READ, 0, paging.linear), PF);
		check_equal("reserved error", events[0].error, ERROR_P | ERROR_RESERVED);
	}
	// INVLPG of any address in it drops the whole page (§5.10.4.1).
	set_entry(0, P | W | LARGE);
	invlpg(paging.linear);
	check_equal("fill", probe(READ, 0, paging.linear), NONE);
	set_entry(0, 0);
	invlpg(paging.linear ^ (1ull << (shift - 1)));
	check_equal("after INVLPG elsewhere in the page", probe(READ, 0, paging.linear), PF);
	paging = whole;
	set_all(P | W | U);
}

static void global_case(const char *name) {
	case_begin(name);
	bits_cr4(CR4_PGE, 1);
	set_all(P | W | U | G);
	invlpg(paging.linear);
	check_equal("fill", probe(READ, 0, paging.linear), NONE);
	set_entry(0, 0);
	invlpg(paging.linear);
	check_equal("after INVLPG", probe(READ, 0, paging.linear), PF);
	set_entry(0, P | W | U | G);
	check_equal("fill again", probe(READ, 0, paging.linear), NONE);
	set_entry(0, 0);
	bits_cr4(CR4_PGE, 0);
	check_equal("after PGE", probe(READ, 0, paging.linear), PF);
	set_all(P | W | U);
	check_equal("fill, not global", probe(READ, 0, paging.linear), NONE);
	set_entry(0, 0);
	set_cr3(cr3());
	check_equal("after CR3", probe(READ, 0, paging.linear), PF);
	set_all(P | W | U);
}

// Changes of CR0.WP, CR4.SMEP, CR4.SMAP and EFER.NXE count at once for what the TLB holds (§5.10.4.1).
static void mode_change_case(const char *name) {
	case_begin(name);
	set_all(P | U);
	invlpg(paging.linear);
	bits_cr0(CR0_WP, 0);
	check_equal("write", probe(WRITE, 0, paging.linear), NONE);
	bits_cr0(CR0_WP, 1);
	check_equal("write, WP", probe(WRITE, 0, paging.linear), PF);
	bits_cr0(CR0_WP, 0);
	check_equal("write again", probe(WRITE, 0, paging.linear), NONE);
	check_equal("fetch", probe(FETCH, 0, paging.linear), NONE);
	bits_cr4(CR4_SMEP, 1);
	check_equal("fetch, SMEP", probe(FETCH, 0, paging.linear), PF);
	bits_cr4(CR4_SMEP, 0);
	check_equal("read", probe(READ, 0, paging.linear), NONE);
	bits_cr4(CR4_SMAP, 1);
	check_equal("read, SMAP", probe(READ, 0, paging.linear), PF);
	__asm__ volatile("stac");
	check_equal("read, AC", probe(READ, 0, paging.linear), NONE);
	__asm__ volatile("clac");
	check_equal("read, no AC", probe(READ, 0, paging.linear), PF);
	bits_cr4(CR4_SMAP, 0);
	set_all(P | W | U);
}

// ---- Protection keys (§5.6.2)

static void set_pkru(uint32_t value) {
	pkru_now = value;
	faulting_wrpkru(value, 0);
}

static void keys(unsigned n) {
	set_all(P | U | (n & 2 ? W : 0));
	set_entry(0, P | (n & 1 ? U : 0) | (n & 2 ? W : 0) | (uint64_t)(n >> 2 & 15) << 59);
}

static void key_cases(void) {
	if (!(cpuid(7, 0, 2) & 1 << 3)) {
		case_skip("keys", "CPUID has no PKU");
		return;
	}
	case_begin("keys-wrpkru-without-pke");
	check_equal("vector", faulting_wrpkru(0, 0), UD);
	bits_cr4(CR4_PKE, 1);
	case_begin("keys-wrpkru-ecx");
	check_equal("vector", faulting_wrpkru(0, 1), GP);
	check_equal("error", events[0].error, 0);
	case_begin("keys-ospke");
	check_equal("OSPKE", cpuid(7, 0, 2) >> 4 & 1, 1);
	static const char *const names[8] = {"keys-all-allowed", "keys-even-access-disabled", "keys-odd-write-disabled", "keys-mixed",
		"keys-all-allowed-wp", "keys-even-access-disabled-wp", "keys-odd-write-disabled-wp", "keys-mixed-wp"};
	static const uint32_t values[4] = {0, 0x11111111, 0x88888888, 0xE4E4E4E4};
	for (int protect = 0; protect < 2; protect++) {
		bits_cr0(CR0_WP, protect);
		for (int n = 0; n < 4; n++) {
			set_pkru(values[n]);
			check_all(names[protect * 4 + n], keys, 64);
		}
	}
	bits_cr0(CR0_WP, 0);
	// PKRU counts at once, without an invalidation.
	case_begin("keys-change-at-once");
	set_pkru(0);
	set_all(P | W | U | 3ull << 59);
	invlpg(paging.linear);
	check_equal("write", probe(WRITE, 1, paging.linear), NONE);
	set_pkru(2 << 6);
	check_equal("write disabled", probe(WRITE, 1, paging.linear), PF);
	check_equal("error", events[0].error, ERROR_P | ERROR_W | ERROR_U | ERROR_KEY);
	check_equal("read", probe(READ, 1, paging.linear), NONE);
	set_pkru(1 << 6);
	check_equal("access disabled", probe(READ, 1, paging.linear), PF);
	check_equal("error", events[0].error, ERROR_P | ERROR_U | ERROR_KEY);
	check_equal("fetch", probe(FETCH, 1, paging.linear), NONE);
	set_pkru(0);
	bits_cr4(CR4_PKE, 0);
	set_all(P | W | U);
}

// ---- PCIDs (§5.10.1, vol. 2A INVPCID)

struct descriptor {
	uint64_t pcid, linear;
};

static word invalidate(word type, uint64_t pcid, uint64_t linear) {
	struct descriptor d = {pcid, linear};
	return faulting_invpcid(type, &d);
}

static void pcid_cases(void) {
	if (!(cpuid(1, 0, 2) & 1 << 17)) {
		case_skip("pcid", "CPUID has no PCID");
		return;
	}
	case_begin("pcid-enable-needs-pcid-0");
	set_cr3((word)root | 0x18);
	check_equal("vector", faulting_cr(4, cr4() | CR4_PCIDE), GP);
	set_cr3((word)root);
	case_begin("pcid-enable");
	check_equal("vector", faulting_cr(4, cr4() | CR4_PCIDE), NONE);
	case_begin("pcid-cr3-reads-back");
	set_cr3((word)root | 5 | 1ull << 63);
	check_equal("cr3", cr3(), (word)root | 5);
	case_begin("pcid-paging-off");
	check_equal("vector", faulting_cr(0, cr0() & ~(word)CR0_PG), GP);
	case_begin("pcid-cr3-reserved");
	check_equal("vector", faulting_cr(3, (word)root | 1ull << 62), GP);

	// Each PCID sees its own tables, also with bit 63 set, which keeps what is cached.
	case_begin("pcid-separate");
	set_all(P | W | U);
	set_cr3((word)root | 1);
	*(volatile uint32_t *)page = 0x11;
	*(volatile uint32_t *)page_2 = 0x22;
	check_equal("first", *(volatile uint8_t *)TARGET, 0x11);
	other_root[5] = (word)tables[4] | P | W | U;
	static uint64_t more[2][512] __attribute__((aligned(4096)));
	tables[4][3] = (word)more[0] | P | W | U;
	more[0][4] = (word)more[1] | P | W | U;
	more[1][5] = (word)page_2 | P | W | U;
	set_cr3((word)other_root | 2);
	check_equal("second", *(volatile uint8_t *)TARGET, 0x22);
	set_cr3((word)root | 1 | 1ull << 63);
	check_equal("first again", *(volatile uint8_t *)TARGET, 0x11);
	set_cr3((word)other_root | 2 | 1ull << 63);
	check_equal("second again", *(volatile uint8_t *)TARGET, 0x22);
	page[0] = 0xCD;
	page[1] = 0x81;
	case_begin("pcid-cr3-flushes-its-own");
	set_cr3((word)root | 1 | 1ull << 63);
	check_equal("fill", *(volatile uint8_t *)TARGET, 0xCD);
	set_entry(0, 0);
	set_cr3((word)root | 1);
	check_equal("vector", probe(READ, 0, TARGET), PF);
	set_all(P | W | U);

	if (!(cpuid(7, 0, 1) & 1 << 10)) {
		case_skip("invpcid", "CPUID has no INVPCID");
	} else {
		static const char *const names[4] = {"invpcid-address", "invpcid-context", "invpcid-all-with-globals", "invpcid-all"};
		for (word type = 0; type < 4; type++) {
			case_begin(names[type]);
			set_cr3((word)root | 1);
			check_equal("fill", probe(READ, 0, TARGET), NONE);
			set_entry(0, 0);
			set_cr3((word)root | 3);
			check_equal("invpcid", invalidate(type, 1, TARGET), NONE);
			set_cr3((word)root | 1 | 1ull << 63);
			check_equal("vector", probe(READ, 0, TARGET), PF);
			set_all(P | W | U);
		}
		case_begin("invpcid-global-page");
		bits_cr4(CR4_PGE, 1);
		set_all(P | W | U | G);
		check_equal("fill", probe(READ, 0, TARGET), NONE);
		set_entry(0, 0);
		invalidate(2, 0, 0);
		check_equal("vector", probe(READ, 0, TARGET), PF);
		bits_cr4(CR4_PGE, 0);
		set_all(P | W | U);
		case_begin("gp-invpcid-type-4");
		check_equal("vector", invalidate(4, 0, 0), GP);
		case_begin("gp-invpcid-reserved");
		check_equal("vector", invalidate(1, 0x1000, 0), GP);
		case_begin("gp-invpcid-non-canonical");
		check_equal("vector", invalidate(0, 0, 1ull << 62), GP);
		case_begin("invpcid-non-canonical-type-1");     // the address is not looked at
		check_equal("vector", invalidate(1, 0, 1ull << 62), NONE);
		set_cr3((word)root);
		bits_cr4(CR4_PCIDE, 0);
		case_begin("gp-invpcid-pcid-without-pcide");
		check_equal("vector", invalidate(0, 1, 0), GP);
		check_equal("type 1", invalidate(1, 1, 0), GP);
		check_equal("pcid 0", invalidate(1, 0, 0), NONE);
	}
	set_cr3((word)root);
	bits_cr4(CR4_PCIDE, 0);
}

static void control_cases(void) {
	case_begin("gp-clear-pae-in-long-mode");         // vol. 3A §5.1.2
	check_equal("vector", faulting_cr(4, cr4() & ~(word)CR4_PAE), GP);
	case_begin("gp-change-la57-in-long-mode");
	check_equal("vector", faulting_cr(4, cr4() ^ CR4_LA57), GP);
	case_begin("gp-cr0-high-half");
	check_equal("vector", faulting_cr(0, cr0() | 1ull << 32), GP);
	case_begin("gp-cr4-high-half");
	check_equal("vector", faulting_cr(4, cr4() | 1ull << 40), GP);
	case_begin("gp-cr3-beyond-physical-width");
	check_equal("vector", faulting_cr(3, (word)root | 1ull << (cpuid(0x80000008, 0, 0) & 0xFF)), GP);
}

static void five_level(void) {
	if (!(cpuid(7, 0, 2) & 1 << 16)) {
		case_skip("five-level", "CPUID has no LA57");
		return;
	}
	start_5();
	case_begin("five-level-cpuid");
	check_equal("linear bits", cpuid(0x80000008, 0, 0) >> 8 & 0xFF, 57);
	check_all("five-level-rights", all_rights, 1024);
	present_case("five-level-present");
	accessed_dirty_case("five-level-accessed-dirty");
	bits_efer(EFER_NXE, 1);
	reserved_case("five-level-reserved-bits");
	check_all("five-level-no-execute", no_execute, 64);
	bits_efer(EFER_NXE, 0);
	large_case("five-level-2m-page", 1);
	large_case("five-level-1g-page", 2);
	// 57 bits are canonical, 58 are not (§5.5.4, vol. 1 §3.3.7.1).
	case_begin("five-level-canonical");
	check_equal("57 bits", probe(READ, 0, 0x00FF000000000000), PF);
	check_equal("negative", probe(READ, 0, 0xFF00000000000000), PF);
	check_equal("58 bits", probe(READ, 0, 0x0100000000000000), GP);
	check_equal("negative 58", probe(READ, 0, 0xFE00000000000000), GP);
	change_paging(0, (word)root);
	case_begin("four-level-canonical");
	check_equal("48 bits", probe(READ, 0, 0x0000700000000000), PF);
	check_equal("49 bits", probe(READ, 0, 0x0000800000000000), GP);
}

void suite_main(void) {
	extern const char event_stubs[];
	page[0] = 0xCD;
	page[1] = 0x81;
	probe_alias = ALIAS;
	set_gate(0x81, CODE64, (word)event_stubs + 16 * 0x81, PRESENT | DPL(3) | TYPE_INT32 | 1 << 8);
	start();
	rights_cases(names_4);
	present_case("four-level-present");
	accessed_dirty_case("four-level-accessed-dirty");
	dirty_after_read_case("four-level-dirty-after-read");
	check_all("four-level-ignored-low-bits", ignored, 8);
	check_all("four-level-ignored-high-bits", ignored_high, 11);
	growing_rights_case("four-level-growing-rights");
	global_case("four-level-global");
	reserved_case("four-level-reserved-bits");
	static const char *const names[5] = {"four-level-smep-smap-off", "four-level-smep", "four-level-smap", "four-level-smep-smap",
		"four-level-smep-smap-ac"};
	smep_smap_cases(names);
	bits_efer(EFER_NXE, 1);
	reserved_case("four-level-reserved-bits-nxe");
	check_all("four-level-no-execute", no_execute, 32);
	static const char *const with_nx[5] = {"four-level-smep-smap-off-nxe", "four-level-smep-nxe", "four-level-smap-nxe",
		"four-level-smep-smap-nxe", "four-level-smep-smap-ac-nxe"};
	smep_smap_cases(with_nx);
	bits_efer(EFER_NXE, 0);
	mode_change_case("four-level-mode-changes-count-at-once");
	large_case("four-level-2m-page", 1);
	if (cpuid(0x80000001, 0, 3) & 1 << 26)
		large_case("four-level-1g-page", 2);
	else
		case_skip("four-level-1g-page", "CPUID has no 1 GiB pages");
	key_cases();
	pcid_cases();
	five_level();
	control_cases();
	set_cr3(old_root);
}
