//! A client that does seeded random things and writes down what it was answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use store::Store;

use super::model::{Op, State};
use super::random::Random;
use super::space::{Filter, KINDS, Key, Texts};

/// An answer, and the store's revision before the question and after it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    pub body: Value,
    pub lo: u64,
    pub hi: u64,
}

/// One thing a client did.
#[derive(Clone, Debug)]
pub enum Record {
    Write {
        who: String,
        key: Key,
        op: Op,
        answer: Answer,
    },
    Get {
        key: Key,
        answer: Answer,
    },
    /// A list page by page; the last may be a refusal.
    List {
        kind: super::space::Kind,
        filter: Filter,
        limit: usize,
        pages: Vec<Answer>,
    },
    DeleteCollection {
        kind: super::space::Kind,
        filter: Filter,
        answer: Answer,
    },
}

/// How to ask the server.
#[derive(Clone)]
pub struct Asker {
    pub http: kube::Client,
    pub store: Arc<dyn Store>,
}

impl Asker {
    pub async fn ask(&self, method: &str, url: &str, media: &str, body: Vec<u8>) -> Answer {
        let request = Request::builder().method(method).uri(url).header("content-type", media).header("user-agent", "history/1");
        let request = request.body(kube::client::Body::from(body)).expect("a request");
        let lo = self.store.revision();
        let response = self.http.send(request).await.unwrap_or_else(|error| panic!("{method} {url}: {error}"));
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap_or_else(|error| panic!("{method} {url}: {error}")).to_bytes();
        let hi = self.store.revision();
        let body = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{method} {url}: {error}: {body:?}"));
        Answer { code, body, lo, hi }
    }
}

pub struct Client {
    pub name: String,
    pub asker: Asker,
    pub random: Random,
    /// What the client saw last.
    seen: BTreeMap<Key, (u64, State)>,
    /// Virtual time between operations; on a wall clock nobody waits.
    pub pauses: bool,
    count: usize,
}

impl Client {
    pub fn new(name: String, asker: Asker, random: Random, pauses: bool) -> Self {
        Self { name, asker, random, seen: BTreeMap::new(), pauses, count: 0 }
    }

    pub async fn run(mut self, operations: usize) -> Vec<Record> {
        let mut records = Vec::new();
        for _ in 0..operations {
            if self.pauses {
                tokio::time::sleep(Duration::from_millis(self.random.below(20_000))).await;
            }
            records.push(self.act().await);
            self.count += 1;
        }
        records
    }

    async fn act(&mut self) -> Record {
        match self.random.below(100) {
            0..10 => {
                let key = self.random.key();
                let answer = self.asker.ask("GET", &key.url(), "", Vec::new()).await;
                self.note(&key, &answer);
                Record::Get { key, answer }
            }
            10..20 => self.list().await,
            20..22 => {
                let (kind, mut filter) = (self.random.pick(&KINDS), self.random.filter());
                let namespace = filter.namespace.get_or_insert_with(|| "left".into()).clone();
                let url = format!("{}?{}", kind.url(Some(&namespace), None), filter.query());
                let answer = self.asker.ask("DELETE", &url, "application/json", Vec::new()).await;
                Record::DeleteCollection { kind, filter, answer }
            }
            _ => self.write().await,
        }
    }

    async fn list(&mut self) -> Record {
        let (kind, filter) = (self.random.pick(&KINDS), self.random.filter());
        let limit = self.random.pick(&[0, 1, 2, 3]);
        let base = format!("{}?limit={limit}{}", kind.url(filter.namespace.as_deref(), None), filter.query());
        let mut pages: Vec<Answer> = Vec::new();
        let mut url = base.clone();
        loop {
            let page = self.asker.ask("GET", &url, "", Vec::new()).await;
            let token = page.body["metadata"]["continue"].as_str().map(str::to_owned);
            let is_last = page.code != 200 || token.is_none();
            pages.push(page);
            if is_last {
                return Record::List { kind, filter, limit, pages };
            }
            url = format!("{base}&continue={}", token.unwrap_or_default());
            if self.pauses {
                tokio::time::sleep(Duration::from_millis(self.random.below(5_000))).await;
            }
        }
    }

