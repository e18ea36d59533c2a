//! FarmHash Fingerprint64, which is stable across platforms and versions.

const K0: u64 = 0xc3a5_c85c_97cb_3127;
const K1: u64 = 0xb492_b66f_be98_f273;
const K2: u64 = 0x9ae1_6a3b_2f90_404f;

/// Computes Fingerprint64 of <https://github.com/google/farmhash>, the hash of TensorFlow's `to_hash_bucket_fast` and
/// `categorical_column_with_hash_bucket`.
pub(crate) fn fingerprint64(text: &[u8]) -> u64 {
    match text.len() {
        0..=16 => up_to_16(text),
        17..=32 => up_to_32(text),
        33..=64 => up_to_64(text),
        _ => long(text),
    }
}

/// Reads eight bytes at an offset as a little-endian integer.
fn eight(text: &[u8], offset: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&text[offset..offset + 8]);
    u64::from_le_bytes(bytes)
}

/// Reads four bytes at an offset as a little-endian integer.
fn four(text: &[u8], offset: usize) -> u64 {
    (0..4).rev().fold(0, |value, index| value << 8 | u64::from(text[offset + index]))
}

const fn fold(value: u64) -> u64 {
    value ^ value >> 47
}

fn mix(u: u64, v: u64, by: u64) -> u64 {
    let a = fold((u ^ v).wrapping_mul(by));
    fold((v ^ a).wrapping_mul(by)).wrapping_mul(by)
}

/// The multiplier for texts of this length.
const fn multiplier(len: usize) -> u64 {
    K2.wrapping_add(len as u64 * 2)
}

fn up_to_16(text: &[u8]) -> u64 {
    let len = text.len();
    let by = multiplier(len);
    match len {
        0 => K2,
        1..=3 => {
            let [first, middle, last] = [0, len / 2, len - 1].map(|index| u64::from(text[index]));
            let y = first + (middle << 8);
            let z = len as u64 + (last << 2);
            fold(y.wrapping_mul(K2) ^ z.wrapping_mul(K0)).wrapping_mul(K2)
        }
        4..=7 => mix(len as u64 + (four(text, 0) << 3), four(text, len - 4), by),
        _ => {
            let a = eight(text, 0).wrapping_add(K2);
            let b = eight(text, len - 8);
            let c = b.rotate_right(37).wrapping_mul(by).wrapping_add(a);
            let d = a.rotate_right(25).wrapping_add(b).wrapping_mul(by);
            mix(c, d, by)
        }
    }
}

/// The common part of the hashes of 17 to 64 bytes: mixes both ends of the text.
fn ends(text: &[u8], first: u64) -> (u64, u64) {
    let (len, by) = (text.len(), multiplier(text.len()));
    let second = eight(text, 8);
    let c = eight(text, len - 8).wrapping_mul(by);
    let d = eight(text, len - 16).wrapping_mul(K2);
    let sum = first.wrapping_add(second);
    let u = sum.rotate_right(43).wrapping_add(c.rotate_right(30)).wrapping_add(d);
    let v = first.wrapping_add(second.wrapping_add(K2).rotate_right(18)).wrapping_add(c);
    (u, v)
}

fn up_to_32(text: &[u8]) -> u64 {
    let (u, v) = ends(text, eight(text, 0).wrapping_mul(K1));
    mix(u, v, multiplier(text.len()))
}

#[expect(clippy::many_single_char_names, reason = "the names of the FarmHash reference")]
fn up_to_64(text: &[u8]) -> u64 {
    let (len, by) = (text.len(), multiplier(text.len()));
    let a = eight(text, 0).wrapping_mul(K2);
    let (y, v) = ends(text, a);
    let z = mix(y, v, by);
    let e = eight(text, 16).wrapping_mul(by);
    let f = eight(text, 24);
    let g = y.wrapping_add(eight(text, len - 32)).wrapping_mul(by);
    let h = z.wrapping_add(eight(text, len - 24)).wrapping_mul(by);
    let sum = e.wrapping_add(f);
    mix(
        sum.rotate_right(43).wrapping_add(g.rotate_right(30)).wrapping_add(h),
        e.wrapping_add(f.wrapping_add(a).rotate_right(18)).wrapping_add(g),
        by,
    )
}

/// The state of the hash of a long text, over blocks of 64 bytes.
struct State {
    x: u64,
    y: u64,
    z: u64,
    v: (u64, u64),
    w: (u64, u64),
}

