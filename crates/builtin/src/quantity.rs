//! The canonical form of quantities: what a real API server answers for `1000m`, `0.5` or `1024Mi`.
//!
//! As apimachinery's `resource.Quantity`: the largest suffix that leaves no fraction, in the family
//! (decimal, binary, exponent) it was written in; nothing below nano, rounded away from zero; a binary
//! quantity below 1024 or with a fraction is decimal.

/// Powers of ten a quantity may have as suffix, from nano to exa.
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
/// Powers of 1024.
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/// Digits a quantity may have: with the largest suffix still within an i128.
const DIGITS_MAX: usize = 18;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Decimal,
    Binary,
    Exponent,
}

/// A parsed quantity: `nanos` billionths of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    nanos: i128,
    family: Family,
}

const NANO: i128 = 1_000_000_000;

impl Quantity {
    /// Parses a quantity; nothing if it is none, or larger than can be computed with here.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{}{fraction}", whole.trim_start_matches('0'));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || digits.len() > DIGITS_MAX {
            return None;
        }
        let mantissa: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
        let (family, exponent, factor) = suffix_of(suffix)?;
        // mantissa * 10^exponent * factor, counted in nanos, a rest rounded away from zero.
        let places = exponent - i32::try_from(fraction.len()).ok()? + 9;
        let scaled = mantissa.checked_mul(factor)?;
        let nanos = if places >= 0 {
            scaled.checked_mul(10i128.checked_pow(places.unsigned_abs())?)?
        } else {
            let divisor = 10i128.checked_pow(places.unsigned_abs())?;
            scaled / divisor + i128::from(scaled % divisor != 0)
        };
        Some(Self { nanos: if negative { -nanos } else { nanos }, family })
    }

    /// Returns the value in billionths, for comparing.
    pub fn nanos(&self) -> i128 {
        self.nanos
    }

    pub fn canonical(&self) -> String {
        if self.nanos == 0 {
            return "0".to_owned();
        }
        let is_whole = self.nanos % NANO == 0;
        match self.family {
            Family::Binary if is_whole && self.nanos.abs() >= 1024 * NANO => {
                let (mut value, mut power) = (self.nanos / NANO, 0);
                while value % 1024 == 0 && power + 1 < BINARY.len() {
                    value /= 1024;
                    power += 1;
                }
                format!("{value}{}", BINARY[power])
            }
            family => {
                let (mut value, mut step) = (self.nanos, 0);
                while value % 1000 == 0 && step + 1 < DECIMAL.len() {
                    value /= 1000;
                    step += 1;
                }
                let (suffix, exponent) = DECIMAL[step];
                match (family, exponent) {
                    (Family::Exponent, 0) => value.to_string(),
                    (Family::Exponent, exponent) => format!("{value}e{exponent}"),
                    _ => format!("{value}{suffix}"),
                }
            }
        }
    }
}

/// Returns the family of a suffix, its power of ten, and its factor.
fn suffix_of(suffix: &str) -> Option<(Family, i32, i128)> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((Family::Decimal, *exponent, 1));
    }
    if let Some(power) = BINARY.iter().position(|name| *name == suffix) {
        return Some((Family::Binary, 0, 1024i128.checked_pow(u32::try_from(power).ok()?)?));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    (-30..=30).contains(&exponent).then_some((Family::Exponent, exponent, 1))
}

#[cfg(test)]
mod tests {
    use super::Quantity;

    #[test]
    fn quantities_take_their_canonical_form() {
        for (text, expect) in [
            ("0", "0"),
            ("0Mi", "0"),
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1.5", "1500m"),
            ("100000", "100k"),
            ("1500", "1500"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("512", "512"),
            ("1000Ki", "1000Ki"),
            ("1Ki", "1Ki"),
            ("0.5Ki", "512"),
            ("0.0001Ki", "102400u"),
            ("1e3", "1e3"),
            ("1500e0", "1500"),
            ("0.1n", "1n"),
            ("-0.1n", "-1n"),
            (".5", "500m"),
            ("5.", "5"),
            ("+1", "1"),
            ("007", "7"),
            ("8Ei", "8Ei"),
        ] {
            assert_eq!(Quantity::parse(text).expect(text).canonical(), expect, "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_quantities() {
        for text in ["", "x", "1x", "1.2.3", "1 Gi", "1gi", "--1", ".", "1e", "1e99"] {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
    }
}
