//! The retailer's stories, each in virtual time on as few clusters as show it: a hub, agents, Git and all.

use std::sync::Arc;

use async_trait::async_trait;
use sim::Example;
use sim::control::Request;
use sim::story::{Orders, Stage, Story};

struct Direct(Arc<sim::Fleet>);

#[async_trait]
impl Orders for Direct {
    async fn order(&self, request: &Request) -> Result<(), String> {
        self.0.obey(request).await.map(drop).map_err(|e| e.to_string())
    }

    async fn client(&self, cluster: &str) -> Result<kube::Client, String> {
        self.0.store(cluster).map(|store| store.client()).ok_or_else(|| format!("no cluster {cluster}"))
    }
}

async fn play(name: &str) {
    let retail = Example::named("retail").expect("there");
    let story = Story::of(retail, name).unwrap_or_else(|e| panic!("{e}"));
    let scratch = tempfile::tempdir().expect("a directory");
    let repositories = scratch.path().join("repos");
    std::fs::create_dir_all(&repositories).expect("a directory");
    retail.make_repositories(&repositories).expect("made");
    let git_url = format!("file://{}", repositories.display());
    let testkit::Fleet { hub, stores, runtime } = testkit::Fleet::start(story.fleet(retail).expect("a fleet")).await;
    for object in retail.hub_objects(&git_url).expect("objects") {
        testkit::apply(&hub.client(), &object.to_string()).await;
    }
    let stores = Arc::new(stores);
    let stage = Stage::new(
        retail,
        hub.client(),
        Arc::new(Direct(stores.clone())),
        git_url,
        repositories,
        scratch.path().join("clones"),
        runtime.clock.clone(),
    );
    let told = stage.play(&story, &|index, words, took| println!("{index:>3} {:>6.1} s  {words}", took.as_secs_f64())).await;
    told.unwrap_or_else(|problem| panic!("{}: {problem}", story.title));
    stores.stop().await.expect("the stores stop");
    hub.stop().await;
    runtime.stop().await;
}

#[tokio::test(start_paused = true)]
async fn story_01_a_new_store_joins_and_needs_nobody() {
    play("01").await;
}

#[tokio::test(start_paused = true)]
async fn story_02_a_promotion_is_a_merge() {
    play("02").await;
}

#[tokio::test(start_paused = true)]
async fn story_03_a_bad_image_stops_nobody_from_serving() {
    play("03").await;
}

#[tokio::test(start_paused = true)]
async fn story_04_a_bad_manifest_stops_only_whom_it_concerns() {
    play("04").await;
}

#[tokio::test(start_paused = true)]
async fn story_05_a_region_that_was_offline_catches_up_straight_to_the_newest() {
    play("05").await;
}

#[tokio::test(start_paused = true)]
async fn story_06_a_store_holds_itself_without_hub_and_git() {
    play("06").await;
}

#[tokio::test(start_paused = true)]
async fn story_07_a_team_that_syncs_by_hand_falls_behind() {
    play("07").await;
}
