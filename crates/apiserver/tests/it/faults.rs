//! What goes wrong outside: full disks, wrong clocks, hostile input, clients that go away.
//!
//! Each fault gets an answer that says what and what to do, and everything else goes on.

use std::sync::Arc;
use std::time::Duration;

use apiserver::Caller;
use controller::Clock;
use http_body_util::BodyExt;
use jiff::SignedDuration;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use store::{MemoryStore, Retention, SqliteStore, Store};

use crate::history::harness::{Reply, Server, ask, over_tls, send, start, until};

const COLLECTION: &str = "/api/v1/namespaces/default/configmaps";

async fn memory() -> Server {
    let server = start(Arc::new(MemoryStore::new(Retention::unbounded())), Clock::wall()).await;
    ask(&server.admin, "POST", "/api/v1/namespaces", json!({"metadata": {"name": "default"}})).await;
    server
}

fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

/// A watch's lines as they come.
struct Watch {
    body: kube::client::Body,
    buffer: Vec<u8>,
}

impl Watch {
    async fn open(client: &kube::Client, url: &str) -> Watch {
        let request = http::Request::get(url).body(kube::client::Body::empty()).expect("a request");
        let response = client.send(request).await.expect("an answer");
        assert_eq!(response.status(), 200);
        Watch { body: response.into_body(), buffer: Vec::new() }
    }

