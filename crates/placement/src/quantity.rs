//! Resource quantities as numbers to compare.

/// Returns the value of `1500m`, `8Gi`, `2e3`; none if it is no quantity.
pub fn parse(text: &str) -> Option<f64> {
    let split = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let number: f64 = number.parse().ok()?;
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => f64::from(2u32.pow(10)),
        "Mi" => f64::from(2u32.pow(20)),
        "Gi" => f64::from(2u32.pow(30)),
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        "Ei" => 1024f64.powi(6),
        other => 10f64.powi(other.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    Some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn quantities_are_numbers() {
        for (text, value) in
            [("4", 4.0), ("1500m", 1.5), ("8Gi", 8.0 * 1024.0 * 1024.0 * 1024.0), ("2e3", 2000.0), ("1E", 1e18), (".5", 0.5)]
        {
            assert_eq!(parse(text), Some(value), "{text}");
        }
        for text in ["", "x", "4x", "--1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
