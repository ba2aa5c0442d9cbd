use std::time::Duration;

use api::cluster::{ManagedCluster, condition};
use api::conditions::find;
use api::hub::{AppRow, ClusterRow, HubInfo, Notice, Page, path};
use api::report::{self, Down, Hello, Lines, RefusedReason, Up};
use bytes::Bytes;
use controller::Clock;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use jiff::Timestamp;
use kube::Api;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::mpsc;
use tower::ServiceExt;

use crate::support::{Agent, hub, hub_with, until};

type Answer = Response<tunnel::ResponseBody>;

async fn send(connection: &tunnel::Connection, request: Request<tunnel::Body>) -> Answer {
    connection.http.clone().oneshot(request).await.expect("an answer")
}

pub async fn get(connection: &tunnel::Connection, path: &str) -> (StatusCode, Bytes) {
    let body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
    let answer = send(connection, Request::get(path).body(body).unwrap()).await;
    (answer.status(), answer.into_body().collect().await.expect("a body").to_bytes())
}

async fn read<T: DeserializeOwned>(connection: &tunnel::Connection, path: &str) -> T {
    let (status, body) = get(connection, path).await;
    assert_eq!(status, 200, "{body:?}");
    serde_json::from_slice(&body).expect("JSON")
}

struct Stream {
    up: mpsc::Sender<Bytes>,
    body: tunnel::ResponseBody,
    lines: Lines,
}

impl Stream {
    async fn open(agent: &Agent, cluster: &str, uid: &str, incarnation: &str) -> Result<Self, StatusCode> {
        let (up, frames) = mpsc::channel::<Bytes>(16);
        let frames = futures::stream::unfold(frames, |mut frames| async move {
            frames.recv().await.map(|line| (Ok::<_, tunnel::BoxError>(http_body::Frame::data(line)), frames))
        });
        let request = Request::post(path::reports(cluster)).body(StreamBody::new(frames).boxed_unsync()).unwrap();
        let answer = send(&agent.connection, request).await;
        if answer.status() != 200 {
            return Err(answer.status());
        }
        let mut stream = Self { up, body: answer.into_body(), lines: Lines::default() };
        let hello = Hello {
            cluster: cluster.into(),
            cluster_uid: uid.into(),
            incarnation: incarnation.into(),
            agent_version: "0.1.0".into(),
            capabilities: vec![],
            first_retained_sequence: 1,
            sent_at: Timestamp::now(),
        };
        stream.tell(&Up::Hello(hello)).await;
        Ok(stream)
    }

    async fn tell(&mut self, frame: &Up) {
        self.up.send(Bytes::from(report::encode(frame).unwrap())).await.expect("an open stream");
    }

    async fn report(&mut self, sequence: u64, name: &str, sync: &str) {
        let value = json!({"namespace": "argocd", "name": name, "sync": sync, "health": "Healthy", "revision": "abc"});
        let frame = json!({"report": {
            "sequence": sequence, "observedAt": "2026-01-01T00:00:00Z", "kind": "application", "key": format!("argocd/{name}"), "value": value,
        }});
        self.tell(&serde_json::from_value(frame).unwrap()).await;
    }

    async fn hear(&mut self) -> Option<Down> {
        loop {
            if let Some(line) = self.lines.next_line().unwrap() {
                return Some(report::decode(&line).unwrap());
            }
            self.lines.push(&self.body.frame().await?.ok()?.into_data().ok()?);
        }
    }

    async fn acknowledged(&mut self, sequence: u64) {
        loop {
            match self.hear().await.expect("an answer") {
                Down::Ack(ack) if ack.sequence >= sequence => return,
                Down::Refused(refused) => panic!("{refused:?}"),
                Down::Ack(_) | Down::Welcome(_) => {}
            }
        }
    }
}

