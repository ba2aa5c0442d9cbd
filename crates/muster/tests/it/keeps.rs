use testkit::eventually_within;

use crate::support::{Machine, PATIENCE, is_alive, is_over};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_in_the_foreground_starts_again_what_dies() {
    let machine = Machine::new(2);
    let up = machine.up_in_front();
    eventually_within(PATIENCE, "all is well", async || machine.said().contains("all 2 clusters Available")).await;
    let (before, pids) = ((machine.identities().await, machine.hub_info().await), machine.pids());
    machine.kill("hub").await;
    machine.kill("git").await;
    eventually_within(PATIENCE, "both are back", async || {
        let said = machine.said();
        ["the hub process died and is started again now; its last words:", "the hub is back", "Git is back"]
            .iter()
            .all(|w| said.contains(w))
    })
    .await;
    assert_eq!((machine.identities().await, machine.hub_info().await), before, "the same hub and clusters");
    let now = machine.pids();
    let is_new: Vec<bool> = pids.iter().zip(&now).map(|(before, now)| before != now).collect();
    assert_eq!(is_new, [true, true, false, false], "git and hub were started again, simulator and console were left alone");
    let commit = machine.clone_repository().await.release("2.0.0").await;
    let took = eventually_within(PATIENCE, "the commit is live", async || machine.is_live(&commit).await).await;
    println!("a commit after both were killed is live after {took:.2?}");

    // A part that cannot run ends the command, and with it the others.
    let objects = machine.dir.join("hub/store.db");
    std::fs::rename(&objects, machine.dir.join("hub/store.kept")).expect("moved");
    std::fs::create_dir(&objects).expect("in the way");
    machine.kill("hub").await;
    let status = machine.ends(up).await;
    assert_eq!(status.code(), Some(3), "{}", machine.said());
    assert!(machine.said().contains("the hub process died 5 times within 60 s and was never ready"), "{}", machine.said());
    assert!(machine.said().contains("store.db"), "{}", machine.said());
    is_over(&now).await;
    assert_eq!(machine.taken(), Vec::<u16>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_command_ended_stays_ended() {
    let machine = Machine::new(1);
    for arguments in [&["down", "--keep-data"][..], &["down"]] {
        let up = machine.up_in_front();
        eventually_within(PATIENCE, "all is well", async || machine.said().contains("all 1 clusters Available")).await;
        let pids = machine.pids();
        machine.ok(arguments).await;
        let status = machine.ends(up).await;
        assert!(status.success() && machine.said().contains("another command ended the fleet"), "{}", machine.said());
        assert!(!pids.iter().any(|pid| is_alive(*pid)), "{}", machine.said());
        assert_eq!(machine.taken(), Vec::<u16>::new());
    }
    assert!(!machine.dir.exists());
}
