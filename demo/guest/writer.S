# The demo guest: a whole "operating system" of 4 KiB that proves what a recovered machine holds.
#
# At boot it says on COM1 and on the screen what it finds on its disks; then it writes ordered counters:
# number n to disk 0, then to disk 1, then to a scattered sector of disk 0. A copy of both disks from one instant
# therefore always has disk0 - disk1 equal to 0 or 1 ("the disks agree").
#
# Disk layout (sectors of 512 bytes; guest-disk.ts makes it):
#      0 ..   7  this program (disk 0)
#     64         settings (disk 0): "LIFEBOAT-CONFIG\0", at 16 the machine's name (up to 31 characters, NUL),
#                at 48 the pace (BIOS ticks of 55 ms per round, 0: no pause), at 49 1 to stop after the marker
#   2048         the counter (each disk): "LIFEBOAT-COUNTER", at 16 the number (32 bits, little-endian), at 32 in decimal
#   4096 ..      scattered sectors (disk 0), with the same contents as the counter
#
# Like an operating system it switches itself off when somebody presses the power button (ACPI), after the round at work.
#
# Physical memory 0x600 holds the number of the last complete round, so that a test can read it by QMP.
#
# Build: as --32 writer.S -o writer.o && ld -m elf_i386 -Ttext 0x7c00 --oformat binary writer.o -o writer.bin

.set configSector, 64
.set counterSector, 2048
.set scatterSector, 4096
.set smallestDiskSectors, 8192
.set liveCounter, 0x600
.set biosTicks, 0x46c
.set buffer, 0x9000
.set diskParameters, 0x9400
.set com1, 0x3f8
.set debugExit, 0x501
.set stackTop, 0x7000

# Where SeaBIOS puts the ACPI registers of both PC chipsets; the button shows only once it is enabled.
.set powerStatus, 0x600
.set powerEnable, 0x602
.set powerControl, 0x604
.set powerButton, 0x100
.set powerOff, 0x2000

# What changes lives in a page without code: an emulator translates code page by page and forgets a page's translation
# when something writes into it.
.set variables, 0xa000
.set bootDrive, variables
.set secondDrive, variables + 1
.set writeDrive, variables + 2
.set pace, variables + 3
.set stopAfterMarker, variables + 4
.set scatterStride, variables + 8
.set counter, variables + 12
.set foundFirst, variables + 16
.set foundSecond, variables + 20
.set lastTicks, variables + 24
.set agreeText, variables + 28
.set ringX, variables + 30
.set ringY, variables + 32
.set sectorPacket, variables + 36
.set sectorPacketNumber, sectorPacket + 8
.set machineName, variables + 64
.set digits, variables + 96
.set digitsEnd, digits + 12

# Colours of the text mode; 1 and 6 get new shades below.
.set navy, 1
.set orange, 6
.set label, 0x17
.set value, 0x1f
.set good, 0x1a
.set bad, 0x1c
.set live, 0x1e
.set title, 0x6f

.macro draw row, column, colour, text
  movw $(\row * 160 + \column * 2), %di
  movb $\colour, %ah
  movw $\text, %si
  call drawText
.endm

.macro say text
  movw $\text, %si
  call sayText
.endm

.code16
.globl _start
_start:
  ljmp $0, $start
start:
  cli
  xorw %ax, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  movw $stackTop, %sp
  cld
  sti
  movb %dl, bootDrive
  call openSerial
  movb bootDrive, %dl
  movw $programPacket, %si
  movb $0x42, %ah
  int $0x13
  jnc main
  say loadFailed
stop:
  hlt
  jmp stop

openSerial:
  movw $(com1 + 3), %dx
  movb $0x80, %al
  outb %al, %dx
  movw $com1, %dx
  movb $1, %al                # 115,200 baud
  outb %al, %dx
  incw %dx
  xorb %al, %al               # no interrupts
  outb %al, %dx
  movw $(com1 + 3), %dx
  movb $3, %al                # 8 bits, no parity, 1 stop bit
  outb %al, %dx
  decw %dx
  movb $7, %al
  outb %al, %dx
  movw $(com1 + 4), %dx
  movb $3, %al
  outb %al, %dx
  ret

