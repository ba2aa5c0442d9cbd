//! Adding up what nodes have.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
const DECIMAL: [(&str, i32); 8] = [("m", 0), ("", 3), ("k", 6), ("M", 9), ("G", 12), ("T", 15), ("P", 18), ("E", 21)];

/// Adds resources by name; a value that is no quantity is left out.
pub fn add(into: &mut BTreeMap<String, Quantity>, from: &BTreeMap<String, Quantity>) {
    for (name, quantity) in from {
        match into.get_mut(name) {
            None => {
                into.insert(name.clone(), quantity.clone());
            }
            Some(sum) => {
                if let (Some(a), Some(b)) = (thousandths(&sum.0), thousandths(&quantity.0)) {
                    *sum = Quantity(text(a + b, sum.0.ends_with('i') && quantity.0.ends_with('i')));
                }
            }
        }
    }
}

/// Reads a quantity in thousandths.
fn thousandths(text: &str) -> Option<i128> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || "+-.".contains(c))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction: String = fraction.chars().chain("000".chars()).take(3).collect();
    let sign = if whole.starts_with('-') { -1 } else { 1 };
    let base = whole.parse::<i128>().ok()? * 1000 + sign * fraction.parse::<i128>().ok()?;
    if let Some((_, shift)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return base.checked_mul(1 << shift);
    }
    let (_, exponent) = DECIMAL.iter().find(|(name, _)| *name == suffix)?;
    match exponent {
        0 => Some(base / 1000),
        exponent => base.checked_mul(10i128.pow((exponent - 3).unsigned_abs())),
    }
}

fn text(thousandths: i128, is_binary: bool) -> String {
    if thousandths % 1000 != 0 {
        return format!("{thousandths}m");
    }
    let whole = thousandths / 1000;
    if is_binary
        && let Some((name, shift)) = BINARY.iter().rev().find(|(_, shift)| whole % (1 << shift) == 0)
        && whole != 0
    {
        return format!("{}{name}", whole >> shift);
    }
    whole.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_of_different_units_add_up() {
        for (a, b, expect) in [
            ("4", "2", "6"),
            ("1500m", "1", "2500m"),
            ("500m", "500m", "1"),
            ("0.5", "0.25", "750m"),
            ("16Gi", "16Gi", "32Gi"),
            ("16384Ki", "1Mi", "17Mi"),
            ("1M", "1Ki", "1001024"),
            ("110", "110", "220"),
        ] {
            let mut sum = BTreeMap::from([("r".to_owned(), Quantity(a.into()))]);
            add(&mut sum, &BTreeMap::from([("r".to_owned(), Quantity(b.into()))]));
            assert_eq!(sum["r"].0, expect, "{a} + {b}");
        }
    }
}
