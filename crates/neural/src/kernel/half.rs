//! Half precision (IEEE 754 binary16).

use super::LANES;

/// [`LANES`] weights in half precision (IEEE 754 binary16, 11 significant bits).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(align(32))]
pub(crate) struct Halves(pub(crate) [u16; LANES]);

/// 2¹¹², the quotient of values with the same bits in their exponents in single and half precision.
const EXPONENTS: f32 = f32::from_bits((127 + 112) << 23);

/// Rounds a value of a magnitude below 2¹⁶ to half precision, ties to even.
pub(super) fn to_half(value: f32) -> u16 {
    let bits = (value.abs() / EXPONENTS).to_bits();
    let rounded = (bits + 0xfff + (bits >> 13 & 1)) >> 13;
    rounded as u16 | (u16::from(value.is_sign_negative()) << 15)
}

/// The value of a half.
pub(super) fn from_half(half: u16) -> f32 {
    let magnitude = f32::from_bits(u32::from(half & 0x7fff) << 13) * EXPONENTS;
    if half >> 15 == 1 { -magnitude } else { magnitude }
}