# Sends the NUL-ended text at SI. Without a serial port the status reads as all ones, so this never hangs.
sayText:
  lodsb
  testb %al, %al
  jz 2f
  movb %al, %ah
  movw $(com1 + 5), %dx
1: inb %dx, %al
  testb $0x20, %al
  jz 1b
  movw $com1, %dx
  movb %ah, %al
  outb %al, %dx
  jmp sayText
2: ret

programPacket:
  .byte 0x10, 0
  .word 7, 0x7e00, 0
  .quad 1
loadFailed: .asciz "LIFEBOAT-DISK-ERROR the program cannot be read\r\n"

.org 510
.word 0xaa55

main:
  call clearVariables
  call readConfig
  call findSecondDisk
  call findScatterStride
  movb bootDrive, %dl
  call readCounter
  movl %eax, foundFirst
  movl %eax, counter
  movl %eax, foundSecond
  cmpb $0, secondDrive
  je 1f
  movb secondDrive, %dl
  call readCounter
  movl %eax, foundSecond
1:
  movw $textNo, agreeText
  movl foundFirst, %eax
  subl foundSecond, %eax
  cmpl $1, %eax               # unsigned: a negative difference is large
  ja 2f
  movw $textYes, agreeText
2:
  call paintScreen
  call sayMarker
  movw $powerEnable, %dx
  movw $powerButton, %ax
  outw %ax, %dx
  cmpb $0, stopAfterMarker
  je rounds
  movw $debugExit, %dx
  movb $0x10, %al
  outb %al, %dx
  jmp stop

rounds:
  incl counter
  call fillCounterSector
  movb bootDrive, %dl
  movl $counterSector, %eax
  call writeSector
  cmpb $0, secondDrive
  je 1f
  movb secondDrive, %dl
  movl $counterSector, %eax
  call writeSector
1:
  movl counter, %eax
  imull $37, %eax             # odd, so that 64 rounds touch 64 different places
  andl $63, %eax
  imull scatterStride, %eax
  addl $scatterSector, %eax
  movb bootDrive, %dl
  call writeSector
  movl counter, %eax
  movl %eax, liveCounter
  call decimal
  draw 17, 22, live, digits
  movw $powerStatus, %dx
  inw %dx, %ax
  testw $powerButton, %ax
  jnz switchOff
  call pause
  jmp rounds

switchOff:
  say poweringOff
  movw $powerControl, %dx
  movw $powerOff, %ax
  outw %ax, %dx
  jmp stop

# Sleeps until the pace's number of timer ticks has passed since the last round.
pause:
  movzbl pace, %ebx
  testl %ebx, %ebx
  jz 2f
1: hlt
  movl biosTicks, %eax
  subl lastTicks, %eax
  cmpl %ebx, %eax
  jb 1b
  movl biosTicks, %eax
  movl %eax, lastTicks
2: ret

clearVariables:
  movw $(variables + 1), %di
  xorb %al, %al
  movw $127, %cx
  rep stosb
  movb $5, pace
  movl $128, scatterStride
  movw $sectorPacketStart, %si
  movw $sectorPacket, %di
  movw $16, %cx
  rep movsb
  movw $unnamed, %si
  movw $machineName, %di
  movw $8, %cx
  rep movsb
  ret

# --- disks ---

# Reads sector EAX of drive DL into the buffer; carry set on failure.
readSector:
  movl %eax, sectorPacketNumber
  movw $sectorPacket, %si
  movb $0x42, %ah
  int $0x13
  ret

# Writes the buffer to sector EAX of drive DL; says each failure and tries again for ever, as an operating system would.
writeSector:
  movl %eax, sectorPacketNumber
  movb %dl, writeDrive
1: movb writeDrive, %dl
  movw $sectorPacket, %si
  movw $0x4300, %ax
  int $0x13
  jc 2f
  ret
2: say writeFailed
  hlt
  jmp 1b

