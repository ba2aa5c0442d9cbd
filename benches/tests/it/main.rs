//! A few rounds of the soak with every test run; more with `MUSTER_SOAK_ROUNDS`.

use std::process::Command;

#[test]
fn nothing_acknowledged_is_lost_when_the_api_server_is_killed() {
    let rounds = std::env::var("MUSTER_SOAK_ROUNDS").unwrap_or_else(|_| "3".to_owned());
    let directory = std::env::temp_dir();
    let output = Command::new(env!("CARGO_BIN_EXE_bench")).args(["soak", "--rounds", &rounds]).arg(directory).output().expect("it runs");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    assert!(text.contains("lost: 0, revisions used twice: 0"), "{text}");
}
