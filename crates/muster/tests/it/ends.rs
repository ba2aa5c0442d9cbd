use std::time::Duration;

use rustix::process::Signal;
use testkit::eventually_within;

use crate::support::{Machine, PATIENCE, is_alive, is_over, signal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_ends_every_process_and_the_next_start_resumes() {
    let machine = Machine::new(2);
    // Ctrl-C long before anything is ready.
    let up = machine.up_in_front();
    eventually_within(PATIENCE, "the hub is started", async || machine.dir.join("hub.pid").exists()).await;
    let hub = machine.pid("hub");
    machine.interrupt(up).await;
    is_over(&[hub]).await;
    assert_eq!(machine.taken(), Vec::<u16>::new());

    let up = machine.up_in_front();
    eventually_within(PATIENCE, "all is well", async || machine.said().contains("all 2 clusters Available")).await;
    let commit = machine.clone_repository().await.release("2.0.0").await;
    eventually_within(PATIENCE, "the commit is live", async || machine.is_live(&commit).await).await;
    let before = (machine.identities().await, machine.hub_info().await);
    let pids = machine.pids();
    let status = machine.interrupt(up).await;
    assert!(status.success(), "{status}:\n{}", machine.said());
    assert!(!pids.iter().any(|pid| is_alive(*pid)), "up waits for all it ends");
    assert_eq!(machine.taken(), Vec::<u16>::new());
    assert!(machine.dir.join("hub/store.db").exists() && machine.dir.join("stores/store-0001/objects").exists());
    assert!(machine.said().contains("data stay in"), "{}", machine.said());

    let resumed = jiff::Timestamp::now();
    let up = machine.up_in_front();
    eventually_within(PATIENCE, "the hub answers", async || machine.run(&["status"]).await.stdout.contains("store-0002")).await;
    machine.is_heard_after(resumed).await;
    assert_eq!((machine.identities().await, machine.hub_info().await), before);
    eventually_within(PATIENCE, "the same revision", async || machine.is_live(&commit).await).await;
    machine.interrupt(up).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_ups_at_once_start_one_fleet_and_down_ends_it_all() {
    let machine = Machine::new(1);
    let ((), ()) = tokio::join!(machine.up(), machine.up());
    machine.is_well().await;
    let pids = machine.pids();
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    let before = machine.pids();
    machine.up().await;
    assert_eq!(machine.pids(), before, "what runs is left alone");
    // A process that does not heed SIGTERM is killed.
    signal(machine.pid("git"), Signal::STOP);
    let (first, second) = tokio::join!(machine.run(&["down"]), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        machine.run(&["status"]).await
    });
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(second.code != Some(101), "{second:?}");
    is_over(&pids).await;
    assert_eq!(machine.taken(), Vec::<u16>::new());
    assert!(!machine.dir.exists());
    // Ending what is not there is no failure.
    assert_eq!(machine.run(&["down"]).await.code, Some(0));
}
