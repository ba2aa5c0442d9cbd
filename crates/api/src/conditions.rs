//! Reading and setting conditions.
//!
//! A condition's `lastTransitionTime` moves only when its status does; setting a condition to what it
//! already says changes nothing, so that writing it again is no write.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

pub const TRUE: &str = "True";
pub const FALSE: &str = "False";
pub const UNKNOWN: &str = "Unknown";

/// Returns the condition of a type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == type_)
}

/// Returns whether a condition is there and `True`.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|c| c.status == TRUE)
}

/// Returns whether a condition is there and `False`.
pub fn is_false(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|c| c.status == FALSE)
}

/// What a condition should say, before it is known since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub type_: &'static str,
    pub status: &'static str,
    pub reason: &'static str,
    pub message: String,
    pub observed_generation: Option<i64>,
}

impl Said {
    pub fn new(type_: &'static str, status: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { type_, status, reason, message: message.into(), observed_generation: None }
    }

    pub fn at_generation(mut self, generation: Option<i64>) -> Self {
        self.observed_generation = generation;
        self
    }
}

/// Sets one condition and returns whether anything changed.
pub fn set(conditions: &mut Vec<Condition>, said: &Said, now: Timestamp) -> bool {
    let next = |since: Time| Condition {
        type_: said.type_.to_owned(),
        status: said.status.to_owned(),
        reason: said.reason.to_owned(),
        message: said.message.clone(),
        observed_generation: said.observed_generation,
        last_transition_time: since,
    };
    // Kubernetes' times have whole seconds.
    let now = Time(Timestamp::from_second(now.as_second()).unwrap_or(now));
    match conditions.iter_mut().find(|c| c.type_ == said.type_) {
        None => {
            conditions.push(next(now));
            true
        }
        Some(current) => {
            let since = if current.status == said.status { current.last_transition_time.clone() } else { now };
            let wanted = next(since);
            let changed = *current != wanted;
            *current = wanted;
            changed
        }
    }
}

/// Removes a condition and returns whether it was there.
pub fn remove(conditions: &mut Vec<Condition>, type_: &str) -> bool {
    let before = conditions.len();
    conditions.retain(|c| c.type_ != type_);
    conditions.len() != before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_time_moves_with_the_status_only() {
        let mut conditions = Vec::new();
        let at = |second| Timestamp::from_second(second).expect("in range");
        let said = Said::new("Ready", TRUE, "Fine", "");
        assert!(set(&mut conditions, &said, at(10)));
        assert!(!set(&mut conditions, &said, at(20)));
        assert!(set(&mut conditions, &Said { reason: "Better", ..said.clone() }, at(30)));
        assert_eq!(conditions[0].last_transition_time.0, at(10));
        assert!(set(&mut conditions, &Said { status: FALSE, ..said }, at(40)));
        assert_eq!(conditions[0].last_transition_time.0, at(40));
        assert!(is_false(&conditions, "Ready"));
        assert!(remove(&mut conditions, "Ready") && conditions.is_empty());
    }
}
