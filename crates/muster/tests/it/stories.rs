//! The retailer's stories, one after the other, against a fleet of processes.

use std::time::{Duration, Instant};

use testkit::eventually_within;

use crate::support::Machine;

/// Enough for every story: store-0011 is the first kiosk.
const STORES: u16 = 11;
/// Beside the stores.
const CLOUD: u16 = 5;
const STORIES: [&str; 7] = ["01", "02", "03", "04", "05", "06", "07"];

/// Run alone: `cargo test -p muster --test it stories -- --ignored --nocapture`. `MUSTER_STORIES` names some, as `02 07`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes of real time: a part of `make soak`"]
async fn every_story_is_as_told_of_real_processes() {
    let machine = Machine::new(STORES + CLOUD);
    let (port, stores) = (machine.port.to_string(), STORES.to_string());
    machine.ok(&["up", "--detach", "--example", "retail", "--port", &port, "--stores", &stores]).await;
    let is_well = async |story: &str| {
        eventually_within(Duration::from_secs(300), &format!("all is well after story {story}"), async || {
            machine.run(&["status", "--wait", "--timeout", "60s"]).await.code == Some(0)
        })
        .await
    };
    println!("all is well after {:.1?}", is_well("none").await);
    let some = std::env::var("MUSTER_STORIES").ok();
    let is_wanted = |story: &&&str| some.as_ref().is_none_or(|some| some.split_whitespace().any(|wanted| wanted == **story));
    for story in STORIES.iter().filter(is_wanted) {
        let begun = Instant::now();
        let ran = machine.run(&["sim", "play", story]).await;
        println!("{}took {:.1?}", ran.stderr, begun.elapsed());
        assert_eq!(ran.code, Some(0), "story {story}: {}", ran.stderr);
        is_well(story).await;
    }
    assert_eq!(STORIES.len(), machine.ok(&["sim", "play"]).await.lines().count(), "a story is not played here");
}
