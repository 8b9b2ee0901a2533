// Accesses for the paging suites.
#include "probe.inc"
	.section .note.GNU-stack, "", @progbits