    async fn write(&mut self) -> Record {
        let key = self.random.key();
        let stamp = format!("{}-{}", self.name, self.count);
        let manager = format!("fieldManager={}", self.name);
        let (op, answer) = match self.random.below(100) {
            0..22 => {
                let (labels, mut values) = (self.random.labels(), self.random.values());
                values.insert("op".into(), stamp);
                let finalizers = self.random.finalizers(30);
                let mut body = key.kind.object(&key, &labels, &values);
                body["metadata"]["finalizers"] = json!(finalizers);
                let url = format!("{}?{manager}", key.kind.url(Some(&key.namespace), None));
                let answer = self.asker.ask("POST", &url, "application/json", body.to_string().into()).await;
                (Op::Create { labels, values, finalizers }, answer)
            }
            22..37 => self.put(&key, &stamp, &manager).await,
            37..52 => self.merge(&key, &stamp, &manager).await,
            52..60 => {
                let test = self.random.chance(60).then(|| (self.random.pick(&["k0", "k1"]).to_owned(), self.random.below(3).to_string()));
                let set = ("op".to_owned(), stamp);
                let path = key.kind.values();
                let mut body = vec![json!({"op": "add", "path": format!("{path}/{}", set.0), "value": set.1})];
                if let Some((name, value)) = &test {
                    body.insert(0, json!({"op": "test", "path": format!("{path}/{name}"), "value": value}));
                }
                let url = format!("{}?{manager}", key.url());
                let answer = self.asker.ask("PATCH", &url, "application/json-patch+json", json!(body).to_string().into()).await;
                (Op::JsonPatch { test, set }, answer)
            }
            60..80 => {
                let (labels, values) = (self.random.labels(), self.random.values());
                let (manager, is_forced) = (self.random.pick(&["team-a", "team-b", "team-c"]).to_owned(), self.random.chance(40));
                let body = key.kind.object(&key, &labels, &values);
                let url = format!("{}?fieldManager={manager}&force={is_forced}", key.url());
                let answer = self.asker.ask("PATCH", &url, "application/apply-patch+yaml", body.to_string().into()).await;
                (Op::Apply { manager, labels, values, is_forced }, answer)
            }
            80..86 if key.kind.counts_generations() => {
                let values = Texts::from([(self.random.pick(&["s0", "s1"]).to_owned(), self.random.below(3).to_string())]);
                let body =
                    json!({"metadata": {"labels": {"color": "grey"}}, "spec": {"values": {"k0": "9"}}, "status": {"values": values}});
                let url = format!("{}/status?{manager}", key.url());
                let answer = self.asker.ask("PATCH", &url, "application/merge-patch+json", body.to_string().into()).await;
                (Op::Status { values }, answer)
            }
            _ => self.delete(&key).await,
        };
        self.note(&key, &answer);
        Record::Write { who: self.name.clone(), key, op, answer }
    }

    async fn put(&mut self, key: &Key, stamp: &str, manager: &str) -> (Op, Answer) {
        let (seen, base) = self.seen.get(key).cloned().unwrap_or_default();
        let (mut labels, mut values) = (base.labels.clone(), base.values.clone());
        labels.insert("app".into(), "history".into());
        if self.random.chance(50) {
            labels = self.random.labels();
        }
        if self.random.chance(50) {
            values = self.random.values();
        }
        values.insert("base".into(), "1".into());
        values.insert("op".into(), stamp.into());
        let finalizers = if self.random.chance(50) { base.finalizers.clone() } else { self.random.finalizers(30) };
        let revision = (seen > 0 && self.random.chance(60)).then_some(seen);
        let uid = (seen > 0 && self.random.chance(50)).then_some(base.uid);
        let mut body = key.kind.object(key, &labels, &values);
        body["metadata"]["finalizers"] = json!(finalizers);
        if let Some(revision) = revision {
            body["metadata"]["resourceVersion"] = json!(revision.to_string());
        }
        if let Some(uid) = &uid {
            body["metadata"]["uid"] = json!(uid);
        }
        let answer = self.asker.ask("PUT", &format!("{}?{manager}", key.url()), "application/json", body.to_string().into()).await;
        (Op::Put { uid, revision, labels, values, finalizers }, answer)
    }

    async fn merge(&mut self, key: &Key, stamp: &str, manager: &str) -> (Op, Answer) {
        let mut labels = BTreeMap::new();
        if self.random.chance(50) {
            labels.insert("color".to_owned(), self.random.pick(&[None, Some("red"), Some("blue")]).map(str::to_owned));
        }
        let mut values = BTreeMap::from([("op".to_owned(), Some(stamp.to_owned()))]);
        if self.random.chance(60) {
            values.insert(
                self.random.pick(&["k0", "k1", "k2"]).to_owned(),
                self.random.pick(&[None, Some("0"), Some("2")]).map(str::to_owned),
            );
        }
        let releases = self.random.chance(30);
        let revision = self.seen.get(key).map(|(r, _)| *r).filter(|r| *r > 0 && self.random.chance(30));
        let mut body = match key.kind {
            super::space::Kind::ConfigMap => json!({"metadata": {"labels": labels}, "data": values}),
            super::space::Kind::Gadget => json!({"metadata": {"labels": labels}, "spec": {"values": values}}),
        };
        if releases {
            body["metadata"]["finalizers"] = Value::Null;
        }
        if let Some(revision) = revision {
            body["metadata"]["resourceVersion"] = json!(revision.to_string());
        }
        let url = format!("{}?{manager}", key.url());
        let answer = self.asker.ask("PATCH", &url, "application/merge-patch+json", body.to_string().into()).await;
        (Op::Merge { revision, labels, values, releases }, answer)
    }

    async fn delete(&mut self, key: &Key) -> (Op, Answer) {
        let seen = self.seen.get(key).cloned().filter(|(revision, _)| *revision > 0);
        let uid = seen.as_ref().filter(|_| self.random.chance(40)).map(|(_, s)| s.uid.clone());
        let revision = seen.as_ref().filter(|_| self.random.chance(40)).map(|(r, _)| *r);
        let mut preconditions = json!({});
        if let Some(uid) = &uid {
            preconditions["uid"] = json!(uid);
        }
        if let Some(revision) = revision {
            preconditions["resourceVersion"] = json!(revision.to_string());
        }
        let body = json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": preconditions});
        let answer = self.asker.ask("DELETE", &key.url(), "application/json", body.to_string().into()).await;
        (Op::Delete { uid, revision }, answer)
    }

    fn note(&mut self, key: &Key, answer: &Answer) {
        if let Some(revision) = answer.body["metadata"]["resourceVersion"].as_str().and_then(|r| r.parse().ok()) {
            self.seen.insert(key.clone(), (revision, State::of(key.kind, &answer.body)));
        }
    }
}
