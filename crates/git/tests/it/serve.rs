//! The server, by the `git` program itself.

use crate::server::{Server, run};

#[tokio::test(flavor = "multi_thread")]
async fn git_clones_and_pushes_over_http() {
    let mut server = Server::start(None).await;
    server.create_with("app", &[("a.yaml", "a: 1\n")]);
    let url = server.url("app");
    let dir = server.dir.path().to_owned();
    tokio::task::spawn_blocking(move || {
        run(&dir, &["clone", "-q", &url, "over-http"]);
        let clone = dir.join("over-http");
        assert_eq!(std::fs::read_to_string(clone.join("a.yaml")).expect("a file"), "a: 1\n");
        // Random enough not to be compressed: more than a pipe's buffer, sent chunked.
        let big: String = (0..200_000u32).map(|n| format!("{:x}\n", n.wrapping_mul(2_654_435_761))).collect();
        std::fs::write(clone.join("big.txt"), &big).expect("written");
        run(&clone, &["add", "-A"]);
        run(&clone, &["commit", "-q", "-m", "big"]);
        run(&clone, &["push", "-q", "origin", "HEAD"]);
        run(&dir, &["clone", "-q", &url, "again"]);
        assert_eq!(std::fs::read_to_string(dir.join("again/big.txt")).expect("a file"), big);
    })
    .await
    .expect("git agrees");
    assert_eq!(server.pushes.try_recv().as_deref(), Ok("app.git"));
    assert!(server.pushes.try_recv().is_err(), "only a push is one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_asked_for() {
    let login = git::Login { username: "u".into(), password: "p".into() };
    let server = Server::start(Some(login)).await;
    server.create_with("app", &[("a.yaml", "a: 1\n")]);
    let (with, dir) = (server.url("app").replace("http://", "http://u:p@"), server.dir.path().to_owned());
    tokio::task::spawn_blocking(move || run(&dir, &["clone", "-q", &with, "over-http"])).await.expect("the login is taken");
}
