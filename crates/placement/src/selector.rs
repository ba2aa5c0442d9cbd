//! Label selectors and claim selectors, understood once and matched often.

use std::collections::BTreeMap;

use api::LabelSelector;
use api::cluster::ClusterClaimSelector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;

/// A field that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct Misconfigured {
    pub field: String,
    pub problem: String,
}

impl Misconfigured {
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

/// All requirements must hold; none always do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    needs: Needs,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Needs {
    In(Vec<String>),
    /// Absent, or with another value.
    NotIn(Vec<String>),
    Exists,
    Absent,
}

impl Selector {
    /// Understands a label selector; none matches everything.
    pub fn from_labels(selector: Option<&LabelSelector>, path: &str) -> Result<Self, Misconfigured> {
        let Some(selector) = selector else { return Ok(Self::default()) };
        let mut all: Vec<Requirement> = selector
            .match_labels
            .iter()
            .flatten()
            .map(|(key, value)| Requirement { key: key.clone(), needs: Needs::In(vec![value.clone()]) })
            .collect();
        let expressions = selector.match_expressions.as_deref().unwrap_or_default();
        all.extend(parse_all(expressions, &format!("{path}.labelSelector"))?);
        Ok(Self(all))
    }

    /// Understands a claim selector; none matches everything.
    pub fn from_claims(selector: Option<&ClusterClaimSelector>, path: &str) -> Result<Self, Misconfigured> {
        let Some(selector) = selector else { return Ok(Self::default()) };
        Ok(Self(parse_all(&selector.match_expressions, &format!("{path}.claimSelector"))?))
    }

    pub fn matches<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|requirement| {
            let value = value_of(&requirement.key);
            match &requirement.needs {
                Needs::In(values) => value.is_some_and(|v| values.iter().any(|x| x == v)),
                Needs::NotIn(values) => value.is_none_or(|v| values.iter().all(|x| x != v)),
                Needs::Exists => value.is_some(),
                Needs::Absent => value.is_none(),
            }
        })
    }

    pub fn matches_labels(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        self.matches(|key| labels.and_then(|l| l.get(key)).map(String::as_str))
    }
}

fn parse_all(expressions: &[LabelSelectorRequirement], path: &str) -> Result<Vec<Requirement>, Misconfigured> {
    expressions.iter().enumerate().map(|(i, e)| parse(e, &format!("{path}.matchExpressions[{i}]"))).collect()
}

fn parse(expression: &LabelSelectorRequirement, path: &str) -> Result<Requirement, Misconfigured> {
    let values = expression.values.clone().unwrap_or_default();
    let needs = match (expression.operator.as_str(), values.is_empty()) {
        ("In" | "NotIn", true) => return Err(Misconfigured::new(format!("{path}.values"), "must not be empty for In and NotIn")),
        ("Exists" | "DoesNotExist", false) => {
            return Err(Misconfigured::new(format!("{path}.values"), "must be empty for Exists and DoesNotExist"));
        }
        ("In", false) => Needs::In(values),
        ("NotIn", false) => Needs::NotIn(values),
        ("Exists", true) => Needs::Exists,
        ("DoesNotExist", true) => Needs::Absent,
        (other, _) => {
            let problem = format!("is {other:?}: one of In, NotIn, Exists, DoesNotExist is needed");
            return Err(Misconfigured::new(format!("{path}.operator"), problem));
        }
    };
    Ok(Requirement { key: expression.key.clone(), needs })
}
