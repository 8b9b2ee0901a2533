/* fallocate(2), which the C library's headers show only to programs that define _GNU_SOURCE. */
#include <sys/types.h>

int fallocate(int descriptor, int mode, off_t offset, off_t length);
