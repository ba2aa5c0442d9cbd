//! Quantities: `100m`, `1.5Gi`, `1e3`.
//!
//! As apimachinery's `api/resource/quantity.go`: fixed point down to a billionth (rounded up), at most 2^63-1,
//! written in the form it was read in with the largest suffix that needs no fraction.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

const NANO: i128 = 1_000_000_000;
const UNITS_MAX: i128 = i64::MAX as i128;

/// An amount of a resource.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    DecimalSi,
    BinarySi,
    DecimalExponent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseQuantityError {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    #[error("unable to parse numeric part of quantity")]
    Number,
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

impl Quantity {
    pub fn zero() -> Self {
        Self { nanos: 0, form: Form::DecimalSi }
    }

    /// Returns a whole number of units.
    pub fn from_units(units: i64) -> Self {
        Self { nanos: i128::from(units) * NANO, form: Form::DecimalSi }
    }

    /// Returns whole units, rounded away from zero.
    pub fn units(&self) -> i64 {
        saturated(div_up(self.nanos, NANO))
    }

    /// Returns thousandths, rounded away from zero.
    pub fn millis(&self) -> i64 {
        saturated(div_up(self.nanos, NANO / 1_000))
    }

    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// Returns the sum in this quantity's form (the other's if this is zero).
    pub fn add(&self, other: &Quantity) -> Quantity {
        let form = if self.is_zero() { other.form } else { self.form };
        Quantity { nanos: clamp(self.nanos + other.nanos), form }
    }

    /// Returns the difference in this quantity's form (the other's if this is zero).
    pub fn sub(&self, other: &Quantity) -> Quantity {
        self.add(&Quantity { nanos: -other.nanos, form: other.form })
    }
}

impl FromStr for Quantity {
    type Err = ParseQuantityError;

    fn from_str(text: &str) -> Result<Self, ParseQuantityError> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let digits_end = unsigned.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(digits_end);
        if number.is_empty() {
            return Err(ParseQuantityError::Format);
        }
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(ParseQuantityError::Number);
        }
        let (form, base, exponent) = suffix_of(suffix)?;
        let mut nanos = scaled(whole, fraction, base, exponent);
        if text.starts_with('-') {
            nanos = -nanos;
        }
        Ok(Self { nanos: clamp(nanos), form })
    }
}

fn suffix_of(suffix: &str) -> Result<(Form, i128, i32), ParseQuantityError> {
    let decimal = |exponent| Ok((Form::DecimalSi, 10, exponent));
    let binary = |exponent| Ok((Form::BinarySi, 1024, exponent));
    match suffix {
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "" => decimal(0),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => match suffix.strip_prefix(['e', 'E']) {
            Some(exponent) => Ok((Form::DecimalExponent, 10, exponent.parse().map_err(|_| ParseQuantityError::Suffix)?)),
            None => Err(ParseQuantityError::Suffix),
        },
    }
}

/// Returns `whole.fraction * base^exponent` in billionths, rounded up, saturated.
fn scaled(whole: &str, fraction: &str, base: i128, exponent: i32) -> i128 {
    // 40 digits hold every value below the cap; what follows is less than a billionth, or beyond the cap.
    let mut mantissa: i128 = 0;
    let mut point: i32 = 0;
    let mut has_rest = false;
    for (index, digit) in whole.bytes().chain(fraction.bytes()).enumerate() {
        let is_fraction = index >= whole.len();
        match mantissa.checked_mul(10).and_then(|m| m.checked_add(i128::from(digit - b'0'))).filter(|m| *m < i128::MAX / 1_000_000_000) {
            Some(next) => {
                mantissa = next;
                point += i32::from(is_fraction);
            }
            None if is_fraction => has_rest |= digit != b'0',
            None => return i128::MAX,
        }
    }
    if mantissa == 0 {
        return i128::from(has_rest);
    }
    let mut power = 9 - point;
    if base == 1024 {
        for _ in 0..exponent {
            let Some(next) = mantissa.checked_mul(1024) else { return i128::MAX };
            mantissa = next;
        }
    } else {
        power = power.saturating_add(exponent);
    }
    while power > 0 {
        let Some(next) = mantissa.checked_mul(10) else { return i128::MAX };
        mantissa = next;
        power -= 1;
    }
    while power < 0 && mantissa > 0 {
        has_rest |= mantissa % 10 != 0;
        mantissa /= 10;
        power += 1;
    }
    mantissa + i128::from(has_rest)
}

