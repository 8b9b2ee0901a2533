// 32-bit and PAE paging: every combination of rights, presence, accessed and dirty bits, reserved bits, large and global pages
// (SDM vol. 3A §5.3, §5.4, §5.6–§5.8, §5.10).
#include "paging-model.inc"

enum { ALIAS = 0x40000000, TARGET = 0x80C03000 };

static uint32_t root[1024] __attribute__((aligned(4096)));
static uint32_t table[1024] __attribute__((aligned(4096)));
static uint32_t low[1024] __attribute__((aligned(4096)));
static uint32_t low_user[1024] __attribute__((aligned(4096)));
static uint64_t pointers[4] __attribute__((aligned(32)));
static uint64_t directories[4][512] __attribute__((aligned(4096)));
static uint64_t table_pae[512] __attribute__((aligned(4096)));
static uint8_t page[4096] __attribute__((aligned(4096)));

static const char *const names_32[6][2] = {
	{"two-level-read", "two-level-read-wp"}, {"two-level-user-read", "two-level-user-read-wp"},
	{"two-level-write", "two-level-write-wp"}, {"two-level-user-write", "two-level-user-write-wp"},
	{"two-level-fetch", "two-level-fetch-wp"}, {"two-level-user-fetch", "two-level-user-fetch-wp"}};
static const char *const names_pae[6][2] = {
	{"pae-read", "pae-read-wp"}, {"pae-user-read", "pae-user-read-wp"}, {"pae-write", "pae-write-wp"},
	{"pae-user-write", "pae-user-write-wp"}, {"pae-fetch", "pae-fetch-wp"}, {"pae-user-fetch", "pae-user-fetch-wp"}};

static void stop_paging(void) {
	bits_cr0(CR0_PG, 0);
	bits_efer(EFER_NXE, 0);
	set_cr4(CR4_OSFXSR | CR4_OSXMMEXCPT);
}

static void start_two_level(void) {
	for (uint32_t n = 0; n < 16; n++) {
		root[n] = n << 22 | P | W | LARGE;
		root[n + (ALIAS >> 22)] = n << 22 | P | W | U | LARGE;
	}
	paging = (struct paging){.levels = 2, .wide = 0, .linear = TARGET, .code = (word)page,
	                         .entry = {&table[TARGET >> 12 & 1023], &root[TARGET >> 22]},
	                         .base = {(word)page, (word)table}};
	set_all(P | W | U);
	bits_cr4(CR4_PSE, 1);
	set_cr3((word)root);
	bits_cr0(CR0_PG, 1);
}

static void start_pae(void) {
	for (uint32_t n = 0; n < 32; n++) {
		directories[0][n] = n << 21 | P | W | LARGE;
		directories[1][n] = n << 21 | P | W | U | LARGE;
	}
	for (int n = 0; n < 3; n++)
		pointers[n] = (word)directories[n] | P;
	pointers[3] = 0;
	paging = (struct paging){.levels = 2, .wide = 1, .linear = TARGET, .code = (word)page,
	                         .entry = {&table_pae[TARGET >> 12 & 511], &directories[2][TARGET >> 21 & 511]},
	                         .base = {(word)page, (word)table_pae}};
	set_all(P | W | U);
	bits_cr4(CR4_PAE, 1);
	set_cr3((word)pointers);
	bits_cr0(CR0_PG, 1);
}

// One reserved bit after the other at each level.
static uint64_t reserved_candidates(int level) {
	return reserved_bits(level);
}

