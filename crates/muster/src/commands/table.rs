//! Rows in columns.

/// Returns a text on one line. What clusters and repositories say has no way to a terminal's controls.
pub fn line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Returns a text whose lines are kept, and nothing else that controls a terminal.
pub fn lines(text: &str) -> String {
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Returns rows under a header, each column as wide as it must be; every cell is one line.
pub fn render(header: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| line(cell)).collect()).collect();
    let mut widths: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let padded = |cells: Vec<&str>| -> String {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("   ").trim_end().to_owned()
    };
    let mut lines = vec![padded(header.to_vec())];
    lines.extend(rows.iter().map(|row| padded(row.iter().map(String::as_str).collect())));
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

    #[test]
    fn what_clusters_say_does_not_control_the_terminal() {
        let cell = "\x1b[2Jgone\u{9b}31m\r\nnext\x07";
        assert_eq!(super::render(&["SAYS"], &[vec![cell.to_owned()]]), "SAYS\n [2Jgone 31m  next");
        assert_eq!(super::line(cell), " [2Jgone 31m  next ");
        assert_eq!(super::lines("a\x1b[2J\n\tb\r\n"), "a [2J\n b");
    }
}
