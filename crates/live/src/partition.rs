use sparrow_model::UserId;

/// The partition of a user among `partitions`: CRC-16/XMODEM of the id in decimal digits, modulo their number. 0 if there
/// are none.
pub fn partition(user: UserId, partitions: u16) -> u16 {
    crc16(user.0.to_string().as_bytes()).checked_rem(partitions).unwrap_or(0)
}

/// CRC-16/XMODEM: polynomial 0x1021, initial value 0, neither input nor output reflected.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_follow_the_specification() {
        // The check value of the catalogue of CRC algorithms.
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(crc16(b""), 0);
        assert_eq!(partition(UserId(123_456_789), 256), 0xC3);
        assert_eq!(partition(UserId(6), 1), 0);
        assert_eq!(partition(UserId(6), 0), 0);
    }

    #[test]
    fn users_are_spread_over_all_partitions() {
        let mut users = [0_u32; 256];
        for id in 1..=25_600 {
            users[usize::from(partition(UserId(id), 256))] += 1;
        }
        assert!(users.iter().all(|count| (50..150).contains(count)), "{users:?}");
    }
}
