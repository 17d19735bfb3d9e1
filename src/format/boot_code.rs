//! MBR boot code for disks without a system: it passes control to the BIOS's next boot device.
//!
//! A GPT requires a protective MBR with a boot signature (UEFI 2.10, 5.2.3). A BIOS boots from every disk with that
//! signature: it jumps to the first byte of the sector. Without code there, the machine hangs and prints nothing. This
//! code calls INT 18h, the entry for "this device did not boot" (BIOS Boot Specification 1.01).

/// Bytes before the MBR's disk signature.
pub const SIZE: usize = 440;

/// 8086 code, loaded at linear address 0x7c00:
///
/// ```text
/// 7c00  cli
/// 7c01  xor   ax, ax
/// 7c03  mov   ss, ax          ; a stack below this code
/// 7c05  mov   sp, 0x7c00
/// 7c08  sti
/// 7c09  jmp   0x0000:0x7c0e   ; some BIOSes enter here as 0x07c0:0x0000
/// 7c0e  int   0x18            ; the next device; the rest runs only if that returns
/// 7c10  xor   ax, ax
/// 7c12  mov   ds, ax
/// 7c14  cld
/// 7c15  mov   si, 0x7c29      ; the text
/// 7c18  lodsb
/// 7c19  test  al, al
/// 7c1b  jz    0x7c26
/// 7c1d  mov   ah, 0x0e        ; teletype output on page 0
/// 7c1f  mov   bx, 0x0007
/// 7c22  int   0x10
/// 7c24  jmp   0x7c18
/// 7c26  hlt                   ; interrupts are on: Ctrl-Alt-Del still restarts
/// 7c27  jmp   0x7c26
/// ```
const CODE: [u8; 0x29] = [
    0xfa, 0x31, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x7c, 0xfb, 0xea, 0x0e, 0x7c, 0x00, 0x00, 0xcd, 0x18, 0x31, 0xc0, 0x8e,
    0xd8, 0xfc, 0xbe, 0x29, 0x7c, 0xac, 0x84, 0xc0, 0x74, 0x09, 0xb4, 0x0e, 0xbb, 0x07, 0x00, 0xcd, 0x10, 0xeb, 0xf2,
    0xf4, 0xeb, 0xfd,
];
const TEXT: &[u8] = b"This disk holds a config and no system: boot another device.\r\n\0";

/// The code, its text, and zeros as padding.
pub fn next_device() -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    bytes[..CODE.len()].copy_from_slice(&CODE);
    bytes[CODE.len()..CODE.len() + TEXT.len()].copy_from_slice(TEXT);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_where_the_code_looks_for_it_and_ends() {
        let bytes = next_device();
        let place = usize::from(u16::from_le_bytes([bytes[0x16], bytes[0x17]])) - 0x7c00;
        assert!(bytes[place..].starts_with(TEXT));
        assert!(TEXT.is_ascii() && TEXT.ends_with(&[0]) && !TEXT[..TEXT.len() - 1].contains(&0));
        // Each jump targets an instruction: the far jump the next one, the near jumps those of the listing.
        let near = |at: usize| at as i64 + 2 + i64::from(bytes[at + 1] as i8);
        assert_eq!(u16::from_le_bytes([bytes[0x0a], bytes[0x0b]]), 0x7c0e);
        assert_eq!((near(0x1b), near(0x24), near(0x27)), (0x26, 0x18, 0x26));
    }
}
