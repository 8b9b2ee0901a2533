# The IDT, the 8259 pair, the timer and the local APIC.

.include "common.inc"

.text
BITS 32

# Fills the IDT, moves the hardware interrupts to vectors 20h-2Fh and starts the timer. Interrupts stay off.
.global setup_interrupts
setup_interrupts:
  pushal
  # 8Eh: a present 32-bit interrupt gate for ring 0 (SDM vol. 3A §6.11).
  movb $0x8E, %cl
  xorl %eax, %eax
1:
  movl fault_table32(, %eax, 4), %edx
  call set_gate
  incl %eax
  cmpl $32, %eax
  jb 1b
  movl $ignore_irq, %edx
2:
  call set_gate
  incl %eax
  cmpl $(IRQ_BASE + 16), %eax
  jb 2b
  movl $IRQ_BASE, %eax
  movl $timer_irq, %edx
  call set_gate
  movl $(IRQ_BASE + 7), %eax
  movl $spurious_irq, %edx
  call set_gate
  lidtl idt_pointer

  # 8259A: ICW1 (edges, cascade, ICW4 follows), ICW2 (vectors), ICW3 (cascade on input 2), ICW4 (8086 mode), then the masks.
  movb $0x11, %al
  outb %al, $PIC1
  outb %al, $PIC2
  movb $IRQ_BASE, %al
  outb %al, $(PIC1 + 1)
  movb $(IRQ_BASE + 8), %al
  outb %al, $(PIC2 + 1)
  movb $4, %al
  outb %al, $(PIC1 + 1)
  movb $2, %al
  outb %al, $(PIC2 + 1)
  movb $1, %al
  outb %al, $(PIC1 + 1)
  outb %al, $(PIC2 + 1)
  movb $PIC1_MASK, %al
  outb %al, $(PIC1 + 1)
  movb $0xFF, %al
  outb %al, $(PIC2 + 1)

  # 8254 channel 0: mode 2, divisor 65536: 1193182 / 65536 = 18.2 interrupts a second.
  movb $0x34, %al
  outb %al, $(PIT + 3)
  xorb %al, %al
  outb %al, $PIT
  outb %al, $PIT
  popal
  ret

# Points gate EAX of the IDT to EDX, with the access byte CL. Preserves all registers.
.global set_gate
set_gate:
  pushl %edx
  movw %dx, idt(, %eax, 8)
  movw $CODE32, idt+2(, %eax, 8)
  movb $0, idt+4(, %eax, 8)
  movb %cl, idt+5(, %eax, 8)
  shrl $16, %edx
  movw %dx, idt+6(, %eax, 8)
  popl %edx
  ret

# With a local APIC on the chip, the 8259's interrupts come through its LINT0 pin ("virtual wire", SDM vol. 3A §10.4.7.2,
# MultiProcessor Specification §3.6.2.2), which is firmware's to set up.
.global setup_apic
setup_apic:
  testl $(1 << 9), cpu_features
  jz 1f
  movl $0x1FF, APIC + 0xF0                # spurious vector FFh, APIC enabled
  movl $0x700, APIC + 0x350               # LINT0: ExtINT
  movl $0x400, APIC + 0x360               # LINT1: NMI
1:
  ret

timer_irq:
  incl %ss:ticks                          # SS is ring 0's whatever DS is
  pushl %eax
  movb $0x20, %al
  outb %al, $PIC1
  popl %eax
  iret

# The keyboard and COM1 only have to wake HLT: get_key looks at the devices themselves.
ignore_irq:
  pushl %eax
  movb $0x20, %al
  outb %al, $PIC2
  outb %al, $PIC1
  popl %eax
  iret

# A request that vanished before it was acknowledged: no end of interrupt belongs to it.
spurious_irq:
  iret

# Waits for EAX ticks of the timer, with interrupts on. Preserves all registers.
.global wait_ticks
wait_ticks:
  pushl %eax
  addl ticks, %eax
1:
  hlt
  cmpl ticks, %eax
  jg 1b
  popl %eax
  ret

.section .rodata, "a"
.global idt_pointer
idt_pointer:
  .word IDT_ENTRIES * 8 - 1
  .long idt

.bss
.global idt, ticks
.balign 8
idt: .skip IDT_ENTRIES * 8
ticks: .long 0                          # timer interrupts since the start
