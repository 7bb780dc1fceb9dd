//! Logits as integers of the same order, so that a border can be found by halving a range.

use half::{bf16, f16};

use crate::tensor::DType;

/// The keys of a kind of logits. Equal logits, `0.0` and `-0.0` among them, are equal to the same logits; two neighbouring
/// keys have no logit between them.
#[derive(Clone, Copy)]
pub(super) struct Keys(pub(super) DType);

impl Keys {
    /// The key of a logit, which the kind holds exactly.
    pub(super) fn of(self, x: f64) -> u64 {
        // Adding zero makes negative zero positive.
        let x = x + 0.0;
        let bits = match self.0 {
            DType::F64 => x.to_bits(),
            DType::BF16 => u64::from(bf16::from_f64(x).to_bits()),
            DType::F16 => u64::from(f16::from_f64(x).to_bits()),
            _ => u64::from((x as f32).to_bits()),
        };
        let sign = self.sign();
        if bits & sign == 0 { bits | sign } else { !bits & (sign | (sign - 1)) }
    }

    /// The logit of a key.
    pub(super) fn value(self, key: u64) -> f64 {
        let sign = self.sign();
        let bits = if key & sign == 0 { !key & (sign | (sign - 1)) } else { key & !sign };
        match self.0 {
            DType::F64 => f64::from_bits(bits),
            DType::BF16 => bf16::from_bits(bits as u16).to_f64(),
            DType::F16 => f16::from_bits(bits as u16).to_f64(),
            _ => f64::from(f32::from_bits(bits as u32)),
        }
    }

    /// The least logit of the kind that is not below `exact`.
    pub(super) fn rounded_up(self, exact: f64) -> f64 {
        let key = self.of(match self.0 {
            DType::F64 => exact,
            DType::BF16 => bf16::from_f64(exact).to_f64(),
            DType::F16 => f16::from_f64(exact).to_f64(),
            _ => f64::from(exact as f32),
        });
        let rounded = self.value(key);
        if rounded < exact { self.value(key + 1) } else { rounded }
    }

    fn sign(self) -> u64 {
        1 << (8 * self.0.bytes() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [DType; 4] = [DType::F64, DType::F32, DType::BF16, DType::F16];

    #[test]
    fn keys_have_the_order_of_their_logits() {
        let rising = [f64::NEG_INFINITY, -65504.0, -1.5, -0.5, 0.0, 0.5, 1.0, 1.5, 65504.0, f64::INFINITY];
        for kind in KINDS {
            let keys = Keys(kind);
            assert!(rising.windows(2).all(|pair| keys.of(pair[0]) < keys.of(pair[1])), "{kind}");
            assert_eq!(keys.of(-0.0), keys.of(0.0), "{kind}");
        }
        let keys = Keys(DType::BF16);
        let all = keys.of(f64::NEG_INFINITY)..=keys.of(f64::INFINITY);
        assert!(
            all.clone().all(|key| keys.value(key) < keys.value(key + 1)
                || keys.value(key) == 0.0
                || key == *all.end())
        );
        // `-0.0` has a key of its own, which no logit gets.
        assert!(all.filter(|key| keys.of(keys.value(*key)) != *key).eq([keys.of(0.0) - 1]));
    }

    #[test]
    fn rounding_up_never_ends_below_and_skips_no_logit() {
        for kind in KINDS {
            let keys = Keys(kind);
            for exact in [-1e5, -3.3, -1e-50, -0.0, 1e-50, 0.1, 1.0, 7.77] {
                let rounded = keys.rounded_up(exact);
                let key = keys.of(rounded);
                // Below zero comes the key that no logit has.
                let lower = keys.value(if rounded == 0.0 { key - 2 } else { key - 1 });
                assert!(lower < exact && exact <= rounded, "{kind}: {exact} between {lower} and {rounded}");
            }
        }
    }
}
