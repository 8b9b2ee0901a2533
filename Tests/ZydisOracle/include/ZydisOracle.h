// Zydis as an oracle for the decoder's tests: a plain view of what it decodes.
//
// The library is opened at run time, so that a machine without it builds and skips; without its headers
// (Debian: libzydis-dev) every call reports absence.
#ifndef ZYDIS_ORACLE_H
#define ZYDIS_ORACLE_H

#include <stdint.h>

enum {
    ORACLE_REGISTER = 1,
    ORACLE_MEMORY = 2,
    ORACLE_IMMEDIATE = 3,
    ORACLE_POINTER = 4,
};

// Register classes as far as operands name them.
enum {
    ORACLE_CLASS_OTHER,
    ORACLE_CLASS_GENERAL,
    ORACLE_CLASS_SEGMENT,
    ORACLE_CLASS_CONTROL,
    ORACLE_CLASS_DEBUG,
    ORACLE_CLASS_MMX,
    ORACLE_CLASS_VECTOR,
    ORACLE_CLASS_X87,
};

typedef struct {
    uint8_t kind;
    // Stands in the instruction's own bytes, rather than being implied by the opcode.
    uint8_t isExplicit;
    // Registers: class and number; general byte registers count AH, CH, DH, BH as 16-19.
    uint8_t registerClass;
    uint8_t registerNumber;
    // Width in bits.
    uint16_t bits;
    // Memory: numbers as `Instruction` has them (0xFF none, 0xFE instruction pointer).
    uint8_t segment;
    uint8_t base;
    uint8_t index;
    uint8_t scale;
    // Immediate, displacement, or pointer offset.
    int64_t value;
    uint16_t selector;
    uint8_t isRelative;
} OracleOperand;

typedef struct {
    uint8_t isAccepted;
    // Zydis' reason where it is not accepted.
    uint32_t status;
    uint8_t length;
    // Opcode map (0 one-byte, 1 0F, 2 0F38, 3 0F3A, others AMD's and later ones) and opcode.
    uint8_t map;
    uint8_t opcode;
    uint8_t isVEX;
    uint8_t operandWidth;
    uint8_t addressWidth;
    uint8_t operandCount;
    const char *mnemonic;
    const char *isaSet;
    OracleOperand operands[6];
    uint32_t flagsTested;
    // Set, cleared or changed by result.
    uint32_t flagsWritten;
    uint32_t flagsUndefined;
} OracleInstruction;

// Opens the library. Returns 0, or a sentence why not.
const char *oracleOpen(void);
// Decodes one instruction; `mode` is 16, 32 or 64.
void oracleDecode(int mode, const void *bytes, uint64_t length, OracleInstruction *result);
// Formats it; returns 0 if it is not accepted.
int oracleText(int mode, const void *bytes, uint64_t length, uint64_t address, int isATT, char *text, uint64_t size);

#endif
