//! Whether a cluster's taints are tolerated, and until when.

use api::cluster::{Taint, TaintEffect, Toleration};
use jiff::{SignedDuration, Timestamp};

use crate::Misconfigured;

pub struct Tolerations(Vec<Rule>);

struct Rule {
    /// None matches every key.
    key: Option<String>,
    /// None matches every value.
    value: Option<String>,
    effect: Option<TaintEffect>,
    seconds: Option<i64>,
}

pub enum Verdict {
    Tolerated {
        /// When it ends, if a toleration has an end.
        until: Option<Timestamp>,
    },
    Not {
        key: String,
        effect: TaintEffect,
    },
}

impl Tolerations {
    pub fn parse(tolerations: &[Toleration]) -> Result<Self, Misconfigured> {
        let rules = tolerations.iter().enumerate().map(|(i, t)| parse(t, &format!("spec.tolerations[{i}]")));
        Ok(Self(rules.collect::<Result<_, _>>()?))
    }

    /// Returns whether all taints of a cluster are tolerated.
    pub fn check(&self, taints: &[Taint], is_selected: bool, now: Timestamp) -> Verdict {
        let mut until = None;
        for taint in taints {
            // As ocm plugins/tainttoleration: PreferNoSelect never keeps a cluster out,
            // NoSelectIfNew never takes it away.
            let has_effect = match taint.effect {
                TaintEffect::NoSelect => true,
                TaintEffect::NoSelectIfNew => !is_selected,
                TaintEffect::PreferNoSelect => false,
            };
            if !has_effect {
                continue;
            }
            match self.tolerates(taint, now) {
                None => return Verdict::Not { key: taint.key.clone(), effect: taint.effect },
                Some(end) => crate::look_again(&mut until, end),
            }
        }
        Verdict::Tolerated { until }
    }

    /// Returns until when the taint is tolerated (`Some(None)`: for good), or nothing.
    fn tolerates(&self, taint: &Taint, now: Timestamp) -> Option<Option<Timestamp>> {
        let mut longest: Option<Timestamp> = None;
        for rule in self.0.iter().filter(|rule| rule.matches(taint)) {
            let Some(seconds) = rule.seconds else { return Some(None) };
            // A taint without a time has been there from the beginning.
            let Some(added) = &taint.time_added else { continue };
            let end = added.0.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
            longest = longest.max(Some(end));
        }
        longest.filter(|end| *end > now).map(Some)
    }
}

impl Rule {
    fn matches(&self, taint: &Taint) -> bool {
        self.key.as_ref().is_none_or(|key| *key == taint.key)
            && self.effect.is_none_or(|effect| effect == taint.effect)
            && self.value.as_deref().is_none_or(|value| value == taint.value.as_deref().unwrap_or_default())
    }
}

fn parse(toleration: &Toleration, path: &str) -> Result<Rule, Misconfigured> {
    let key = toleration.key.clone().filter(|k| !k.is_empty());
    let value = toleration.value.clone().unwrap_or_default();
    let value = match toleration.operator.as_deref().unwrap_or("Equal") {
        "Exists" if value.is_empty() => None,
        "Exists" => return Err(Misconfigured::new(format!("{path}.value"), "must be empty for operator Exists")),
        "Equal" | "" if key.is_none() => return Err(Misconfigured::new(format!("{path}.operator"), "must be Exists where key is empty")),
        "Equal" | "" => Some(value),
        other => {
            let problem = format!("is {other:?}: one of Equal, Exists is needed");
            return Err(Misconfigured::new(format!("{path}.operator"), problem));
        }
    };
    Ok(Rule { key, value, effect: toleration.effect, seconds: toleration.toleration_seconds })
}
