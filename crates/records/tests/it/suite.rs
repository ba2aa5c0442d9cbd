//! What all records must do.

use std::collections::BTreeMap;

use records::{Error, FRAMES_MAX, Frame, HistoryQuery, Query, Records, Sort, Source};

use crate::support::{appended, at, describe, event, intake, list, listed, report, with_facets};

/// Runs each function against each implementation.
macro_rules! suite {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let directory = tempfile::tempdir().unwrap();
                super::$name(&crate::support::open(directory.path())).await;
            })*
        }
    };
}

suite! {
    what_is_sent_twice_is_taken_once
    a_hole_stops_the_intake_before_it
    declared_gaps_are_acknowledged_and_visible
    an_older_incarnation_does_not_replace_a_newer
    a_new_incarnation_keeps_history
    deletions_are_tombstones_until_pruned
    complete_removes_what_was_not_reported_again
    events_are_history_only
    rows_say_where_they_come_from
    pages_are_stable_while_rows_change
    every_order_has_pages
    filters_and_counts_by_facets
    followers_see_every_change
    history_is_bounded
    streams_are_bounded
    a_forgotten_cluster_may_return
    bad_input_is_refused_with_its_name
    streams_of_many_clusters_do_not_mix
    commits_keep_their_distance
}

async fn what_is_sent_twice_is_taken_once(records: &dyn Records) {
    let first = || intake("c", "i1", [report(1, "app", "a", "1"), report(2, "app", "b", "2")]);
    assert_eq!(records.acknowledged("uid-c", "i1").await, Ok(0));
    assert_eq!(records.append(first()).await, Ok(appended(2, 2)));
    assert_eq!(records.append(first()).await, Ok(appended(2, 0)));
    let overlapping = intake("c", "i1", [report(2, "app", "b", "7"), report(3, "app", "a", "3")]);
    assert_eq!(records.append(overlapping).await, Ok(appended(3, 1)));
    assert_eq!(records.acknowledged("uid-c", "i1").await, Ok(3));
    assert_eq!(listed(records, "app").await, ["c a=3", "c b=2"]);
    let history = records.history(HistoryQuery { kind: "app".into(), ..HistoryQuery::default() }).await.unwrap();
    assert_eq!(history.iter().map(|past| past.source.sequence).collect::<Vec<_>>(), [3, 2, 1]);
}

async fn a_hole_stops_the_intake_before_it(records: &dyn Records) {
    let frames = [report(1, "app", "a", "1"), report(4, "app", "a", "4"), report(5, "app", "a", "5")];
    let outcome = records.append(intake("c", "i1", frames)).await.unwrap();
    assert_eq!((outcome.acknowledged, outcome.new, outcome.hole), (1, 1, Some((2, 3))));
    assert_eq!(listed(records, "app").await, ["c a=1"]);
}

async fn declared_gaps_are_acknowledged_and_visible(records: &dyn Records) {
    let gap = |from, to| Frame::Gap { from, to, reason: "Lost".into() };
    records.append(intake("c", "i1", [report(1, "app", "a", "1"), gap(2, 5), report(6, "app", "a", "6")])).await.unwrap();
    // The agent's second try knows of less: its gap has grown over what is here already.
    assert_eq!(records.append(intake("c", "i1", [gap(4, 8), report(9, "app", "a", "9")])).await, Ok(appended(9, 2)));
    let gaps = records.gaps("uid-c").await.unwrap();
    assert_eq!(gaps.iter().map(|gap| (gap.from, gap.to, &*gap.reason)).collect::<Vec<_>>(), [(2, 5, "Lost"), (7, 8, "Lost")]);
    let streams = records.streams().await.unwrap();
    assert_eq!((streams[0].acknowledged, streams[0].missing), (9, 6));
}

async fn an_older_incarnation_does_not_replace_a_newer(records: &dyn Records) {
    records.append(intake("c", "i1", [report(1, "app", "a", "1"), report(2, "app", "b", "1")])).await.unwrap();
    records.append(intake("c", "i2", [report(1, "app", "a", "2")])).await.unwrap();
    let late = intake("c", "i1", [report(3, "app", "a", "3"), report(4, "app", "b", "3")]);
    assert_eq!(records.append(late).await, Ok(appended(4, 2)), "it is acknowledged all the same");
    assert_eq!(listed(records, "app").await, ["c a=2", "c b=1"]);
}

