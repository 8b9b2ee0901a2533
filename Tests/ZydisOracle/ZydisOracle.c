#include "ZydisOracle.h"

#include <string.h>

#if __has_include(<Zydis/Zydis.h>)
#include <Zydis/Zydis.h>
#include <dlfcn.h>

static struct {
    int isTried;
    const char *reason;
    __typeof__(&ZydisDecoderInit) init;
    __typeof__(&ZydisDecoderEnableMode) enableMode;
    __typeof__(&ZydisDecoderDecodeFull) decode;
    __typeof__(&ZydisMnemonicGetString) mnemonic;
    __typeof__(&ZydisISASetGetString) isaSet;
    __typeof__(&ZydisRegisterGetClass) registerClass;
    __typeof__(&ZydisRegisterGetId) registerNumber;
    __typeof__(&ZydisFormatterInit) formatterInit;
    __typeof__(&ZydisFormatterFormatInstruction) format;
    ZydisDecoder decoders[3];
    ZydisFormatter formatters[2];
} zydis;

const char *oracleOpen(void) {
    if (zydis.isTried) return zydis.reason;
    zydis.isTried = 1;
    void *library = dlopen("libZydis.so.4.0", RTLD_NOW);
    if (!library) library = dlopen("libZydis.so", RTLD_NOW);
    if (!library) return zydis.reason = "the shared library of Zydis is not installed";
    uint64_t (*version)(void) = (uint64_t (*)(void))dlsym(library, "ZydisGetVersion");
    if (!version || version() >> 32 != (uint64_t)ZYDIS_VERSION >> 32)
        return zydis.reason = "the library and the headers of Zydis differ in version";
#define RESOLVE(field, name) \
    if (!(zydis.field = (__typeof__(zydis.field))dlsym(library, #name))) return zydis.reason = "Zydis lacks " #name
    RESOLVE(init, ZydisDecoderInit);
    RESOLVE(enableMode, ZydisDecoderEnableMode);
    RESOLVE(decode, ZydisDecoderDecodeFull);
    RESOLVE(mnemonic, ZydisMnemonicGetString);
    RESOLVE(isaSet, ZydisISASetGetString);
    RESOLVE(registerClass, ZydisRegisterGetClass);
    RESOLVE(registerNumber, ZydisRegisterGetId);
    RESOLVE(formatterInit, ZydisFormatterInit);
    RESOLVE(format, ZydisFormatterFormatInstruction);
    static const ZydisMachineMode modes[3] = {
        ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_MACHINE_MODE_LONG_64};
    static const ZydisStackWidth widths[3] = {ZYDIS_STACK_WIDTH_16, ZYDIS_STACK_WIDTH_32, ZYDIS_STACK_WIDTH_64};
    for (int i = 0; i < 3; i++) {
        zydis.init(&zydis.decoders[i], modes[i], widths[i]);
        zydis.enableMode(&zydis.decoders[i], ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
        zydis.enableMode(&zydis.decoders[i], ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
        zydis.enableMode(&zydis.decoders[i], ZYDIS_DECODER_MODE_WBNOINVD, ZYAN_FALSE);
        zydis.enableMode(&zydis.decoders[i], ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
    }
    zydis.formatterInit(&zydis.formatters[0], ZYDIS_FORMATTER_STYLE_INTEL);
    zydis.formatterInit(&zydis.formatters[1], ZYDIS_FORMATTER_STYLE_ATT);
    return zydis.reason = 0;
}

static void setRegister(OracleOperand *operand, ZydisRegister reg) {
    int number = zydis.registerNumber(reg);
    operand->registerClass = ORACLE_CLASS_OTHER;
    switch (zydis.registerClass(reg)) {
    case ZYDIS_REGCLASS_GPR8:
        // The order is AL-BL, AH-BH, SPL-DIL, R8B-R15B.
        number = reg - ZYDIS_REGISTER_AL;
        number = number < 4 ? number : number < 8 ? number + 12 : number - 4;
        // fall through
    case ZYDIS_REGCLASS_GPR16:
    case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64: operand->registerClass = ORACLE_CLASS_GENERAL; break;
    case ZYDIS_REGCLASS_SEGMENT: operand->registerClass = ORACLE_CLASS_SEGMENT; break;
    case ZYDIS_REGCLASS_CONTROL: operand->registerClass = ORACLE_CLASS_CONTROL; break;
    case ZYDIS_REGCLASS_DEBUG: operand->registerClass = ORACLE_CLASS_DEBUG; break;
    case ZYDIS_REGCLASS_MMX: operand->registerClass = ORACLE_CLASS_MMX; break;
    case ZYDIS_REGCLASS_XMM:
    case ZYDIS_REGCLASS_YMM: operand->registerClass = ORACLE_CLASS_VECTOR; break;
    case ZYDIS_REGCLASS_X87: operand->registerClass = ORACLE_CLASS_X87; break;
    default: break;
    }
    operand->registerNumber = (uint8_t)number;
}

static uint8_t addressRegister(ZydisRegister reg) {
    if (reg == ZYDIS_REGISTER_NONE) return 0xFF;
    if (zydis.registerClass(reg) == ZYDIS_REGCLASS_IP) return 0xFE;
    return (uint8_t)zydis.registerNumber(reg);
}

void oracleDecode(int mode, const void *bytes, uint64_t length, OracleInstruction *result) {
    ZydisDecodedInstruction i;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    memset(result, 0, sizeof *result);
    result->status = zydis.decode(&zydis.decoders[mode >> 5], bytes, length, &i, operands);
    if (!ZYAN_SUCCESS(result->status)) return;
    result->isAccepted = 1;
    result->length = i.length;
    result->map = (uint8_t)i.opcode_map;
    result->opcode = i.opcode;
    result->isVEX = i.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
    result->operandWidth = i.operand_width;
    result->addressWidth = i.address_width;
    result->mnemonic = zydis.mnemonic(i.mnemonic);
    result->isaSet = zydis.isaSet(i.meta.isa_set);
    if (i.cpu_flags) {
        result->flagsTested = i.cpu_flags->tested;
        result->flagsWritten = i.cpu_flags->modified | i.cpu_flags->set_0 | i.cpu_flags->set_1;
        result->flagsUndefined = i.cpu_flags->undefined;
    }
    result->operandCount = i.operand_count_visible;
    for (int n = 0; n < i.operand_count_visible && n < 6; n++) {
        OracleOperand *to = &result->operands[n];
        const ZydisDecodedOperand *from = &operands[n];
        to->isExplicit = from->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT;
        to->bits = from->size;
        switch (from->type) {
        case ZYDIS_OPERAND_TYPE_REGISTER:
            to->kind = ORACLE_REGISTER;
            setRegister(to, from->reg.value);
            break;
        case ZYDIS_OPERAND_TYPE_MEMORY:
            to->kind = ORACLE_MEMORY;
            to->segment = addressRegister(from->mem.segment);
            to->base = addressRegister(from->mem.base);
            to->index = addressRegister(from->mem.index);
            to->scale = from->mem.scale;
            to->value = from->mem.disp.has_displacement ? from->mem.disp.value : 0;
            break;
        case ZYDIS_OPERAND_TYPE_POINTER:
            to->kind = ORACLE_POINTER;
            to->value = from->ptr.offset;
            to->selector = from->ptr.segment;
            break;
        case ZYDIS_OPERAND_TYPE_IMMEDIATE:
            to->kind = ORACLE_IMMEDIATE;
            to->value = (int64_t)from->imm.value.u;
            to->isRelative = from->imm.is_relative;
            break;
        default: break;
        }
    }
}

int oracleText(int mode, const void *bytes, uint64_t length, uint64_t address, int isATT, char *text, uint64_t size) {
    ZydisDecodedInstruction i;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    if (!ZYAN_SUCCESS(zydis.decode(&zydis.decoders[mode >> 5], bytes, length, &i, operands))) return 0;
    return ZYAN_SUCCESS(zydis.format(
        &zydis.formatters[isATT != 0], &i, operands, i.operand_count_visible, text, size, address, ZYAN_NULL));
}

#else

const char *oracleOpen(void) { return "the headers of Zydis are not installed (Debian: libzydis-dev)"; }

void oracleDecode(int mode, const void *bytes, uint64_t length, OracleInstruction *result) {
    (void)mode, (void)bytes, (void)length;
    memset(result, 0, sizeof *result);
}

int oracleText(int mode, const void *bytes, uint64_t length, uint64_t address, int isATT, char *text, uint64_t size) {
    (void)mode, (void)bytes, (void)length, (void)address, (void)isATT, (void)text, (void)size;
    return 0;
}

#endif
