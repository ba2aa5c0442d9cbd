//! Who is handed what, and what becomes of the slow.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use store::{Change, Durability, Expect, MemoryStore, Retention, Store, Template, Write};

use super::*;

struct Fixture {
    store: Arc<dyn Store>,
    watches: Arc<Watches>,
}

impl Fixture {
    fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Retention::unbounded()));
        let watches = Arc::new(Watches::default());
        let subscriber = watches.clone();
        store.subscribe(Box::new(move |events| subscriber.publish(events)));
        Self { store, watches }
    }

    async fn write(&self, namespace: &str, name: &str, label: &str) {
        let object = serde_json::json!({"metadata": {"name": name, "labels": {"app": label}}});
        let change = Change::Put(Template::plain(object.to_string()));
        let key = keys::object("", "configmaps", namespace, name);
        let write = Write { key, expect: Expect::Anything, change, durability: Durability::Durable };
        self.store.write(write).await.expect("memory takes everything");
    }

    fn watch(&self, filter: Filter, after: Revision) -> Subscription {
        let prefix = keys::resource_prefix("", "configmaps");
        self.watches.topic(&prefix).subscribe(&*self.store, &prefix, filter, after).expect("nothing is compacted")
    }
}

fn filter(namespace: &str, name: Option<&str>, labels: Option<&str>) -> Filter {
    let labels = labels.map(|text| apimachinery::selector::LabelSelector::parse(text).expect("a selector"));
    Filter { namespace: namespace.into(), name: name.map(str::to_owned), labels, fields: None }
}

/// Returns the keys a watcher was handed, oldest first.
fn handed(subscription: &mut Subscription) -> Vec<String> {
    let mut seen: Vec<_> = std::mem::take(&mut subscription.history);
    while let Ok(delivery) = subscription.receiver.try_recv() {
        seen.push(delivery);
    }
    let key = |(_, event): &(Told, Arc<WatchEvent>)| event.event.entry.key.trim_start_matches("/core/configmaps/").to_owned();
    seen.iter().map(key).collect()
}

fn options() -> StreamOptions {
    StreamOptions {
        initial: Vec::new(),
        marks_initial_end: false,
        initial_revision: 0,
        bookmarks: false,
        timeout: Duration::from_secs(60),
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        form: super::Form::Stored,
    }
}

#[tokio::test]
async fn every_watcher_is_handed_what_its_filter_admits() {
    let fixture = Fixture::new();
    fixture.write("a", "x", "web").await;
    let mut all = fixture.watch(filter("", None, None), 0);
    let mut namespace = fixture.watch(filter("a", None, None), 0);
    let mut object = fixture.watch(filter("a", Some("x"), None), 0);
    let mut anywhere = fixture.watch(filter("", Some("x"), None), 0);
    let mut labelled = fixture.watch(filter("", None, Some("app=web")), 0);
    for (namespace, name, label) in [("a", "y", "web"), ("b", "x", "db"), ("a", "x", "db"), ("a", "x", "db")] {
        fixture.write(namespace, name, label).await;
    }
    assert_eq!(handed(&mut all), ["a/x", "a/y", "b/x", "a/x", "a/x"]);
    assert_eq!(handed(&mut namespace), ["a/x", "a/y", "a/x", "a/x"]);
    assert_eq!(handed(&mut object), ["a/x", "a/x", "a/x"]);
    assert_eq!(handed(&mut anywhere), ["a/x", "b/x", "a/x", "a/x"]);
    // The object leaves the selector once; after that it is nobody's here.
    assert_eq!(handed(&mut labelled), ["a/x", "a/y", "a/x"]);
}

#[tokio::test]
async fn a_watcher_that_ends_leaves_nothing_behind() {
    let fixture = Fixture::new();
    let filters = [filter("", None, None), filter("a", None, None), filter("a", Some("x"), None), filter("", None, Some("app=web"))];
    let mut first: Vec<_> = filters.iter().map(|f| fixture.watch(f.clone(), 0)).collect();
    let second: Vec<_> = filters.iter().map(|f| fixture.watch(f.clone(), 0)).collect();
    drop(second);
    fixture.write("a", "x", "web").await;
    for subscription in &mut first {
        assert_eq!(handed(subscription), ["a/x"]);
    }
    drop(first);
    assert_eq!(fixture.watches.count(), 0);
}

#[tokio::test]
async fn a_slow_watcher_is_cut_off_with_410_and_loses_nothing_before() {
    let fixture = Fixture::new();
    let slow = fixture.watch(filter("", None, None), 0);
    let mut other = fixture.watch(filter("a", Some("last"), None), 0);
    for n in 0..EVENTS_BEHIND_MAX + 50 {
        fixture.write("a", &format!("n{n}"), "web").await;
    }
    fixture.write("a", "last", "web").await;
    let chunks: Vec<_> = stream(slow, fixture.watches.clone(), options(), std::future::pending()).collect().await;
    let text: String = chunks.iter().map(|chunk| String::from_utf8_lossy(chunk).into_owned()).collect();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), EVENTS_BEHIND_MAX + 1);
    for (n, line) in lines[..EVENTS_BEHIND_MAX].iter().enumerate() {
        assert!(line.starts_with("{\"type\":\"ADDED\"") && line.contains(&format!("\"n{n}\"")), "{line}");
    }
    let end: serde_json::Value = serde_json::from_str(lines[EVENTS_BEHIND_MAX]).expect("JSON");
    assert_eq!((&end["type"], &end["object"]["code"]), (&"ERROR".into(), &410.into()));
    assert_eq!(handed(&mut other), ["a/last"], "the slow one held up nobody");
}
