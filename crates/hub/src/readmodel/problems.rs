//! `GET /muster/v1/problems`: what is wrong, by cause.

use api::hub::{Page, Problem};
use apimachinery::status::Status;
use apiserver::Body;
use http::Response;
use jiff::Timestamp;
use overview::Symptom;

use super::index::{Entry, Inner};
use super::params::Params;
use super::{Question, filter};
use crate::endpoints;

pub async fn problems(asked: &Question<'_>) -> Result<Response<Body>, Status> {
    let known: Vec<&str> = filter::KNOWN.into_iter().chain(["app", "kind", "severity", "limit", "continue"]).collect();
    let params = Params::parse(asked.query, &known)?;
    let wanted = filter::Filter::new(&params)?;
    let (limit, start) = (params.limit()?, params.start()?);
    let now = asked.now();
    let page = asked
        .read(|inner| {
            let found = wanted.find(asked, inner);
            let symptoms = found.clusters.iter().flat_map(|(name, entry)| entry.symptoms.iter().map(move |s| (*name, s)));
            let mut all = overview::group(symptoms, now);
            all.retain(|p| {
                params.admits("app", &p.app)
                    && params.admits("kind", &p.kind)
                    && params.admits("severity", p.severity.as_str())
                    && params.admits("problem", &p.id)
            });
            let total = all.len();
            let items: Vec<Problem> = all.into_iter().skip(start).take(limit).collect();
            let next = (start + limit < total).then(|| (start + limit).to_string());
            Page { items, total: total as u64, next, hidden: found.hidden, as_of: Some(now), ..Page::default() }
        })
        .await;
    Ok(endpoints::json(&page))
}

/// Groups the symptoms that are wanted, of all clusters that may be seen.
pub fn grouped(asked: &Question<'_>, inner: &Inner, now: Timestamp, is_wanted: impl Fn(&Entry, &Symptom) -> bool) -> Vec<Problem> {
    let seen = inner.clusters().filter(|(name, _)| asked.viewer.sees(name));
    let symptoms = seen.flat_map(|(name, entry)| entry.symptoms.iter().map(move |symptom| (name, entry, symptom)));
    overview::group(symptoms.filter(|(_, entry, symptom)| is_wanted(entry, symptom)).map(|(name, _, symptom)| (name, symptom)), now)
}
