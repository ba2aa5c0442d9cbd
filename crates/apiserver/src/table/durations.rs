//! Durations for people.

use jiff::Timestamp;

/// Returns how long ago `at` was, as apimachinery `duration.HumanDuration`: two units at most.
pub fn since(at: Timestamp, now: Timestamp) -> String {
    human(now.as_second() - at.as_second())
}

/// Returns seconds as `45s`, `5m30s`, `3h20m`, `2d4h`, `12d`, `2y10d`.
pub fn human(seconds: i64) -> String {
    if seconds < -1 {
        return "<invalid>".into();
    }
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let both = |whole: i64, unit: &str, rest: i64, small: &str| match rest {
        0 => format!("{whole}{unit}"),
        rest => format!("{whole}{unit}{rest}{small}"),
    };
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => both(minutes, "m", seconds % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => both(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => both(days, "d", hours % 24, "h"),
        () if days < 365 * 2 => format!("{days}d"),
        () if days < 365 * 8 => both(days / 365, "y", days % 365, "d"),
        () => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn a_duration_has_two_units_at_most() {
        let shown: Vec<String> = [5, 119, 330, 3600, 12_600, 90_000, 200_000, 1_000_000, 70_000_000].into_iter().map(human).collect();
        assert_eq!(shown, ["5s", "119s", "5m30s", "60m", "3h30m", "25h", "2d7h", "11d", "2y80d"]);
    }
}