async fn a_new_incarnation_keeps_history(records: &dyn Records) {
    records.append(intake("c", "i1", [report(1, "app", "a", "1"), report(2, "app", "b", "2")])).await.unwrap();
    records.append(intake("c", "i2", [])).await.unwrap();
    assert_eq!(listed(records, "app").await, ["c a=1", "c b=2"], "nothing is gone before it is reported gone");
    records.append(intake("c", "i2", [report(1, "app", "a", "3")])).await.unwrap();
    let query = HistoryQuery { kind: "app".into(), cluster_uid: Some("uid-c".into()), key: Some("a".into()), ..HistoryQuery::default() };
    let history = records.history(query).await.unwrap();
    let seen: Vec<_> = history.iter().map(|past| (&*past.source.incarnation, past.value.as_ref().unwrap().get())).collect();
    assert_eq!(seen, [("i2", "3"), ("i1", "1")]);
    let streams = records.streams().await.unwrap();
    let streams: Vec<_> = streams.iter().map(|stream| (&*stream.incarnation, stream.is_newest, stream.acknowledged)).collect();
    assert_eq!(streams, [("i1", false, 2), ("i2", true, 1)]);
}

async fn deletions_are_tombstones_until_pruned(records: &dyn Records) {
    let app = with_facets(report(1, "app", "a", "1"), &[("health", "Healthy")]);
    records.append(intake("c", "i1", [app, report(2, "app", "a", ""), report(3, "app", "never", "")])).await.unwrap();
    assert!(listed(records, "app").await.is_empty());
    let query = Query { includes_deleted: true, ..Query::of("app") };
    assert_eq!(describe(&list(records, query.clone()).await), ["c a=gone"]);
    assert!(records.get("app", "uid-c", "a").await.unwrap().unwrap().value.is_none());
    assert!(records.count_by(query.clone(), "health").await.unwrap().is_empty());
    assert_eq!(records.prune(at(1_000)).await.unwrap().deleted, 0);
    assert_eq!(records.prune(at(1_000 + 25 * 3600)).await.unwrap().deleted, 1);
    assert!(list(records, query).await.rows.is_empty());
    records.append(intake("c", "i1", [report(2, "app", "a", "2"), report(4, "app", "a", "4")])).await.unwrap();
    assert_eq!(listed(records, "app").await, ["c a=4"]);
}

async fn complete_removes_what_was_not_reported_again(records: &dyn Records) {
    let frames = [report(1, "app", "old", "1"), report(2, "app", "both", "1"), report(3, "pod", "p", "1")];
    records.append(intake("c", "i1", frames)).await.unwrap();
    records.append(intake("d", "i1", [report(1, "app", "other cluster", "1")])).await.unwrap();
    let complete = |sequence, since| Frame::Complete { sequence, kind: "app".into(), since };
    let frames = [report(1, "app", "both", "2"), report(2, "app", "new", "2"), complete(3, 1)];
    assert_eq!(records.append(intake("c", "i2", frames)).await, Ok(appended(3, 3)));
    assert_eq!(listed(records, "app").await, ["c both=2", "c new=2", "d other cluster=1"]);
    assert_eq!(listed(records, "pod").await, ["c p=1"]);
    // Within an incarnation, after a gap: what was reported before `since` is gone.
    records.append(intake("c", "i2", [report(4, "app", "both", "4"), complete(5, 4)])).await.unwrap();
    assert_eq!(listed(records, "app").await, ["c both=4", "d other cluster=1"]);
    // Of an older incarnation it means nothing any more.
    records.append(intake("c", "i1", [Frame::Complete { sequence: 4, kind: "app".into(), since: 4 }])).await.unwrap();
    assert_eq!(listed(records, "app").await, ["c both=4", "d other cluster=1"]);
}

async fn events_are_history_only(records: &dyn Records) {
    records.append(intake("c", "i1", [event(1, "e1"), event(2, "e2")])).await.unwrap();
    assert!(listed(records, "event").await.is_empty());
    let page = |before| HistoryQuery { kind: "event".into(), before, limit: 1, ..HistoryQuery::default() };
    let newest = records.history(page(None)).await.unwrap().remove(0);
    let older = records.history(page(Some(newest.id))).await.unwrap().remove(0);
    assert_eq!((&*newest.key, &*older.key), ("e2", "e1"));
    assert!(records.history(page(Some(older.id))).await.unwrap().is_empty());
}