#[tokio::test]
async fn reports_are_kept_once_and_shown() {
    let hub = hub().await;
    let agent = Agent::join(&hub, "store-1", "uid-1").await;
    agent.is_available(&hub, json!({})).await;
    let mut stream = Stream::open(&agent, "store-1", "uid-1", "i1").await.expect("a stream");
    let Some(Down::Welcome(welcome)) = stream.hear().await else { panic!("no welcome") };
    assert_eq!((welcome.acknowledged, welcome.hub_uid.as_str()), (0, hub.info.uid.as_str()));
    stream.report(1, "shop", "OutOfSync").await;
    stream.report(2, "till", "Synced").await;
    stream.report(3, "shop", "Synced").await;
    stream.acknowledged(3).await;

    // The link breaks; the agent goes on where the hub says.
    drop(stream);
    let mut again = Stream::open(&agent, "store-1", "uid-1", "i1").await.expect("a stream");
    let Some(Down::Welcome(welcome)) = again.hear().await else { panic!("no welcome") };
    assert_eq!(welcome.acknowledged, 3);
    again.report(4, "till", "OutOfSync").await;
    again.acknowledged(4).await;

    let admin = hub.api.connector().connect(&hub.admin_kubeconfig()).unwrap();
    let apps: Page<AppRow> = read(&admin, path::APPS).await;
    let rows: Vec<(&str, &str, bool)> = apps.items.iter().map(|a| (a.name.as_str(), a.sync.as_str(), a.is_current)).collect();
    assert_eq!(rows, [("shop", "Synced", true), ("till", "OutOfSync", true)]);
    let filtered: Page<AppRow> = read(&admin, "/muster/v1/apps?sync=OutOfSync&cluster=store-1").await;
    assert_eq!(filtered.items.len(), 1);
    assert_eq!(get(&admin, "/muster/v1/apps?snyc=OutOfSync").await.0, 400);
    let clusters: Page<ClusterRow> = read(&admin, path::CLUSTERS).await;
    let row = &clusters.items[0];
    assert_eq!((row.uid.as_str(), row.apps_count, row.apps_synced, row.available.as_str()), ("uid-1", 2, 1, "True"));
    assert!(row.last_seen.is_some() && row.available_since.is_some());
    assert_eq!(get(&agent.connection, path::APPS).await.0, 403);
    hub.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_report_stream_is_a_sign_of_life() {
    let hub = hub_with(Clock::virtual_from("2026-01-01T00:00:00Z".parse().unwrap())).await;
    let agent = Agent::join(&hub, "store-1", "uid-1").await;
    agent.is_available(&hub, json!({})).await;
    let admin = hub.api.connector().connect(&hub.admin_kubeconfig()).unwrap();
    let row = async || read::<Page<ClusterRow>>(&admin, path::CLUSTERS).await.items.remove(0);
    let clusters: Api<ManagedCluster> = Api::all(hub.client.clone());
    let is_unknown = |c: &ManagedCluster| find(c.conditions(), condition::AVAILABLE).is_some_and(|a| a.status == "Unknown");
    tokio::time::sleep(Duration::from_secs(310)).await;
    until(&clusters, "store-1", is_unknown).await;
    // Records are written by a thread, which no paused clock waits for.
    tokio::time::resume();
    // A second claimant is not the cluster, whatever it says.
    let began = hub.context.now();
    let mut other = Stream::open(&agent, "store-1", "uid-9", "i").await.expect("a stream");
    assert!(matches!(other.hear().await, Some(Down::Refused(_))));
    assert!(row().await.last_seen.unwrap() < began);
    // Its hello is enough to be seen; that it is well is the agent's to say.
    let mut stream = Stream::open(&agent, "store-1", "uid-1", "i").await.expect("a stream");
    assert!(matches!(stream.hear().await, Some(Down::Welcome(_))));
    assert!(row().await.last_seen.unwrap() >= began);
    assert!(is_unknown(&clusters.get("store-1").await.unwrap()));
    agent.is_available(&hub, json!({})).await;
    // It renews no lease; one report a while keeps it alive, and silence does not.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(200)).await;
    tokio::time::resume();
    stream.report(1, "shop", "Synced").await;
    stream.acknowledged(1).await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(290)).await;
    assert!(!is_unknown(&clusters.get("store-1").await.unwrap()));
    tokio::time::sleep(Duration::from_secs(20)).await;
    until(&clusters, "store-1", is_unknown).await;
    hub.stop().await;
}