impl State {
    /// Mixes in the block at an offset; `weight` scales parts of the previous state.
    fn block(&mut self, text: &[u8], start: usize, by: u64, weight: u64) {
        let Self { x, y, z, v, w } = self;
        let word = |offset| eight(text, start + offset);
        *x = x.wrapping_add(*y).wrapping_add(v.0).wrapping_add(word(8));
        *x = x.rotate_right(37).wrapping_mul(by) ^ w.1.wrapping_mul(weight);
        *y = y.wrapping_add(v.1).wrapping_add(word(48)).rotate_right(42).wrapping_mul(by);
        *y = y.wrapping_add(v.0.wrapping_mul(weight)).wrapping_add(word(40));
        *z = z.wrapping_add(w.0).rotate_right(33).wrapping_mul(by);
        // Mixes half a block into two values.
        let half = |from: usize, a: u64, b: u64| {
            let words = [0, 8, 16, 24].map(|offset| word(from + offset));
            let a = a.wrapping_add(words[0]);
            let sum = a.wrapping_add(words[1]).wrapping_add(words[2]);
            let turned = b.wrapping_add(a).wrapping_add(words[3]).rotate_right(21);
            (sum.wrapping_add(words[3]), turned.wrapping_add(sum.rotate_right(44)).wrapping_add(a))
        };
        *v = half(0, v.1.wrapping_mul(by), x.wrapping_add(w.0));
        *w = half(32, z.wrapping_add(w.1), y.wrapping_add(word(16)));
        std::mem::swap(z, x);
    }
}

fn long(text: &[u8]) -> u64 {
    const SEED: u64 = 81;
    let y = SEED.wrapping_mul(K1).wrapping_add(113);
    let mut state = State {
        x: SEED.wrapping_mul(K2).wrapping_add(eight(text, 0)),
        y,
        z: fold(y.wrapping_mul(K2).wrapping_add(113)).wrapping_mul(K2),
        v: (0, 0),
        w: (0, 0),
    };
    let last = text.len() - 1;
    for block in 0..last / 64 {
        state.block(text, block * 64, K1, 1);
    }
    let by = K1.wrapping_add((state.z & 0xff) << 1);
    state.w.0 = state.w.0.wrapping_add(last as u64 & 63);
    state.v.0 = state.v.0.wrapping_add(state.w.0);
    state.w.0 = state.w.0.wrapping_add(state.v.0);
    state.block(text, text.len() - 64, by, 9);
    let State { x, y, z, v, w } = state;
    mix(
        mix(v.0, w.0, by).wrapping_add(fold(y).wrapping_mul(K0)).wrapping_add(z),
        mix(v.1, w.1, by).wrapping_add(x),
        by,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_equals_tensorflow_for_all_length_classes() {
        let text: Vec<u8> = (0..300_u32).map(|index| b'a' + (index * 7 % 26) as u8).collect();
        // tf.strings.to_hash_bucket_fast of the first bytes, with 2^62 buckets.
        for (len, expected) in [
            (0, 1_936_946_117_179_621_455),
            (1, 3_694_432_073_954_588_131),
            (2, 2_722_793_752_325_089_359),
            (3, 3_268_219_959_478_574_187),
            (4, 4_287_492_572_700_357_266),
            (7, 3_253_435_701_257_059_082),
            (8, 1_420_088_497_208_371_232),
            (15, 2_567_849_662_781_557_867),
            (16, 3_789_395_809_548_765_534),
            (17, 2_237_273_621_417_572_890),
            (31, 626_755_416_451_493_349),
            (32, 1_600_711_689_105_381_820),
            (33, 3_433_394_632_666_913_964),
            (63, 3_781_616_348_928_882_389),
            (64, 2_314_457_052_903_470_750),
            (65, 2_768_067_016_444_695_309),
            (100, 1_689_383_995_068_569_704),
            (127, 349_151_144_761_152_409),
            (128, 1_257_756_605_311_619_469),
            (129, 1_060_550_032_972_533_880),
            (192, 3_016_510_856_553_223_177),
            (256, 3_078_584_628_691_648_450),
            (300, 3_282_104_783_724_076_422),
        ] {
            assert_eq!(fingerprint64(&text[..len]) % (1 << 62), expected, "{len} bytes");
        }
        assert_eq!(fingerprint64(b"Comedy") % 100, 39);
    }
}
