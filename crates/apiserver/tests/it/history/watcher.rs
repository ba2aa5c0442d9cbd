//! A watcher that opens one watch after the other and writes down what it was told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Request;
use http_body_util::BodyExt;
use serde_json::Value;

use super::client::Asker;
use super::random::Random;
use super::space::{Filter, KINDS, Kind};

/// How a watch began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// After this revision.
    At(u64),
    /// `resourceVersion=0`: what there is, then what happens.
    Any,
    /// `sendInitialEvents=true`: a list that says where it ends.
    Streamed,
}

/// One watch, from opening to end.
#[derive(Clone, Debug)]
pub struct Segment {
    pub kind: Kind,
    pub filter: Filter,
    pub start: Start,
    /// The store's revision before the request and when it was answered.
    pub lo: u64,
    pub hi: u64,
    pub code: u16,
    pub events: Vec<Told>,
    /// The server ended it, so nothing may be missing.
    pub is_whole: bool,
}

#[derive(Clone, Debug)]
pub struct Told {
    pub what: String,
    pub object: Value,
    /// The store's revision when it arrived.
    pub at: u64,
}

impl Told {
    pub fn revision(&self) -> Option<u64> {
        self.object["metadata"]["resourceVersion"].as_str()?.parse().ok()
    }
}

pub struct Watcher {
    pub asker: Asker,
    pub random: Random,
    pub begin: u64,
    pub is_over: Arc<AtomicBool>,
}

impl Watcher {
    pub async fn run(mut self) -> Vec<Segment> {
        let mut segments: Vec<Segment> = Vec::new();
        let (mut kind, mut filter) = (self.random.pick(&KINDS), self.random.filter());
        let mut resume = None;
        loop {
            if self.is_over.load(Ordering::Acquire) && !segments.is_empty() {
                return segments;
            }
            let start = match (resume.take(), self.random.below(10)) {
                (Some(revision), 0..7) => Start::At(revision),
                (_, random) => {
                    (kind, filter) = (self.random.pick(&KINDS), self.random.filter());
                    match random {
                        0..2 | 7 => Start::At(self.begin + self.random.below(self.asker.store.revision() - self.begin + 1)),
                        2..4 | 8 => Start::Any,
                        _ => Start::Streamed,
                    }
                }
            };
            let Some(segment) = self.watch(kind, filter.clone(), start).await else { return segments };
            resume = segment.events.iter().rev().find_map(|e| e.revision().filter(|_| e.what != "ERROR"));
            segments.push(segment);
            tokio::task::yield_now().await;
        }
    }

    async fn watch(&mut self, kind: Kind, filter: Filter, start: Start) -> Option<Segment> {
        let begin = match start {
            Start::At(revision) => format!("&resourceVersion={revision}"),
            Start::Any => "&resourceVersion=0".to_owned(),
            Start::Streamed => "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan".to_owned(),
        };
        let url = format!("{}?watch=1&allowWatchBookmarks=true{begin}{}", kind.url(filter.namespace.as_deref(), None), filter.query());
        let lo = self.asker.store.revision();
        let request = Request::get(&url).body(kube::client::Body::empty()).expect("a request");
        let response = match self.asker.http.send(request).await {
            Ok(response) => response,
            // A server that stops takes no new connection.
            Err(_) if self.is_over.load(Ordering::Acquire) => return None,
            Err(error) => panic!("GET {url}: {error}"),
        };
        let hi = self.asker.store.revision();
        let mut segment = Segment { kind, filter, start, lo, hi, code: response.status().as_u16(), events: Vec::new(), is_whole: false };
        let wanted = 1 + self.random.below(40) as usize;
        let mut body = response.into_body();
        let mut buffer = Vec::new();
        loop {
            let frame = match body.frame().await {
                None => {
                    segment.is_whole = true;
                    break;
                }
                Some(frame) => frame.unwrap_or_else(|error| panic!("GET {url}: {error}")),
            };
            let Ok(data) = frame.into_data() else { continue };
            let at = self.asker.store.revision();
            buffer.extend_from_slice(&data);
            while let Some(end) = buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                let event: Value = serde_json::from_slice(&line).unwrap_or_else(|error| panic!("GET {url}: {error}: {line:?}"));
                let what = event["type"].as_str().unwrap_or_default().to_owned();
                segment.events.push(Told { what, object: event["object"].clone(), at });
            }
            // A client that had enough goes away, but not when all is nearly said.
            if segment.events.len() >= wanted && !self.is_over.load(Ordering::Acquire) {
                break;
            }
        }
        assert!(!segment.is_whole || buffer.is_empty(), "GET {url}: a line is cut: {buffer:?}");
        Some(segment)
    }
}