async fn rows_say_where_they_come_from(records: &dyn Records) {
    records.append(intake("c", "i1", [report(1, "app", "a", r#"{"b": [1,  2]}"#)])).await.unwrap();
    let row = records.get("app", "uid-c", "a").await.unwrap().unwrap();
    assert_eq!(row.value.unwrap().get(), r#"{"b": [1,  2]}"#, "the value is the same bytes");
    let source = Source { incarnation: "i1".into(), sequence: 1, observed_at: at(1), received_at: at(1_000), skew_ms: Some(250) };
    assert_eq!(row.source, source);
    assert!(records.get("app", "uid-c", "b").await.unwrap().is_none());
    records.append(intake("renamed", "i1", [])).await.unwrap();
    assert_eq!(records.streams().await.unwrap()[0].skew_ms, Some(250));
}

async fn pages_are_stable_while_rows_change(records: &dyn Records) {
    for cluster in ["a", "a-b", "a.c", "b"] {
        let frames = (1..=5).map(|n| report(n, "app", &format!("k{n}"), "1"));
        records.append(intake(cluster, "i1", frames)).await.unwrap();
    }
    let mut query = Query { limit: 6, ..Query::of("app") };
    let mut seen = Vec::new();
    loop {
        let page = list(records, query.clone()).await;
        seen.extend(page.rows.iter().map(|row| (row.cluster.clone(), row.key.clone())));
        // Between pages a row behind is changed and one ahead goes.
        let sequence = 6 + seen.len() as u64;
        let frames = [Frame::Gap { from: 6, to: sequence - 1, reason: String::new() }, report(sequence, "app", "k1", "2")];
        records.append(intake("a", "i1", frames)).await.unwrap();
        records.append(intake("b", "i1", [report(6, "app", "k5", "")])).await.unwrap();
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    let mut expect = Vec::new();
    for cluster in ["a", "a-b", "a.c", "b"] {
        expect.extend((1..=5).map(|n| (cluster.to_string(), format!("k{n}"))));
    }
    expect.pop();
    assert_eq!(seen, expect);
}

async fn every_order_has_pages(records: &dyn Records) {
    let health = ["Healthy", "Degraded", "Progressing"];
    let frame = |n: u64| with_facets(report(n, "app", &format!("k{}", (n * 7) % 20), "1"), &[("health", health[n as usize % 3])]);
    records.append(intake("c", "i1", (1..=19).map(frame))).await.unwrap();
    for sort in
        [Sort::Cluster, Sort::Key, Sort::ObservedAt, Sort::ReceivedAt, Sort::Facet("health".into()), Sort::Facet("no'such\"".into())]
    {
        let whole = list(records, Query { sort: sort.clone(), ..Query::of("app") }).await;
        assert_eq!((whole.rows.len(), whole.total), (19, 19), "{sort:?}");
        for is_descending in [false, true] {
            let mut expect: Vec<_> = whole.rows.iter().map(|row| row.key.clone()).collect();
            if is_descending {
                expect.reverse();
            }
            let mut query = Query { sort: sort.clone(), is_descending, limit: 4, ..Query::of("app") };
            let mut seen = Vec::new();
            loop {
                let page = list(records, query.clone()).await;
                seen.extend(page.rows.into_iter().map(|row| row.key));
                query.after = page.next;
                if query.after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, expect, "{sort:?}, descending {is_descending}");
        }
    }
    let by_health = list(records, Query { sort: Sort::Facet("health".into()), ..Query::of("app") }).await;
    assert_eq!(by_health.rows[0].facets["health"], "Degraded");
    let by_time = list(records, Query { sort: Sort::ObservedAt, is_descending: true, ..Query::of("app") }).await;
    assert_eq!(by_time.rows[0].source.observed_at, at(19));
}

async fn filters_and_counts_by_facets(records: &dyn Records) {
    for (cluster, health) in [("c1", "Healthy"), ("c2", "Degraded"), ("c3", "Degraded")] {
        let frames = [
            with_facets(report(1, "app", "shop/till", "1"), &[("health", health), ("sync", "Synced")]),
            with_facets(report(2, "app", "shop/Menu", "1"), &[("health", "Healthy"), ("sync", "OutOfSync")]),
            with_facets(report(3, "pod", "shop/till", "1"), &[("health", health)]),
        ];
        records.append(intake(cluster, "i1", frames)).await.unwrap();
    }
    let health = |values: &[&str]| BTreeMap::from([("health".to_string(), values.iter().map(|value| value.to_string()).collect())]);
    let check = async |query, expect: &[&str]| assert_eq!(describe(&list(records, query).await), expect);
    let app = || Query::of("app");
    check(Query { facets: health(&["Degraded"]), ..app() }, &["c2 shop/till=1", "c3 shop/till=1"]).await;
    check(Query { facets: health(&["Degraded", "Missing"]), clusters: Some(vec!["c3".into()]), ..app() }, &["c3 shop/till=1"]).await;
    check(Query { clusters: Some(Vec::new()), ..app() }, &[]).await;
    check(Query { search: "MENU".into(), clusters: Some(vec!["c1".into(), "c9".into()]), ..app() }, &["c1 shop/Menu=1"]).await;
    check(Query { key_prefix: "shop/t".into(), facets: health(&["Healthy"]), ..app() }, &["c1 shop/till=1"]).await;
    check(Query { search: "100%_".into(), ..app() }, &[]).await;

    let count = async |query, facet| records.count_by(query, facet).await.unwrap().into_iter().collect::<Vec<_>>();
    assert_eq!(count(app(), "health").await, [("Degraded".into(), 2), ("Healthy".into(), 4)]);
    let synced = BTreeMap::from([("sync".to_string(), vec!["Synced".to_string()])]);
    assert_eq!(count(Query { facets: synced, ..app() }, "health").await, [("Degraded".into(), 2), ("Healthy".into(), 1)]);
    assert_eq!(count(Query { facets: health(&["Degraded"]), ..app() }, "health").await.len(), 2, "the facet itself is not filtered");

    let healed = with_facets(report(4, "app", "shop/till", "2"), &[("health", "Healthy")]);
    records.append(intake("c2", "i1", [healed])).await.unwrap();
    assert_eq!(count(app(), "health").await, [("Degraded".into(), 1), ("Healthy".into(), 5)]);
    assert_eq!(count(app(), "sync").await, [("OutOfSync".into(), 3), ("Synced".into(), 2)]);
}

async fn followers_see_every_change(records: &dyn Records) {
    let mut version = records.version();
    records.append(intake("c", "i1", [report(1, "app", "a", "1"), report(2, "app", "b", "1")])).await.unwrap();
    version.changed().await.unwrap();
    let seen = *version.borrow_and_update();
    assert_eq!(list(records, Query::of("app")).await.version, seen);
    records.append(intake("c", "i1", [report(3, "app", "a", ""), report(4, "app", "c", "1")])).await.unwrap();
    version.changed().await.unwrap();
    let changed = Query { changed_after: Some(seen), includes_deleted: true, ..Query::of("app") };
    assert_eq!(describe(&list(records, changed.clone()).await), ["c a=gone", "c c=1"]);
    let seen = *version.borrow_and_update();
    records.forget("uid-c", at(2_000)).await.unwrap();
    let changed = Query { changed_after: Some(seen), ..changed };
    assert_eq!(describe(&list(records, changed).await), ["c a=gone", "c b=gone", "c c=gone"]);
}

async fn history_is_bounded(records: &dyn Records) {
    records.append(intake("c", "i1", [event(1, "old")])).await.unwrap();
    let day = 24 * 3600;
    let later = records::Intake { received_at: at(5 * day), ..intake("c", "i1", [event(2, "new")]) };
    records.append(later).await.unwrap();
    assert_eq!(records.prune(at(8 * day)).await.unwrap().history, 1);
    let left = records.history(HistoryQuery { kind: "event".into(), ..HistoryQuery::default() }).await.unwrap();
    assert_eq!(left.iter().map(|past| &*past.key).collect::<Vec<_>>(), ["new"]);
}

async fn streams_are_bounded(records: &dyn Records) {
    for incarnation in ["i1", "i2", "i3", "i4", "i5"] {
        records.append(intake("c", incarnation, [event(1, incarnation)])).await.unwrap();
    }
    records.append(intake("d", "i1", [])).await.unwrap();
    assert_eq!(records.prune(at(1_000)).await.unwrap().streams, 2);
    let left = records.streams().await.unwrap();
    let left: Vec<_> = left.iter().map(|stream| (&*stream.cluster, &*stream.incarnation, stream.is_newest)).collect();
    assert_eq!(left, [("c", "i3", false), ("c", "i4", false), ("c", "i5", true), ("d", "i1", true)]);
}

async fn a_forgotten_cluster_may_return(records: &dyn Records) {
    let app = |sequence| with_facets(report(sequence, "app", "a", &sequence.to_string()), &[("health", "Healthy")]);
    records.append(intake("c", "i1", [app(1)])).await.unwrap();
    records.append(intake("c", "i2", [app(1), app(2), Frame::Gap { from: 3, to: 9, reason: String::new() }])).await.unwrap();
    records.forget("uid-c", at(2_000)).await.unwrap();
    assert!(records.streams().await.unwrap().is_empty());
    assert!(records.gaps("uid-c").await.unwrap().is_empty());
    assert!(records.count_by(Query::of("app"), "health").await.unwrap().is_empty());
    assert_eq!(records.append(intake("c", "i3", [app(1)])).await, Ok(appended(1, 1)));
    assert_eq!(listed(records, "app").await, ["c a=1"]);
    assert_eq!(records.count_by(Query::of("app"), "health").await.unwrap()["Healthy"], 1);
}

async fn bad_input_is_refused_with_its_name(records: &dyn Records) {
    let check = async |intake, expect: &str| {
        let Err(Error::Invalid(text)) = records.append(intake).await else { panic!("{expect}") };
        assert!(text.contains("cluster c") && text.contains(expect), "{text}");
    };
    check(intake("c", "", []), "incarnation must not be empty").await;
    check(intake("c", "i1", [report(0, "app", "a", "1")]), "sequences 0 to 0").await;
    check(intake("c", "i1", [Frame::Gap { from: 5, to: 4, reason: String::new() }]), "sequences 5 to 4").await;
    check(intake("c", "i1", (1..).take(FRAMES_MAX + 1).map(|n| event(n, "e"))), "10001 frames at once").await;
    let words: Vec<String> = (0..17).map(|n| n.to_string()).collect();
    let facets: Vec<_> = words.iter().map(|word| (&**word, "x")).collect();
    check(intake("c", "i1", [with_facets(report(1, "app", "a", "1"), &facets)]), "app a has 17 facets").await;
    let query = Query { after: Some("nonsense".into()), ..Query::of("app") };
    assert!(matches!(records.list(query).await, Err(Error::Invalid(text)) if text.contains("\"nonsense\"")));
}

async fn streams_of_many_clusters_do_not_mix(records: &dyn Records) {
    let clusters: Vec<String> = (0..50).map(|n| format!("c{n:02}")).collect();
    let appends = clusters.iter().map(|cluster| async move {
        for sequence in 1..=10 {
            let frame = report(sequence, "app", "a", &sequence.to_string());
            assert_eq!(records.append(intake(cluster, "i1", [frame])).await, Ok(appended(sequence, 1)));
        }
    });
    futures::future::join_all(appends).await;
    let expect: Vec<_> = clusters.iter().map(|cluster| format!("{cluster} a=10")).collect();
    assert_eq!(listed(records, "app").await, expect);
}

async fn commits_keep_their_distance(records: &dyn Records) {
    let (before, begun) = (*records.version().borrow(), std::time::Instant::now());
    for sequence in 1..=20 {
        let outcome = records.append(intake("c", "i1", [report(sequence, "app", "a", "1")])).await;
        assert_eq!(outcome, Ok(appended(sequence, 1)));
    }
    let (commits, took) = (*records.version().borrow() - before, begun.elapsed());
    // One begins 5 ms after the one before, at the earliest, however slow the machine is: what comes meanwhile shares it.
    assert!(u128::from(commits) <= 1 + took.as_millis().div_ceil(5), "{commits} commits in {took:?}");
}
