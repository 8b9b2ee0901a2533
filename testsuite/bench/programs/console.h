// COM1 and the end of the machine, for programs without an operating system.
#pragma once

#include <stdint.h>

// Before anything is printed: 115200 baud, 8N1, no interrupts.
void start_console(void);
void print(const char *text);
// Eight digits.
void print_hex(uint32_t value);
// Ends the run when everything is sent. Exit code 0 is success.
void end_machine(uint8_t code);
