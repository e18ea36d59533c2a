//! Random numbers for damaged input.

/// The random number generator SplitMix64; its seed makes runs reproducible.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number below `end`, which is at least 1.
    pub const fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}