    /// Returns type and object of the next event; `None` is the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let mut event: Value = serde_json::from_slice(&line).expect("an event");
                return Some((event["type"].as_str().unwrap_or_default().to_owned(), event["object"].take()));
            }
            let frame = tokio::time::timeout(Duration::from_secs(20), self.body.frame()).await.expect("an event in time")?;
            self.buffer.extend_from_slice(frame.expect("a chunk").data_ref().expect("data"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_writes_only_and_only_while_it_is_full() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = store::Options { size_bytes_max: Some(1 << 20), ..store::Options::default() };
    let sqlite: Arc<dyn Store> = Arc::new(SqliteStore::open(folder.path(), options).expect("a store"));
    let server = start(sqlite.clone(), Clock::wall()).await;
    let admin = &server.admin;
    ask(admin, "POST", "/api/v1/namespaces", json!({"metadata": {"name": "default"}})).await;
    ask(admin, "POST", COLLECTION, config_map("kept", json!({"a": "1"}))).await.expect(201);
    let mut watch = Watch::open(admin, &format!("{COLLECTION}?watch=1&fieldSelector=metadata.name%3Dkept")).await;
    assert_eq!(watch.next().await.expect("an event").0, "ADDED");

    let big = "x".repeat(50_000);
    let mut refused = None;
    for round in 0..100 {
        let reply = send(
            admin,
            "PATCH",
            &format!("{COLLECTION}/kept"),
            "application/merge-patch+json",
            json!({"data": {"big": format!("{round}{big}")}}).to_string(),
        )
        .await;
        if reply.code != 200 {
            refused = Some(reply);
            break;
        }
        assert_eq!(watch.next().await.expect("an event").0, "MODIFIED");
    }
    let refused = refused.expect("the disk is full");
    assert_eq!(refused.code, 503, "{}", refused.body);
    assert!(refused.headers.contains_key("retry-after"), "{:?}", refused.headers);
    for part in ["cannot be written", "no space left", "nothing was changed", "free"] {
        assert!(refused.message().contains(part), "{part}: {}", refused.message());
    }
    let before = ask(admin, "GET", &format!("{COLLECTION}/kept"), Value::Null).await.expect(200);
    ask(admin, "GET", COLLECTION, Value::Null).await.expect(200);
    assert_eq!(ask(admin, "GET", "/livez", Value::Null).await.code, 200);

    sqlite.compact(sqlite.revision()).await.expect("history is dropped");
    let patch = json!({"data": {"big": null, "a": "2"}}).to_string();
    let after = send(admin, "PATCH", &format!("{COLLECTION}/kept"), "application/merge-patch+json", patch).await.expect(200);
    let revision = |object: &Value| object["metadata"]["resourceVersion"].as_str().and_then(|r| r.parse::<u64>().ok()).expect("a revision");
    assert!(revision(&after) > revision(&before));
    assert_eq!(watch.next().await, Some(("MODIFIED".into(), after)));
}

async fn as_peer(server: &Server, certificate: Option<&str>, token: Option<&str>) -> Reply {
    let certificate = certificate.map(|pem| Arc::from(CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate").as_ref()));
    let mut request = http::Request::get("/apis/authentication.k8s.io/v1/selfsubjectreviews");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync();
    let response = server.api.handle(request.uri("/version").body(body).expect("a request"), Caller::Peer { certificate }).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    Reply { code: parts.status.as_u16(), headers: parts.headers, body: serde_json::from_slice(&body).unwrap_or_default() }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_is_told_so_to_who_shows_an_expired_credential() {
    let clock = Clock::virtual_from("2026-03-01T12:00:00Z".parse().expect("a time"));
    let server = start(Arc::new(MemoryStore::default()), clock.clone()).await;
    let (now, hour) = (clock.now(), SignedDuration::from_hours(1));
    let certificate = server.api.ca().sign_client("agent", &["system:masters"], now, hour).expect("a certificate").certificate_pem;
    let future = server.api.ca().sign_client("agent", &["system:masters"], now + hour * 48, hour).expect("a certificate").certificate_pem;
    ask(&server.admin, "POST", "/api/v1/namespaces/kube-system/serviceaccounts", json!({"metadata": {"name": "robot"}})).await.expect(201);
    let url = "/api/v1/namespaces/kube-system/serviceaccounts/robot/token";
    let token = ask(
        &server.admin,
        "POST",
        url,
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}),
    )
    .await;
    let token = token.expect(201)["status"]["token"].as_str().expect("a token").to_owned();
    let bootstrap = json!({
        "metadata": {"name": "bootstrap-token-abcdef"}, "type": "bootstrap.kubernetes.io/token",
        "stringData": {"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true", "expiration": (now + hour).to_string()},
    });
    ask(&server.admin, "POST", "/api/v1/namespaces/kube-system/secrets", bootstrap).await.expect(201);

    for reply in [
        as_peer(&server, Some(&certificate), None).await,
        as_peer(&server, None, Some(&token)).await,
        as_peer(&server, None, Some("abcdef.0123456789abcdef")).await,
    ] {
        assert_eq!(reply.code, 200, "{}", reply.body);
    }
    let refused = |reply: Reply, parts: &[&str]| {
        assert_eq!((reply.code, reply.body["reason"].as_str()), (401, Some("Unauthorized")), "{}", reply.body);
        parts.iter().for_each(|part| assert!(reply.message().contains(part), "{part}: {}", reply.message()));
    };
    refused(as_peer(&server, Some(&future), None).await, &["2026-03-03", "clock"]);
    tokio::time::advance(Duration::from_secs(2 * 3600)).await;
    refused(as_peer(&server, Some(&certificate), None).await, &["expired", "2026-03-01T13:00:00Z"]);
    refused(as_peer(&server, None, Some(&token)).await, &["expired", "2026-03-01T12:10:00Z"]);
    refused(as_peer(&server, None, Some("abcdef.0123456789abcdef")).await, &["expired", "2026-03-01T13:00:00Z"]);
    refused(as_peer(&server, None, Some("nonsense")).await, &["token"]);
}

#[tokio::test]
async fn bodies_too_large_or_too_deep_are_refused_with_the_limit() {
    let server = memory().await;
    let admin = &server.admin;
    let refused = |reply: Reply, code: u16, limit: &str| {
        assert_eq!(reply.code, code, "{}", reply.body);
        assert!(reply.message().contains(limit), "{limit}: {}", reply.message());
    };
    let big = config_map("big", json!({"a": "x".repeat(1_600_000)})).to_string();
    refused(send(admin, "POST", COLLECTION, "application/json", big).await, 422, "1048576");
    let huge = config_map("huge", json!({"a": "x".repeat(3_200_000)})).to_string();
    refused(send(admin, "POST", COLLECTION, "application/json", huge).await, 413, "3145728");
    let nested = |depth: usize| format!("{{\"metadata\":{{\"name\":\"deep\"}},\"data\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
    for depth in [130, 5_000, 1_000_000] {
        refused(send(admin, "POST", COLLECTION, "application/json", nested(depth)).await, 400, "128");
        refused(send(admin, "PATCH", &format!("{COLLECTION}/deep"), "application/merge-patch+json", nested(depth)).await, 400, "128");
    }
    for depth in [70, 5_000, 1_000_000] {
        refused(send(admin, "POST", COLLECTION, "application/yaml", nested(depth)).await, 400, "64");
        refused(
            send(admin, "PATCH", &format!("{COLLECTION}/deep?fieldManager=m"), "application/apply-patch+yaml", nested(depth)).await,
            400,
            "64",
        );
    }
    // Each level repeats the one before nine times: nine lines, four hundred million words.
    let mut bomb = String::from("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\na0: &a0 [lol]\n");
    for level in 1..10 {
        let before = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb += &format!("a{level}: &a{level} [{before}]\n");
    }
    let begun = std::time::Instant::now();
    for (method, url, media) in [
        ("POST", COLLECTION.to_owned(), "application/yaml"),
        ("PATCH", format!("{COLLECTION}/bomb?fieldManager=m"), "application/apply-patch+yaml"),
    ] {
        let reply = send(admin, method, &url, media, bomb.clone()).await;
        println!("{}", reply.message());
        assert_eq!(reply.code, 400, "{}", reply.body);
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    ask(admin, "POST", COLLECTION, config_map("fine", json!({"a": "1"}))).await.expect(201);
}

#[tokio::test]
async fn an_object_that_is_stored_can_be_read_and_deleted_however_deep_it_was_made() {
    let server = memory().await;
    let admin = &server.admin;
    let free = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "wells.deep.example"},
        "spec": {"group": "deep.example", "scope": "Cluster", "names": {"kind": "Well", "plural": "wells"}, "versions": [
            {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": free}}}},
        ]},
    });
    ask(admin, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await.expect(201);
    let wells = "/apis/deep.example/v1/wells";
    until("the definition is served", async || ask(admin, "GET", wells, Value::Null).await.code == 200).await;
    let big = json!({"apiVersion": "deep.example/v1", "kind": "Well", "metadata": {"name": "big"}, "spec": {"a": "x".repeat(1_600_000)}});
    let refused = ask(admin, "POST", wells, big).await;
    assert!(refused.code == 413 && refused.message().contains("1572864"), "{}", refused.body);
    let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let mut stored = 0;
    for depth in 100..128 {
        let name = format!("w{depth}");
        let body = format!(
            "{{\"apiVersion\":\"deep.example/v1\",\"kind\":\"Well\",\"metadata\":{{\"name\":\"{name}\"}},\"spec\":{}}}",
            nested(depth)
        );
        let reply = send(admin, "POST", wells, "application/json", body).await;
        match reply.code {
            201 => {
                stored += 1;
                ask(admin, "GET", &format!("{wells}/{name}"), Value::Null).await.expect(200);
                let patch = json!({"metadata": {"labels": {"a": "b"}}}).to_string();
                send(admin, "PATCH", &format!("{wells}/{name}"), "application/merge-patch+json", patch).await.expect(200);
                ask(admin, "DELETE", &format!("{wells}/{name}"), Value::Null).await.expect(200);
            }
            code => {
                assert!(code == 400 || code == 422, "{depth}: {}", reply.body);
                assert!(reply.message().contains("deep") || reply.message().contains("recursion"), "{}", reply.message());
            }
        }
    }
    assert!(stored > 0);
    // A JSON patch can add below what is there, again and again.
    let body = json!({"apiVersion": "deep.example/v1", "kind": "Well", "metadata": {"name": "dug"}, "spec": {"a": 1}});
    ask(admin, "POST", wells, body).await.expect(201);
    let mut path = "/spec/a".to_owned();
    let mut is_refused = false;
    for _ in 0..10 {
        let value: Value = serde_json::from_str(&nested(40)).expect("JSON");
        let patch = json!([{"op": "add", "path": path, "value": value}]).to_string();
        let reply = send(admin, "PATCH", &format!("{wells}/dug"), "application/json-patch+json", patch).await;
        is_refused |= reply.code != 200;
        assert!(reply.code == 200 || reply.code == 400 || reply.code == 422, "{}", reply.body);
        ask(admin, "GET", &format!("{wells}/dug"), Value::Null).await.expect(200);
        path += &"/a".repeat(40);
        if is_refused {
            break;
        }
    }
    assert!(is_refused, "an object was made as deep as one likes");
    ask(admin, "DELETE", &format!("{wells}/dug"), Value::Null).await.expect(200);
}

#[tokio::test]
async fn hostile_paths_are_refused_and_change_nothing() {
    let server = memory().await;
    let admin = &server.admin;
    let revision = server.store.revision();
    let long = "x".repeat(20_000);
    let paths = [
        "/api/v1/namespaces/default/configmaps/..".to_owned(),
        "/api/v1/namespaces/../secrets/a".into(),
        "/api/v1/namespaces/default/configmaps/..%2F..%2Fsecrets%2Fx".into(),
        "/api/v1/namespaces/default%2Fkube-system/configmaps/a".into(),
        "/api/v1/namespaces/%2e%2e/configmaps/a".into(),
        "/api/v1/namespaces/default/configmaps/a%00b".into(),
        "/api/v1/namespaces/%00/configmaps/a".into(),
        "/api/v1/namespaces/default/configmaps/%ff%fe".into(),
        "/api/v1/namespaces/default/configmaps/%".into(),
        "/api/v1/namespaces/default/configmaps%2Fa/b".into(),
        "/api/v1/namespaces/default/configmaps/a/b/c/d/e".into(),
        "/api/v1//namespaces//default//nothing//a".into(),
        "/apis/%2F/v1/configmaps/a".into(),
        "/apis/core/v1/namespaces/default/configmaps/a".into(),
        "/api/v1/configmaps/a".into(),
        format!("/api/v1/namespaces/default/configmaps/{long}"),
        format!("/api/v1/namespaces/{long}/configmaps/a"),
        format!("/{long}"),
        "/".repeat(5_000),
    ];
    for path in &paths {
        for (method, media) in [
            ("GET", ""),
            ("PUT", "application/json"),
            ("PATCH", "application/merge-patch+json"),
            ("PATCH", "application/apply-patch+yaml"),
            ("DELETE", "application/json"),
            ("POST", "application/json"),
        ] {
            let body = if method == "GET" || method == "DELETE" {
                String::new()
            } else {
                json!({"apiVersion": "v1", "kind": "ConfigMap"}).to_string()
            };
            let reply = send(admin, method, &format!("{path}?fieldManager=m"), media, body).await;
            let is_index = path.trim_matches('/').is_empty() && method == "GET";
            assert!((400..500).contains(&reply.code) || is_index, "{method} {path}: {} {}", reply.code, reply.body);
        }
    }
    assert_eq!(server.store.revision(), revision, "something was written");
}

#[tokio::test]
async fn hostile_queries_are_refused_or_ignored() {
    let server = memory().await;
    let admin = &server.admin;
    for name in ["a", "b", "c"] {
        ask(admin, "POST", COLLECTION, config_map(name, json!({"a": "1"}))).await.expect(201);
    }
    let secret = json!({"metadata": {"name": "hidden"}, "stringData": {"a": "hidden"}});
    ask(admin, "POST", "/api/v1/namespaces/default/secrets", secret).await.expect(201);
    let whole = ask(admin, "GET", COLLECTION, Value::Null).await.expect(200)["items"].clone();
    for query in ["limit=9223372036854775807", "limit=-1", "limit=0", "foo=bar&foo&=&&&%00=%00", "pretty=maybe", "timeout=1h"] {
        let items = ask(admin, "GET", &format!("{COLLECTION}?{query}"), Value::Null).await.expect(200)["items"].clone();
        assert_eq!(items, whole, "{query}");
    }
    for query in [
        "limit=many",
        "limit=99999999999999999999",
        "continue=x",
        "continue=%7B%7D",
        "resourceVersion=-1",
        "resourceVersion=x",
        "resourceVersion=99999999999999999999",
        "labelSelector=a%3D%3D%3Db",
        "labelSelector=!!!",
        "fieldSelector=spec.nothing%3D1",
        "fieldSelector=a",
        "resourceVersionMatch=Exact",
        "resourceVersionMatch=Maybe&resourceVersion=1",
        "watch=1&sendInitialEvents=true",
        "watch=1&timeoutSeconds=soon",
        "watch=1&timeoutSeconds=-1",
        "watch=1&resourceVersion=x",
    ] {
        let reply = ask(admin, "GET", &format!("{COLLECTION}?{query}"), Value::Null).await;
        assert!(reply.code == 400 || reply.code == 422, "{query}: {} {}", reply.code, reply.body);
        assert!(reply.message().len() > 10, "{query}: {}", reply.body);
    }
    let long = "a".repeat(60_000);
    for query in [format!("labelSelector={long}"), format!("continue={long}"), format!("fieldSelector=metadata.name%3D{long}")] {
        let reply = ask(admin, "GET", &format!("{COLLECTION}?{query}"), Value::Null).await;
        assert!(reply.code == 400 || (reply.code == 200 && reply.body["items"] == json!([])), "{}", reply.code);
    }
    // A watch as long as can be said is no defect either.
    let mut watch = Watch::open(admin, &format!("{COLLECTION}?watch=1&timeoutSeconds=18446744073709551615")).await;
    assert_eq!(watch.next().await.expect("an event").0, "ADDED");
    let reply = ask(admin, "GET", &format!("{COLLECTION}?resourceVersion=99999999"), Value::Null).await;
    assert_eq!((reply.code, reply.headers.contains_key("retry-after")), (504, true), "{}", reply.body);

    // Forged tokens show nothing but the collection they are used on.
    use base64::Engine;
    let forge = |token: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(token.to_string());
    let revision = server.store.revision();
    for start in ["../../secrets/", "/../secrets/default/", "\u{0}", "\u{10ffff}", "zzz", ""] {
        let token = forge(json!({"v": "meta.k8s.io/v1", "rv": revision, "start": start}));
        let reply = ask(admin, "GET", &format!("{COLLECTION}?continue={token}"), Value::Null).await;
        assert!(reply.code == 200 || reply.code == 400, "{start:?}: {}", reply.body);
        assert!(!reply.body.to_string().contains("hidden"), "{start:?}: {}", reply.body);
    }
    for revision in [json!(0), json!(-1), json!(u64::MAX), json!("1"), Value::Null] {
        let token = forge(json!({"v": "meta.k8s.io/v1", "rv": revision, "start": "default/a"}));
        let reply = ask(admin, "GET", &format!("{COLLECTION}?continue={token}"), Value::Null).await;
        assert!((400..500).contains(&reply.code), "{revision}: {} {}", reply.code, reply.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_that_are_dropped_leave_nothing() {
    let server = memory().await;
    let over_tls = over_tls(&server).await;
    until("the server's own watches are open", async || server.api.watch_count() < 10).await;
    let own = server.api.watch_count();
    let selectors = ["", "&labelSelector=a%3Db", "&fieldSelector=metadata.name%3Da"];
    for (client, count) in [(&server.admin, 3_000), (&over_tls, 600)] {
        let mut watches = Vec::new();
        for i in 0..count {
            watches.push(
                Watch::open(client, &format!("{COLLECTION}?watch=1&resourceVersion={}{}", server.store.revision(), selectors[i % 3])).await,
            );
        }
        assert_eq!(server.api.watch_count(), own + count);
        watches.truncate(count / 2);
        ask(&server.admin, "POST", COLLECTION, config_map(&format!("c{count}"), json!({"a": "1"}))).await.expect(201);
        assert_eq!(watches[0].next().await.expect("an event").0, "ADDED");
        drop(watches);
        until("all watches are gone", async || server.api.watch_count() == own).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_does_not_read_is_cut_off_and_told_so() {
    let server = memory().await;
    let admin = &server.admin;
    ask(admin, "POST", COLLECTION, config_map("busy", json!({"n": "0"}))).await.expect(201);
    let begin = server.store.revision();
    let mut watch = Watch::open(
        admin,
        &format!("{COLLECTION}?watch=1&allowWatchBookmarks=1&fieldSelector=metadata.name%3Dbusy&resourceVersion={begin}"),
    )
    .await;
    let count = apiserver::watch::EVENTS_BEHIND_MAX as u64 + 100;
    for n in 1..=count {
        let patch = json!({"data": {"n": n.to_string()}}).to_string();
        send(admin, "PATCH", &format!("{COLLECTION}/busy"), "application/merge-patch+json", patch).await.expect(200);
    }
    let mut seen = 0;
    loop {
        let (what, object) = watch.next().await.expect("an end that says why");
        if what == "ERROR" {
            assert_eq!((&object["code"], &object["reason"]), (&json!(410), &json!("Expired")));
            break;
        }
        seen += 1;
        assert_eq!((what.as_str(), &object["data"]["n"]), ("MODIFIED", &json!(seen.to_string())));
    }
    assert!(seen >= 2_000 && seen < count, "{seen}");
    assert_eq!(watch.next().await, None);
}
