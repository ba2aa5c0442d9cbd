use std::process::Stdio;
use std::time::Duration;

use testkit::{eventually_within, get};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::support::{Machine, PATIENCE};

const STORES: [&str; 3] = ["store-0001", "store-0002", "store-0003"];

/// The tour as it is printed is typed into a shell, and each step brings what it promises.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_printed_tour_of_the_retailer_does_what_it_says() {
    // Ports for three stores and the five other clusters.
    let machine = Machine::new(8);
    let port = machine.port.to_string();
    let said = machine.ok(&["up", "--detach", "--example", "retail", "--stores", "3", "--port", &port]).await;
    assert!(said.contains("tour, to copy into another terminal:\n  export PATH="), "{said}");
    machine.ok(&["status", "--wait", "--timeout", "180s"]).await;

    let printed = machine.ok(&["tour"]).await;
    let steps = steps(&printed);
    let mut shell = Terminal::open();
    let mut titles = Vec::new();
    for (title, commands) in steps {
        let shown = shell.types(&commands).await;
        println!("--- {title}\n{shown}");
        match title.as_str() {
            "1. Look" => {
                assert!(STORES.iter().all(|store| shown.contains(store)) && shown.contains("http://127.0.0.1:"), "{shown}");
            }
            "2. Release on dev" => {
                assert_eq!(offers(&machine, "store-sim-01").await, "1.9.0");
                for store in STORES {
                    assert_eq!(offers(&machine, store).await, "1.8.1", "{store} changed by a push to dev");
                }
            }
            "3. Merge to prod" => all_run(&machine, "1.9.0").await,
            "4. Release a tag that nobody built" => {
                let row = shown.lines().find(|line| line.contains("ImagePullBackOff")).unwrap_or_else(|| panic!("no problem: {shown}"));
                assert!(row.contains("offers-api:1.9.0-nonexistent"), "{row}");
                // What is typed next is what it tells to type.
                let remedy = "git revert $(git log -1 --format=%h -S1.9.0-nonexistent) && git push";
                assert!(row.contains(remedy), "{row}");
                assert!(commands.contains(&remedy[11..remedy.find(" &&").unwrap_or_default()]), "{commands}");
                all_run(&machine, "1.9.0").await;
                eventually_within(2 * PATIENCE, "the problem is over", async || {
                    machine.run(&["problems", "--kind", "ImagePullBackOff", "--check"]).await.code == Some(0)
                })
                .await;
            }
            "5. Take a store offline during a release" => {
                // While it was away the others had the release.
                let row = |store: &str| shown.lines().find(|line| line.starts_with(store)).unwrap_or_else(|| panic!("no {store}: {shown}"));
                let commit = |store: &str| row(store).split_whitespace().nth(3).unwrap_or_default().to_owned();
                assert_ne!(commit("store-0001"), commit("store-0003"), "{shown}");
                all_run(&machine, "1.9.1").await;
            }
            other => panic!("a step that nobody checks: {other}"),
        }
        titles.push(title);
    }
    assert_eq!(titles.len(), 5, "{titles:?}");
    // It can be taken again: what was released meanwhile is where it begins.
    let again = machine.ok(&["tour"]).await;
    assert!(again.contains("s/newTag: 1.9.1/newTag: 1.10.0/") && again.contains("/tour-2"), "{again}");
}

/// Returns titles with their commands, one a line.
fn steps(printed: &str) -> Vec<(String, String)> {
    let mut steps: Vec<(String, String)> = Vec::new();
    for line in printed.lines() {
        if line.starts_with(|c: char| c.is_ascii_digit()) && line.contains(". ") {
            steps.push((line.to_owned(), String::new()));
        } else if let Some(command) = line.strip_prefix("    ") {
            let (_, commands) = steps.last_mut().expect("a title before its commands");
            commands.push_str(&format!("{command}\n"));
        }
    }
    steps
}

/// Returns the tag of offers-api that a cluster is to run.
async fn offers(machine: &Machine, cluster: &str) -> String {
    let deployment = get(&machine.store(cluster).await, "apps/v1", "Deployment", Some("edge"), "offers-api").await;
    let image = deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
    image.rsplit(':').next().unwrap_or_default().to_owned()
}

async fn all_run(machine: &Machine, tag: &str) {
    for cluster in STORES.iter().chain(&["store-sim-01"]) {
        eventually_within(PATIENCE, &format!("{cluster} runs {tag}"), async || offers(machine, cluster).await == tag).await;
    }
}

/// A shell that a person types into; a command that fails ends it.
struct Terminal {
    _shell: Child,
    keys: ChildStdin,
    screen: Lines<BufReader<ChildStdout>>,
}

impl Terminal {
    fn open() -> Self {
        let mut shell = tokio::process::Command::new("sh");
        shell.env_remove("MUSTER_DIR").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0").env("HOME", "/nonexistent");
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("sh runs");
        let keys = shell.stdin.take().expect("a pipe");
        let screen = BufReader::new(shell.stdout.take().expect("a pipe")).lines();
        Self { _shell: shell, keys, screen }
    }

    /// Types lines and returns what they write.
    async fn types(&mut self, commands: &str) -> String {
        // Programs must not take the lines that follow for their input.
        let typed = format!("set -e; exec 2>&1\n{{\n{commands}}} </dev/null\necho '--- over'\n");
        self.keys.write_all(typed.as_bytes()).await.expect("the shell goes on");
        let mut shown = String::new();
        let read = async {
            while let Some(line) = self.screen.next_line().await.expect("readable") {
                if line == "--- over" {
                    return true;
                }
                shown.push_str(&format!("{line}\n"));
            }
            false
        };
        let is_over = tokio::time::timeout(Duration::from_secs(600), read).await.unwrap_or_default();
        assert!(is_over, "a command failed or hangs:\n{commands}\n{shown}");
        shown
    }
}
