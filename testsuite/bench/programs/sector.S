// Boot sector of the disk image: reads the program that follows it to 10000h,
// enters protected mode, copies it to 1 MiB and jumps to its entry.
// So every emulator with a BIOS boots the same bytes multiboot loaders get.
// IMAGE_SECTORS (the program's size) comes from the build.

#define BUFFER  0x10000
#define TARGET  0x100000
#define ENTRY   (TARGET + 16)       // behind the multiboot header, see boot.S
#define CHUNK   64                  // sectors a read: no BIOS refuses 32 KiB

	.code16
	.globl _start
_start:
	cli
	xor %ax, %ax
	mov %ax, %ds
	mov %ax, %ss
	mov $0x7C00, %sp
	sti
	mov $IMAGE_SECTORS, %di
read:
	movw $CHUNK, packet + 2
	mov $packet, %si
	mov $0x42, %ah                  // INT 13h extensions: read by block address; DL is still the boot drive
	int $0x13
	jc failed
	addw $CHUNK, packet + 8
	addw $(CHUNK * 512 / 16), packet + 6
	sub $CHUNK, %di
	ja read

	mov $0x2401, %ax                // A20 on, by the BIOS and by port 92h
	int $0x15
	in $0x92, %al
	or $2, %al
	and $0xFE, %al
	out %al, $0x92
	cli
	lgdt gdt_pointer
	mov %cr0, %eax
	or $1, %al
	mov %eax, %cr0
	ljmp $0x08, $protected

failed:
	mov $0x0E21, %ax                // '!' on the screen
	int $0x10
1:	hlt
	jmp 1b

	.code32
protected:
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	cld
	mov $BUFFER, %esi
	mov $TARGET, %edi
	mov $(IMAGE_SECTORS * 512 / 4), %ecx
	rep movsl
	mov $ENTRY, %eax
	jmp *%eax

	.align 8
gdt:
	.quad 0
	.quad 0x00CF9B000000FFFF
	.quad 0x00CF93000000FFFF
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.long gdt

	.align 4
packet:
	.byte 16, 0
	.word CHUNK
	.word 0, BUFFER / 16            // offset, segment
	.quad 1                         // block address

	// One active partition entry: some BIOSes boot nothing without.
	.org 446
	.byte 0x80, 0, 2, 0, 0xDA, 0, 63, 0
	.long 1, IMAGE_SECTORS
	.org 510
	.word 0xAA55