#[tokio::test]
async fn one_cluster_does_not_speak_for_another() {
    let hub = hub().await;
    let agent = Agent::join(&hub, "store-1", "uid-1").await;
    Agent::join(&hub, "store-2", "uid-2").await;
    assert_eq!(Stream::open(&agent, "store-2", "uid-2", "i").await.err(), Some(StatusCode::FORBIDDEN));
    // A clone with the certificate but another UID is refused.
    let mut stream = Stream::open(&agent, "store-1", "uid-9", "i").await.expect("a stream");
    let Some(Down::Refused(refused)) = stream.hear().await else { panic!("not refused") };
    assert_eq!(refused.reason, RefusedReason::ClusterUidDiffers);
    // Nor one that takes another's UID for its own, or the hub's, under which the hub writes down what it sees.
    for (name, uid, owner) in [("store-3", "uid-2", "cluster store-2"), ("store-4", hub.info.uid.as_str(), "the hub")] {
        let agent = Agent::join(&hub, name, uid).await;
        let mut stream = Stream::open(&agent, name, uid, "i").await.expect("a stream");
        let Some(Down::Refused(refused)) = stream.hear().await else { panic!("{name} speaks as {owner}") };
        assert_eq!(refused.reason, RefusedReason::ClusterUidDiffers);
        assert!(refused.message.contains(owner), "{}", refused.message);
    }
    let mut stream = Stream::open(&agent, "store-1", "uid-1", "i").await.expect("a stream");
    assert!(matches!(stream.hear().await, Some(Down::Welcome(_))));
    let forged = json!({"report": {
        "sequence": 1, "observedAt": "2026-01-01T00:00:00Z", "kind": "hub-activity", "key": "store-1", "value": {"reason": "forged"},
    }});
    stream.tell(&serde_json::from_value(forged).unwrap()).await;
    assert!(matches!(stream.hear().await, Some(Down::Refused(refused)) if refused.reason == RefusedReason::Protocol));
    // The administrator is no agent either.
    let admin = hub.api.connector().connect(&hub.admin_kubeconfig()).unwrap();
    assert_eq!(get(&admin, &path::notices("store-1")).await.0, 403);
    hub.stop().await;
}

#[tokio::test]
async fn a_hole_ends_the_stream_and_a_newer_stream_replaces_an_older() {
    let hub = hub().await;
    let agent = Agent::join(&hub, "store-1", "uid-1").await;
    let mut old = Stream::open(&agent, "store-1", "uid-1", "i1").await.expect("a stream");
    assert!(matches!(old.hear().await, Some(Down::Welcome(_))));
    let mut new = Stream::open(&agent, "store-1", "uid-1", "i1").await.expect("a stream");
    assert!(matches!(new.hear().await, Some(Down::Welcome(_))));
    let Some(Down::Refused(refused)) = old.hear().await else { panic!("not refused") };
    assert_eq!(refused.reason, RefusedReason::DuplicateIncarnation);
    new.report(1, "shop", "Synced").await;
    new.acknowledged(1).await;
    new.report(5, "shop", "Synced").await;
    loop {
        match new.hear().await.expect("an answer") {
            Down::Refused(refused) => {
                assert_eq!(refused.reason, RefusedReason::Protocol);
                break;
            }
            Down::Ack(_) | Down::Welcome(_) => {}
        }
    }
    hub.stop().await;
}

#[tokio::test]
async fn anyone_may_ask_which_hub_this_is_and_agents_hear_notices() {
    let hub = hub().await;
    let agent = Agent::join(&hub, "store-1", "uid-1").await;
    let info: HubInfo = read(&agent.connection, path::HUB).await;
    assert_eq!((info.uid.as_str(), info.epoch), (hub.info.uid.as_str(), 1));
    let nobody = apiserver::Caller::Peer { certificate: None };
    let request = || Request::get(path::HUB).body(Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync()).unwrap();
    assert_eq!(hub.api.handle(request(), nobody).await.status(), 200);

    let body = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
    let answer = send(&agent.connection, Request::get(path::notices("store-1")).body(body).unwrap()).await;
    assert_eq!(answer.status(), 200);
    let line = answer.into_body().frame().await.unwrap().unwrap().into_data().unwrap();
    let Notice::Hello { hub: told, .. } = serde_json::from_slice(&line).unwrap() else { panic!("{line:?}") };
    assert_eq!(told.uid, hub.info.uid);
    hub.stop().await;
}

#[tokio::test]
async fn a_restored_hub_raises_its_epoch_and_a_restarted_one_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let start = || async {
        let mut options = hub::HubOptions::new(controller::Runtime::new(controller::Clock::wall()));
        options.dir = Some(dir.path().to_owned());
        options.listen = Some(([127, 0, 0, 1], 0).into());
        hub::start(options).await.expect("a hub")
    };
    let first = start().await;
    assert!(first.address.is_some());
    first.stop().await;
    let (uid, token, ca) = (first.info.uid.clone(), first.admin_token.clone(), first.ca_pem.clone());
    drop(first);
    let second = start().await;
    assert_eq!((&second.info.uid, &second.admin_token, &second.ca_pem, second.info.epoch), (&uid, &token, &ca, 1));
    assert_eq!(hub::identity::raise_epoch(&second.client).await.unwrap().epoch, 2);
    second.stop().await;
}