static void reserved_case(const char *name) {
	case_begin(name);
	for (int level = 0; level < paging.levels; level++)
		for (int bit = 0; bit < 64; bit++) {
			if (!(reserved_candidates(level) >> bit & 1))
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

static void no_execute(unsigned n) {
	set_entry(0, P | W | (n & 1 ? NX : 0) | (n & 4 ? U : 0));
	set_entry(1, P | W | (n & 2 ? NX : 0) | (n & 8 ? U : 0));
}

static void supervisor_and_user(unsigned n) {
	set_entry(0, P | W | (n & 1 ? U : 0));
	set_entry(1, P | W | (n & 2 ? U : 0));
}

static void smep_smap_cases(const char *const names[4]) {
	for (int which = 0; which < 4; which++) {
		bits_cr4(CR4_SMEP, which & 1);
		bits_cr4(CR4_SMAP, which >> 1);
		check_all(names[which], supervisor_and_user, 4);
		flags_ac = which >> 1;
	}
	check_all(names[3], supervisor_and_user, 4);
	flags_ac = 0;
	bits_cr4(CR4_SMEP | CR4_SMAP, 0);
}

// A large page as the leaf, with its own A and D (§5.3, §5.4).
static void large_case(const char *name, int level_bits, volatile void *at, int wide) {
	struct paging before = paging;
	paging.levels = 1;
	paging.wide = wide;
	paging.entry[0] = at;
	paging.base[0] = (word)page & ~((1u << level_bits) - 1);
	paging.linear = (TARGET & ~((1u << level_bits) - 1)) | ((word)page & ((1u << level_bits) - 1));
	case_begin(name);
	for (unsigned n = 0; n < 16; n++)
		for (word access = READ; access <= FETCH; access++)
			for (word user = 0; user < 2; user++) {
				set_entry(0, P | LARGE | (n & 1 ? W : 0) | (n & 2 ? U : 0) | (n & 4 ? A : 0) | (n & 8 ? D : 0));
				check_access(access, user);
			}
	// Bit 12 is PAT; the bits between it and the address are reserved (PSE-36 uses bits 20:13 of the 32-bit form).
	set_entry(0, P | W | LARGE | 1 << 12);
	invlpg(paging.linear);
	check_equal("PAT", probe(READ, 0, paging.linear), NONE);
	set_entry(0, P | W | LARGE | 1 << (wide ? 13 : 21));
	invlpg(paging.linear);
	check_equal("reserved", probe(READ, 0, paging.linear), PF);
	check_equal("reserved error", events[0].error, ERROR_P | ERROR_RESERVED);
	paging = before;
	set_all(P | W | U);
}

// Global translations outlive a load of CR3, others do not (§5.10.2.4); INVLPG and changes of CR4.PGE drop them.
static void global_case(const char *name) {
	case_begin(name);
	bits_cr4(CR4_PGE, 1);
	set_all(P | W | U | G);
	invlpg(paging.linear);
	check_equal("fill", probe(READ, 0, paging.linear), NONE);
	set_entry(0, 0);
	invlpg(paging.linear);
	check_equal("after INVLPG", probe(READ, 0, paging.linear), PF);
	set_all(P | W | U | G);
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

// Without CR4.PSE the bit PS of a PDE is ignored (§5.3); the program itself is mapped by 4 KiB pages meanwhile.
static void page_size_case(const char *name) {
	case_begin(name);
	for (uint32_t n = 0; n < 1024; n++) {
		low[n] = n << 12 | P | W;
		low_user[n] = n << 12 | P | W | U;
	}
	uint32_t old = root[0], old_user = root[ALIAS >> 22];
	root[0] = (word)low | P | W;
	root[ALIAS >> 22] = (word)low_user | P | W | U;
	set_cr3(cr3());
	bits_cr4(CR4_PSE, 0);
	for (word access = READ; access <= FETCH; access++)
		for (word user = 0; user < 2; user++) {
			set_all(P | W | U);
			set_entry(1, P | W | U | LARGE);
			check_access(access, user);
		}
	bits_cr4(CR4_PSE, 1);
	root[0] = old;
	root[ALIAS >> 22] = old_user;
	set_cr3(cr3());
	set_all(P | W | U);
}

static void two_level(void) {
	start_two_level();
	rights_cases(names_32);
	present_case("two-level-present");
	accessed_dirty_case("two-level-accessed-dirty");
	dirty_after_read_case("two-level-dirty-after-read");
	check_all("two-level-ignored-bits", ignored, 8);
	growing_rights_case("two-level-growing-rights");
	global_case("two-level-global");
	static const char *const names[4] = {"two-level-smep-smap-off", "two-level-smep", "two-level-smap", "two-level-smep-smap-ac"};
	smep_smap_cases(names);
	large_case("two-level-4m-page", 22, &root[TARGET >> 22], 0);
	case_begin("two-level-ps-in-pte-is-pat");
	set_entry(0, P | W | U | LARGE);
	check_access(READ, 0);
	set_all(P | W | U);
	page_size_case("two-level-ps-without-pse");
	stop_paging();
}

static void pae(void) {
	start_pae();
	rights_cases(names_pae);
	present_case("pae-present");
	accessed_dirty_case("pae-accessed-dirty");
	dirty_after_read_case("pae-dirty-after-read");
	check_all("pae-ignored-bits", ignored, 8);
	growing_rights_case("pae-growing-rights");
	global_case("pae-global");
	reserved_case("pae-reserved-bits");
	bits_efer(EFER_NXE, 1);
	reserved_case("pae-reserved-bits-nxe");
	check_all("pae-no-execute", no_execute, 16);
	static const char *const with_nx[4] = {"pae-smep-smap-off-nxe", "pae-smep-nxe", "pae-smap-nxe", "pae-smep-smap-ac-nxe"};
	smep_smap_cases(with_nx);
	bits_efer(EFER_NXE, 0);
	static const char *const names[4] = {"pae-smep-smap-off", "pae-smep", "pae-smap", "pae-smep-smap-ac"};
	smep_smap_cases(names);
	large_case("pae-2m-page", 21, &directories[2][TARGET >> 21 & 511], 1);

	// The PDPTEs are registers: memory counts when CR3 is loaded only (§5.4.1).
	case_begin("pae-pdpte-is-cached");
	pointers[2] = 0;
	invlpg(paging.linear);
	check_equal("still there", probe(READ, 0, paging.linear), NONE);
	set_cr3((word)pointers);
	check_equal("after CR3", probe(READ, 0, paging.linear), PF);
	check_equal("error", events[0].error, 0);
	pointers[2] = (word)directories[2] | P;
	set_cr3((word)pointers);
	check_equal("back", probe(READ, 0, paging.linear), NONE);
	stop_paging();
}

void suite_main(void) {
	page[0] = 0xCD;
	page[1] = 0x81;
	probe_alias = ALIAS;
	set_gate(0x81, CODE32, (word)0, 0);
	extern const char event_stubs[];
	set_gate(0x81, CODE32, (word)event_stubs + 16 * 0x81, PRESENT | DPL(3) | TYPE_INT32);
	two_level();
	pae();
}