readConfig:
  movl $configSector, %eax
  movb bootDrive, %dl
  call readSector
  jc 1f
  movw $configMagic, %si
  call bufferStartsWith
  jne 1f
  movb $0, buffer + 47
  movw $(buffer + 16), %si
  movw $machineName, %di
  movw $32, %cx
  rep movsb
  movb buffer + 48, %al
  movb %al, pace
  movb buffer + 49, %al
  movb %al, stopAfterMarker
1: ret

# The first other hard disk that the BIOS knows, if any.
findSecondDisk:
  movb $0x81, %dl
  cmpb $0x81, bootDrive
  jne 1f
  movb $0x80, %dl
1: movb %dl, secondDrive
  call askParameters
  jnc 2f
  movb $0, secondDrive
2: ret

askParameters:
  movw $0x1a, diskParameters
  movw $diskParameters, %si
  movb $0x48, %ah
  int $0x13
  ret

# 64 scattered places over the whole disk, each at the start of a 64 KiB block.
findScatterStride:
  movb bootDrive, %dl
  call askParameters
  jc 1f
  movl diskParameters + 16, %eax
  cmpl $smallestDiskSectors, %eax
  jbe 1f
  subl $scatterSector, %eax
  shrl $6, %eax
  andl $0xffffff80, %eax
  jz 1f
  movl %eax, scatterStride
1: ret

# The counter of drive DL in EAX; 0 when there is none.
readCounter:
  movl $counterSector, %eax
  call readSector
  jc 1f
  movw $counterMagic, %si
  call bufferStartsWith
  jne 1f
  movl buffer + 16, %eax
  ret
1: xorl %eax, %eax
  ret

# Zero flag: the buffer starts with the 16 bytes at SI.
bufferStartsWith:
  movw $buffer, %di
  movw $16, %cx
  repe cmpsb
  ret

fillCounterSector:
  movw $buffer, %di
  movw $256, %cx
  xorw %ax, %ax
  rep stosw
  movw $counterMagic, %si
  movw $buffer, %di
  movw $16, %cx
  rep movsb
  movl counter, %eax
  movl %eax, buffer + 16
  call decimal
  movw $digits, %si
  movw $(buffer + 32), %di
1: lodsb
  testb %al, %al
  jz 2f
  stosb
  jmp 1b
2: ret

# --- serial marker ---

sayMarker:
  say markerMachine
  say machineName
  say markerFirst
  movl foundFirst, %eax
  call decimal
  say digits
  say markerSecond
  call secondText
  call sayText
  say markerAgree
  movw agreeText, %si
  call sayText
  say markerReady
  ret

# SI: the second disk's counter as text, or "none".
secondText:
  movw $textNone, %si
  cmpb $0, secondDrive
  je 1f
  movl foundSecond, %eax
  call decimal
  movw $digits, %si
1: ret

# EAX as decimal text in `digits`.
decimal:
  movw $digitsEnd, %di
  movb $0, (%di)
  movl $10, %ebx
1: xorl %edx, %edx
  divl %ebx
  addb $'0', %dl
  decw %di
  movb %dl, (%di)
  testl %eax, %eax
  jnz 1b
  movw %di, %si               # move to the front, so that the text has one address
  movw $digits, %di
2: lodsb
  stosb
  testb %al, %al
  jnz 2b
  ret

# --- screen ---

paintScreen:
  movw $3, %ax
  int $0x10
  movb $1, %ah
  movw $0x2607, %cx           # no cursor
  int $0x10
  movw $0x1003, %ax           # bright backgrounds instead of blinking
  xorw %bx, %bx
  int $0x10
  movw $navyShade, %si
  call setShade
  movw $orangeShade, %si
  call setShade
  movw $0xb800, %ax
  movw %ax, %es
  xorw %di, %di
  movw $(title << 8 | ' '), %ax
  movw $240, %cx
  rep stosw
  movw $(label << 8 | ' '), %ax
  movw $1760, %cx
  rep stosw
  call paintRing
  xorw %ax, %ax
  movw %ax, %es
  draw 1, 4, title, textTitle
  draw 5, 4, label, textMachine
  draw 5, 22, value, machineName
  draw 8, 4, label, textFound
  draw 10, 6, label, textFirst
  movl foundFirst, %eax
  call decimal
  draw 10, 22, value, digits
  draw 11, 6, label, textSecond
  call secondText
  movw $(11 * 160 + 22 * 2), %di
  movb $value, %ah
  call drawText
  draw 12, 6, label, textAgree
  movw $(12 * 160 + 22 * 2), %di
  movb $good, %ah
  movw agreeText, %si
  cmpw $textYes, %si
  je 1f
  movb $bad, %ah
