//! Rows in columns.

/// Returns rows under a header, each column as wide as it must be.
pub fn render(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| -> String {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("   ").trim_end().to_owned()
    };
    let mut lines = vec![line(header.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

/// Returns how long ago something was, in one unit.
pub fn ago(at: Option<jiff::Timestamp>, now: jiff::Timestamp) -> String {
    let Some(at) = at else { return "-".into() };
    match (now.as_second() - at.as_second()).max(0) {
        s if s < 120 => format!("{s}s"),
        s if s < 7_200 => format!("{}m", s / 60),
        s if s < 172_800 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    }
}

/// Returns a cell, `-` for nothing.
pub fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [vec!["a".to_owned(), "Synced".to_owned()], vec!["longer".to_owned(), "x".to_owned()]];
        assert_eq!(super::render(&["NAME", "SYNC"], &rows), "NAME     SYNC\na        Synced\nlonger   x");
    }
}
