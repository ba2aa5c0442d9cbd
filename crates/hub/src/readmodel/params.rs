//! Query parameters of the read model.

use std::collections::BTreeMap;

use apimachinery::status::Status;
use apimachinery::uri::percent_decode;

use super::{PAGE_DEFAULT, PAGE_MAX};

#[derive(Debug, Default)]
pub struct Params {
    /// Several values of one name are alternatives, apart by commas or repeated.
    named: BTreeMap<String, Vec<String>>,
}

impl Params {
    /// Reads a query; a name that is not in `known` is refused: a misspelt filter must not show everything.
    pub fn parse(query: &str, known: &[&str]) -> Result<Self, Status> {
        let mut params = Self::default();
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !known.contains(&name) {
                return Err(Status::bad_request(format!("query parameter {name:?} is not one of {}", known.join(", "))));
            }
            let value = percent_decode(value);
            let parts = value.split(',').filter(|v| !v.is_empty()).map(str::to_owned);
            params.named.entry(name.to_owned()).or_default().extend(parts);
        }
        Ok(params)
    }

    pub fn all(&self, name: &str) -> Option<&Vec<String>> {
        self.named.get(name).filter(|values| !values.is_empty())
    }

    pub fn one(&self, name: &str) -> Option<&str> {
        self.all(name).and_then(|values| values.last()).map(String::as_str)
    }

    /// Returns a value that may hold commas.
    pub fn whole(&self, name: &str) -> Option<String> {
        self.all(name).map(|values| values.join(","))
    }

    /// Whether a value is among those asked for, if any are.
    pub fn admits(&self, name: &str, value: &str) -> bool {
        self.all(name).is_none_or(|values| values.iter().any(|wanted| wanted == value))
    }

    pub fn limit(&self) -> Result<usize, Status> {
        let Some(text) = self.one("limit") else { return Ok(PAGE_DEFAULT) };
        let wrong = || Status::bad_request(format!("limit is {text:?}: a number from 1 to {PAGE_MAX} is needed"));
        text.parse::<usize>().ok().filter(|n| (1..=PAGE_MAX).contains(n)).ok_or_else(wrong)
    }

    /// Returns how many rows come before the page.
    pub fn start(&self) -> Result<usize, Status> {
        let Some(text) = self.one("continue") else { return Ok(0) };
        text.parse().map_err(|_| Status::bad_request(format!("the continuation {text:?} is not of this query; start again without it")))
    }

    /// Returns by what to sort and whether from the end.
    pub fn sort(&self, known: &[&'static str]) -> Result<(&'static str, bool), Status> {
        let text = self.one("sort").unwrap_or("name");
        let (word, is_descending) = text.strip_prefix('-').map_or((text, false), |word| (word, true));
        let found = known.iter().find(|name| **name == word);
        found
            .map(|name| (*name, is_descending))
            .ok_or_else(|| Status::bad_request(format!("sort {word:?} is not one of {}", known.join(", "))))
    }

    pub fn is_csv(&self) -> Result<bool, Status> {
        match self.one("format") {
            None | Some("json") => Ok(false),
            Some("csv") => Ok(true),
            Some(other) => Err(Status::bad_request(format!("format {other:?} is not one of json, csv"))),
        }
    }

    /// Returns the filters in effect, for people.
    pub fn describe(&self) -> String {
        let shown = self.named.iter().filter(|(name, _)| !matches!(name.as_str(), "format" | "limit" | "continue"));
        shown.map(|(name, values)| format!("{name}={}", values.join(","))).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_and_unknown_ones_refused() {
        let known = ["cluster", "search", "limit", "sort", "continue"];
        let params = Params::parse("cluster=a,b&cluster=c&search=x%20y+z&limit=3&sort=-set", &known).expect("known");
        assert_eq!(params.all("cluster").map(|v| v.join("|")).as_deref(), Some("a|b|c"));
        assert_eq!(params.one("search"), Some("x y z"));
        assert_eq!(params.limit().ok(), Some(3));
        assert_eq!(params.sort(&["name", "set"]).ok(), Some(("set", true)));
        assert!(params.sort(&["name"]).is_err());
        assert!(params.admits("cluster", "b") && !params.admits("cluster", "d") && params.admits("set", "any"));
        assert!(Params::parse("clutser=a", &["cluster"]).is_err());
        assert!(Params::parse("limit=0", &known).expect("known").limit().is_err());
        assert!(Params::parse("continue=zz", &known).expect("known").start().is_err());
    }
}
