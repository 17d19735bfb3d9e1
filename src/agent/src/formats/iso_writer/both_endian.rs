//! Numbers in both byte orders, as ECMA-119 has them.

/// A 16-bit number (7.2.3).
pub fn both16(value: u16) -> [u8; 4] {
    let (little, big) = (value.to_le_bytes(), value.to_be_bytes());
    [little[0], little[1], big[0], big[1]]
}

/// A 32-bit number (7.3.3).
pub fn both32(value: u32) -> [u8; 8] {
    let (little, big) = (value.to_le_bytes(), value.to_be_bytes());
    std::array::from_fn(|index| if index < 4 { little[index] } else { big[index - 4] })
}
