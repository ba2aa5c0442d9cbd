//! How long to wait before trying again.

use api::argo::RetryStrategy;
use jiff::SignedDuration;

// As Argo CD: common.DefaultRetryDuration and its neighbours.
const DURATION: SignedDuration = SignedDuration::from_secs(5);
const FACTOR: i64 = 2;
const DURATION_MAX: SignedDuration = SignedDuration::from_secs(180);
/// Tries of an automated sync whose Application says nothing.
pub(crate) const AUTOMATED_LIMIT: i64 = 5;

/// Reads a Go duration (`1m30s`, `500ms`) or a bare number of seconds.
pub fn parse_duration(text: &str) -> Option<SignedDuration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<i64>() {
        return Some(SignedDuration::from_secs(seconds));
    }
    let mut rest = text;
    let mut millis = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        millis += number
            * match &rest[..unit] {
                "ms" => 1.0,
                "s" => 1_000.0,
                "m" => 60_000.0,
                "h" => 3_600_000.0,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    // No back-off is longer than a year.
    (!text.is_empty() && millis < 3.2e10).then(|| SignedDuration::from_millis(millis as i64))
}

/// Returns how long to wait before the try after `count` retries: `min(max, duration * factor^count)`.
pub(crate) fn wait(strategy: Option<&RetryStrategy>, count: i64) -> SignedDuration {
    let backoff = strategy.and_then(|s| s.backoff.as_ref());
    let read = |text: Option<&String>, default| text.and_then(|t| parse_duration(t)).unwrap_or(default);
    let duration = read(backoff.and_then(|b| b.duration.as_ref()), DURATION);
    let longest = read(backoff.and_then(|b| b.max_duration.as_ref()), DURATION_MAX);
    let factor = backoff.and_then(|b| b.factor).filter(|f| *f > 0).unwrap_or(FACTOR);
    let times = factor.saturating_pow(u32::try_from(count).unwrap_or(u32::MAX).min(62));
    let seconds = (duration.as_millis() as i64).saturating_mul(times);
    SignedDuration::from_millis(seconds).min(longest)
}

/// Returns whether another try is allowed after `count` retries.
pub(crate) fn is_allowed(strategy: Option<&RetryStrategy>, count: i64) -> bool {
    let limit = strategy.and_then(|s| s.limit).unwrap_or(0);
    limit < 0 || count < limit
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::argo::Backoff;

    #[test]
    fn durations_are_gos() {
        let read = |text: &str| parse_duration(text).map(|d| d.as_millis());
        assert_eq!(
            [read("5s"), read("1m30s"), read("1.5h"), read("250ms"), read("7"), read("soon"), read("")],
            [Some(5_000), Some(90_000), Some(5_400_000), Some(250), Some(7_000), None, None]
        );
    }

    #[test]
    fn waits_grow_up_to_a_limit() {
        let seconds = |s: Option<&RetryStrategy>| (0..7).map(|n| wait(s, n).as_secs()).collect::<Vec<_>>();
        assert_eq!(seconds(None), [5, 10, 20, 40, 80, 160, 180]);
        let backoff = Backoff { duration: Some("1s".into()), factor: Some(10), max_duration: Some("2m".into()) };
        let strategy = RetryStrategy { limit: Some(2), backoff: Some(backoff), refresh: None };
        assert_eq!(seconds(Some(&strategy))[..4], [1, 10, 100, 120]);
        assert_eq!([0, 1, 2].map(|n| is_allowed(Some(&strategy), n)), [true, true, false]);
        assert!(is_allowed(Some(&RetryStrategy { limit: Some(-1), ..Default::default() }), 1000) && !is_allowed(None, 0));
        assert_eq!(wait(Some(&RetryStrategy::default()), 1_000_000).as_secs(), 180);
    }
}
