//! Parses numbers: `1`, `0.2`, `1e-3`, `1_000`, `30%`.

/// What is wrong with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// `.5`
    NoDigitBeforePoint,
    /// `1.`
    NoDigitAfterPoint,
    /// `1__0`, `1_`
    Underscore,
    /// `1e`
    NoExponent,
    /// `3abc`, `1.2.3`, `0x1f`
    NotANumber,
    /// `1e999`
    TooLarge,
    /// `1e-999`
    TooSmall,
}

/// The value of a number; `30%` rounds to the same number as `0.3`.
pub(super) fn value(text: &str) -> Result<f64, Malformed> {
    let (body, percent) = text.strip_suffix('%').map_or((text, false), |body| (body, true));
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(at) => (&body[..at], Some(&body[at + 1..])),
        None => (body, None),
    };
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(a, b)| (a, Some(b)));
    if whole.is_empty() {
        return Err(Malformed::NoDigitBeforePoint);
    }
    digits(whole)?;
    match fraction {
        Some("") => return Err(Malformed::NoDigitAfterPoint),
        Some(fraction) => digits(fraction)?,
        None => {}
    }
    let mut scale = 0;
    if let Some(exponent) = exponent {
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if unsigned.is_empty() {
            return Err(Malformed::NoExponent);
        }
        digits(unsigned)?;
        let unsigned: i64 = unsigned.replace('_', "").parse().unwrap_or(i64::from(i32::MAX));
        scale = if exponent.starts_with('-') { -unsigned } else { unsigned };
    }
    // Shifting the exponent rounds `0.1%` to the same number as `0.001`; dividing by 100 would not.
    let scale = if percent { scale - 2 } else { scale };
    let mantissa = mantissa.replace('_', "");
    let value: f64 = format!("{mantissa}e{scale}").parse().map_err(|_| Malformed::NotANumber)?;
    let is_zero = mantissa.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    match value {
        value if value.is_infinite() => Err(Malformed::TooLarge),
        value if value == 0.0 && !is_zero => Err(Malformed::TooSmall),
        value => Ok(value),
    }
}

/// The length in bytes of the number, or attempt at one, at the start of `bytes`.
pub(super) fn length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let next = bytes.get(at + 1).copied().unwrap_or_default();
        match byte {
            // `1..2` is a range.
            b'.' if next == b'.' => break,
            b'%' => return at + 1,
            b'+' | b'-' if !is_exponent_sign(bytes, at, next) => break,
            b'.' | b'+' | b'-' | b'_' => at += 1,
            _ if byte.is_ascii_alphanumeric() => at += 1,
            _ => break,
        }
    }
    at
}

fn is_exponent_sign(bytes: &[u8], at: usize, next: u8) -> bool {
    let mantissa = &bytes[..at.saturating_sub(1)];
    matches!(bytes.get(at.wrapping_sub(1)), Some(b'e' | b'E'))
        && next.is_ascii_digit()
        && mantissa.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'_' | b'.'))
}

fn digits(text: &str) -> Result<(), Malformed> {
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') {
        return Err(Malformed::NotANumber);
    }
    if text.split('_').any(str::is_empty) {
        return Err(Malformed::Underscore);
    }
    Ok(())
}
