//! Cron schedules: five fields, names, steps, `@daily`; in any time zone.
//!
//! As the `robfig/cron` parser that Kubernetes uses: minutes, hours, days of month, months, days of week;
//! if both kinds of day are restricted either may match.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

/// A parsed schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    is_any_day: bool,
    is_any_weekday: bool,
    every: Option<SignedDuration>,
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

// A schedule that never matches (30 February) is given up after this, as robfig/cron does.
const YEARS_MOST: i16 = 5;

impl Schedule {
    /// Parses `*/5 8-18 * * mon-fri`, `@hourly` or `@every 1h30m`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(duration) = text.strip_prefix("@every ") {
            let every = crate::faults::duration(duration.trim()).ok_or_else(|| format!("failed to parse duration {duration:?}"))?;
            let nothing =
                Self { minutes: 0, hours: 0, days: 0, months: 0, weekdays: 0, is_any_day: true, is_any_weekday: true, every: None };
            return Ok(Self { every: Some(every.max(SignedDuration::from_secs(1))), ..nothing });
        }
        let expanded = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        let fields: Vec<&str> = expanded.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err(format!("expected exactly 5 fields, found {}: {text:?}", fields.len()));
        };
        let mut weekday_bits = parse_field(weekdays, 0, 7, &WEEKDAYS, 0)?;
        // 7 is Sunday, too.
        weekday_bits |= (weekday_bits >> 7) & 1;
        Ok(Self {
            minutes: parse_field(minutes, 0, 59, &[], 0)?,
            hours: parse_field(hours, 0, 23, &[], 0)?,
            days: parse_field(days, 1, 31, &[], 0)?,
            months: parse_field(months, 1, 12, &MONTHS, 1)?,
            weekdays: weekday_bits,
            is_any_day: days.starts_with(['*', '?']),
            is_any_weekday: weekdays.starts_with(['*', '?']),
            every: None,
        })
    }

    /// Returns the first time after `after` at which the schedule fires.
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if let Some(every) = self.every {
            return Timestamp::from_second(after.as_second()).ok().map(|t| t + every);
        }
        let local = zone.to_datetime(after);
        let mut date = local.date();
        let last_year = date.year() + YEARS_MOST;
        // Times of the first day that are past are skipped by comparing instants, so that a clock change is right.
        while date.year() <= last_year {
            if self.is_day(date)
                && let Some(found) = self.first_on(date, after, zone)
            {
                return Some(found);
            }
            date = date.checked_add(1.day()).ok()?;
        }
        None
    }

    fn is_day(&self, date: Date) -> bool {
        if self.months & (1 << date.month()) == 0 {
            return false;
        }
        let by_day = self.days & (1 << date.day()) != 0;
        let by_weekday = self.weekdays & (1 << date.weekday().to_sunday_zero_offset()) != 0;
        if self.is_any_day || self.is_any_weekday { by_day && by_weekday } else { by_day || by_weekday }
    }

    fn first_on(&self, date: Date, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let hours = (0..24i8).filter(|h| self.hours & (1 << h) != 0);
        let minutes: Vec<i8> = (0..60i8).filter(|m| self.minutes & (1 << m) != 0).collect();
        let times = hours.flat_map(|hour| minutes.iter().map(move |minute| (hour, *minute)));
        times
            .filter_map(|(hour, minute)| {
                let local = DateTime::from_parts(date, jiff::civil::time(hour, minute, 0, 0));
                zone.to_ambiguous_timestamp(local).compatible().ok()
            })
            .find(|at| *at > after)
    }
}

fn parse_field(field: &str, least: u32, most: u32, names: &[&str], names_from: u32) -> Result<u64, String> {
    let mut bits = 0u64;
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<u32>().ok().filter(|s| *s > 0).ok_or_else(|| bad(part))?),
            None => (part, 1),
        };
        let number = |text: &str| -> Result<u32, String> {
            let lower = text.to_lowercase();
            let named = names.iter().position(|n| *n == lower).map(|i| i as u32 + names_from);
            named.or_else(|| text.parse().ok()).filter(|n| (least..=most).contains(n)).ok_or_else(|| bad(part))
        };
        let (from, to) = match range.split_once('-') {
            _ if matches!(range, "*" | "?") => (least, if names == WEEKDAYS { 6 } else { most }),
            Some((from, to)) => (number(from)?, number(to)?),
            None if part.contains('/') => (number(range)?, most),
            None => (number(range)?, number(range)?),
        };
        if from > to {
            return Err(bad(part));
        }
        bits |= (from..=to).step_by(step as usize).fold(0, |bits, n| bits | 1 << n);
    }
    Ok(bits)
}

fn bad(part: &str) -> String {
    format!("failed to parse {part:?}: expected a number, a name, a range or a step within the field's bounds")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(schedule: &str, zone: &str, after: &str) -> String {
        let schedule = Schedule::parse(schedule).expect("a schedule");
        let zone = TimeZone::get(zone).expect("a zone");
        schedule.next_after(after.parse().expect("a time"), &zone).map_or("never".into(), |t| t.to_string())
    }

    #[test]
    fn a_schedule_fires_next_at() {
        assert_eq!(check("*/15 * * * *", "UTC", "2026-11-23T06:58:26Z"), "2026-11-23T07:00:00Z");
        assert_eq!(check("0 2 * * *", "America/Chicago", "2026-11-23T06:58:26Z"), "2026-11-23T08:00:00Z");
        assert_eq!(check("30 8 * * mon-fri", "UTC", "2026-11-20T09:00:00Z"), "2026-11-23T08:30:00Z");
        assert_eq!(check("0 0 13 * 5", "UTC", "2026-11-01T00:00:00Z"), "2026-11-06T00:00:00Z");
        assert_eq!(check("0 0 29 2 *", "UTC", "2026-03-01T00:00:00Z"), "2028-02-29T00:00:00Z");
        assert_eq!(check("0 0 30 2 *", "UTC", "2026-03-01T00:00:00Z"), "never");
        assert_eq!(check("@every 90s", "UTC", "2026-03-01T00:00:00.5Z"), "2026-03-01T00:01:30Z");
        assert_eq!(check("0 12 * * 7", "UTC", "2026-11-23T06:58:26Z"), "2026-11-29T12:00:00Z");
    }

    #[test]
    fn a_clock_change_neither_loses_nor_repeats_a_daily_time() {
        // 02:30 does not exist on 2026-03-08 in Chicago: it fires at what 02:30 would have been.
        assert_eq!(check("30 2 * * *", "America/Chicago", "2026-03-07T12:00:00Z"), "2026-03-08T08:30:00Z");
        assert_eq!(check("30 2 * * *", "America/Chicago", "2026-03-08T08:30:00Z"), "2026-03-09T07:30:00Z");
        // 01:30 exists twice on 2026-11-01: it fires at the first only.
        assert_eq!(check("30 1 * * *", "America/Chicago", "2026-11-01T06:30:00Z"), "2026-11-02T07:30:00Z");
    }

    #[test]
    fn a_bad_schedule_says_which_part() {
        assert!(Schedule::parse("61 * * * *").expect_err("bad").contains("\"61\""));
        assert!(Schedule::parse("* * * *").expect_err("bad").contains("found 4"));
        assert!(Schedule::parse("*/0 * * * *").expect_err("bad").contains("*/0"));
        assert!(Schedule::parse("@every soon").expect_err("bad").contains("soon"));
    }
}