fn clamp(nanos: i128) -> i128 {
    nanos.clamp(-UNITS_MAX * NANO, UNITS_MAX * NANO)
}

fn div_up(value: i128, by: i128) -> i128 {
    value / by + (value % by).signum()
}

fn saturated(value: i128) -> i64 {
    value.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

impl fmt::Display for Quantity {
    /// Writes the canonical form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let is_small = self.nanos.abs() < 1024 * NANO;
        if self.form == Form::BinarySi && !is_small && self.nanos % NANO == 0 {
            let mut units = self.nanos / NANO;
            let mut suffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].into_iter();
            let mut suffix = suffixes.next().unwrap_or("");
            while units % 1024 == 0
                && let Some(next) = suffixes.next()
            {
                units /= 1024;
                suffix = next;
            }
            return write!(f, "{units}{suffix}");
        }
        let (mut mantissa, mut exponent) = (self.nanos, -9);
        while mantissa % 1000 == 0 && exponent < 18 {
            mantissa /= 1000;
            exponent += 3;
        }
        if self.form == Form::DecimalExponent {
            return if exponent == 0 { write!(f, "{mantissa}") } else { write!(f, "{mantissa}e{exponent}") };
        }
        let suffix = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][((exponent + 9) / 3) as usize];
        write!(f, "{mantissa}{suffix}")
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::{ParseQuantityError, Quantity};

    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn canonical_form_is_upstreams() {
        for (text, canonical) in [
            ("0", "0"),
            ("0Gi", "0"),
            ("100m", "100m"),
            ("0.1", "100m"),
            ("1000m", "1"),
            ("1.5Gi", "1536Mi"),
            ("0.5Gi", "512Mi"),
            ("0.1Gi", "107374182400m"),
            ("1024", "1024"),
            ("1024Ki", "1Mi"),
            ("1000Ki", "1000Ki"),
            ("512", "512"),
            ("12e6", "12e6"),
            ("1000e3", "1e6"),
            ("1E3", "1e3"),
            ("1500k", "1500k"),
            ("2000000", "2M"),
            ("-1.5", "-1500m"),
            ("+3", "3"),
            ("0.0000000001", "1n"),
            (".5", "500m"),
            ("5.", "5"),
            ("1e-3", "1e-3"),
            ("100Ei", "9223372036854775807"),
        ] {
            assert_eq!(quantity(text).to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn amounts_compare_and_add_across_forms() {
        assert_eq!(quantity("1Gi"), quantity("1073741824"));
        assert!(quantity("999m") < quantity("1") && quantity("1Gi") > quantity("1G"));
        assert_eq!(quantity("1Gi").add(&quantity("1Mi")).to_string(), "1025Mi");
        assert_eq!(quantity("500m").add(&quantity("1")).to_string(), "1500m");
        assert_eq!(Quantity::zero().add(&quantity("1Ki")).to_string(), "1Ki");
        assert_eq!(quantity("1").sub(&quantity("250m")).to_string(), "750m");
        assert_eq!((quantity("1500m").units(), quantity("1500m").millis()), (2, 1500));
    }

    #[test]
    fn nonsense_is_refused() {
        for (text, error) in [
            ("", ParseQuantityError::Format),
            ("x", ParseQuantityError::Format),
            ("1.2.3", ParseQuantityError::Number),
            (".", ParseQuantityError::Number),
            ("1 Gi", ParseQuantityError::Suffix),
            ("1gi", ParseQuantityError::Suffix),
            ("1e", ParseQuantityError::Suffix),
            ("1KiB", ParseQuantityError::Suffix),
        ] {
            assert_eq!(text.parse::<Quantity>(), Err(error), "{text}");
        }
    }
}