1: call drawText
  draw 15, 4, label, textNow
  draw 17, 6, label, textCounter
  draw 21, 4, label, textFooter
  draw 22, 4, label, textFooterEnd
  ret

# A colour's number in the DAC, then red, green and blue of 0 to 63, at SI.
setShade:
  movw $0x3c8, %dx
  lodsb
  outb %al, %dx
  incw %dx
  movw $3, %cx
1: lodsb
  outb %al, %dx
  loop 1b
  ret

# Draws the text at SI in colour AH at screen offset DI.
drawText:
  pushw %es
  pushw $0xb800
  popw %es
1: lodsb
  testb %al, %al
  jz 2f
  stosw
  jmp 1b
2: popw %es
  ret

# A lifebuoy of 24 x 24 half characters: each character shows two points, one as foreground and one as background.
paintRing:
  movw $(5 * 160 + 49 * 2), %di
  movw $-23, ringY
1: movw $-23, ringX
2: call ringPoint
  movb %al, %cl
  addw $2, ringY
  call ringPoint
  subw $2, ringY
  shlb $4, %al
  orb %cl, %al
  movb %al, %ah
  movb $0xdf, %al
  stosw
  addw $2, ringX
  cmpw $25, ringX
  jne 2b
  addw $(160 - 48), %di
  addw $4, ringY
  cmpw $25, ringY
  jne 1b
  ret

# AL: the colour of the point; white bands where the ring crosses the axes.
ringPoint:
  movw ringX, %ax
  imulw %ax, %ax
  movw %ax, %si
  movw ringY, %dx
  imulw %dx, %dx
  addw %dx, %si
  cmpw $560, %si
  ja 3f
  cmpw $150, %si
  jb 3f
  cmpw $16, %ax
  jb 2f
  cmpw $16, %dx
  jb 2f
  movb $orange, %al
  ret
2: movb $15, %al
  ret
3: movb $navy, %al
  ret

sectorPacketStart:
  .byte 0x10, 0
  .word 1, buffer, 0
  .quad 0
unnamed: .asciz "unnamed"

navyShade: .byte 0x01, 3, 8, 20
orangeShade: .byte 0x14, 58, 24, 4
configMagic: .ascii "LIFEBOAT-CONFIG\0"
counterMagic: .ascii "LIFEBOAT-COUNTER"
markerMachine: .asciz "LIFEBOAT-MARKER machine="
markerFirst: .asciz " disk0="
markerSecond: .asciz " disk1="
markerAgree: .asciz " agree="
markerReady: .asciz "\r\nLIFEBOAT-READY\r\n"
poweringOff: .asciz "LIFEBOAT-POWER-OFF\r\n"
writeFailed: .asciz "LIFEBOAT-WRITE-ERROR\r\n"
textTitle: .asciz "Lifeboat demo guest"
textMachine: .asciz "Machine"
textFound: .asciz "Found on the disks at boot"
textFirst: .asciz "disk 0 counter"
textSecond: .asciz "disk 1 counter"
textAgree: .asciz "disks agree"
textNow: .asciz "Writing now"
textCounter: .asciz "counter"
textFooter: .asciz "Each number goes to disk 0 first, then to disk 1. A copy of both disks from"
textFooterEnd: .asciz "one instant therefore always agrees."
textYes: .asciz "yes"
textNo: .asciz "no"
textNone: .asciz "none"

.org 4096
