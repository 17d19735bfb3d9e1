# A kernel for the tar-set scenario: by the Multiboot specification (0.6.96), it
# writes its command line to the first serial port and halts.

        .set MAGIC, 0x1badb002
        .set FLAGS, 0
        .set COM1, 0x3f8

        .text
        # The header must be in the file's first 8192 bytes (3.1), so it precedes the code.
        .align 4
        .long MAGIC, FLAGS, -(MAGIC + FLAGS)

        .globl _start
_start:
        mov     $stack, %esp
        mov     %ebx, %edi              # the boot information
        mov     $greeting, %esi
        call    write
        testl   $4, (%edi)              # bit 2: there is a command line, at 16
        jz      1f
        mov     16(%edi), %esi
        call    write
1:      mov     $end, %esi
        call    write
2:      hlt
        jmp     2b

write:  lodsb
        test    %al, %al
        jz      4f
        mov     %al, %ah
        mov     $(COM1 + 5), %dx        # line status: bit 5, ready for a byte
3:      inb     %dx, %al
        test    $0x20, %al
        jz      3b
        mov     %ah, %al
        mov     $COM1, %dx
        outb    %al, %dx
        jmp     write
4:      ret

        .section .rodata
greeting: .asciz "tar set: kernel started with: "
end:    .asciz "\r\ntar set: end\r\n"

        .bss
        .space  4096
stack:
        .section .note.GNU-stack, "", @progbits
