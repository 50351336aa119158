//! CRC32c (Castagnoli, reflected; RFC 3720 §12.1), as `PP2_TYPE_CRC32C` has it.

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut value = at as u32;
        let mut bit = 0;
        while bit < 8 {
            value = (value >> 1) ^ (if value & 1 == 1 { 0x82f6_3b78 } else { 0 });
            bit += 1;
        }
        table[at] = value;
        at += 1;
    }
    table
}

/// The checksum of some bytes.
pub fn crc32c(bytes: impl IntoIterator<Item = u8>) -> u32 {
    !bytes.into_iter().fold(u32::MAX, |sum, byte| {
        let at = usize::from(sum as u8 ^ byte);
        (sum >> 8) ^ TABLE.get(at).copied().unwrap_or_default()
    })
}
