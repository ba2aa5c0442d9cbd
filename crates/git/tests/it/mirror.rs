//! Mirrors: revisions, packs, shared work, and errors in an operator's words.

use std::time::Duration;

use git::{Entry, Error, Limits, Mirrors, Options, Pack};
use tempfile::TempDir;

use crate::server::Server;

const NOW: Duration = Duration::ZERO;

fn mirrors(change: impl FnOnce(&mut Options)) -> (TempDir, Mirrors) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut options = Options::new(dir.path());
    change(&mut options);
    (dir, Mirrors::new(options))
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_tags_commits_and_head_resolve_and_move() {
    let server = Server::start(None).await;
    let work = server.create_with("app", &[("app/a.yaml", "a: 1\n")]);
    let first = work.git(&["rev-parse", "HEAD"]);
    work.git(&["tag", "-a", "v1", "-m", "first"]);
    work.git(&["push", "-q", "origin", "v1"]);
    let (_dir, mirrors) = mirrors(|_| {});
    let mirror = mirrors.get(&server.url("app")).expect("a mirror");
    for revision in ["main", "v1", "HEAD", "", "refs/heads/main", "refs/tags/v1", first.as_str()] {
        assert_eq!(mirror.resolve(revision, NOW).await.expect(revision).as_str(), first, "{revision}");
    }
    let second = work.commit(&[("app/a.yaml", "a: 2\n")]);
    assert_eq!(mirror.resolve("main", Duration::from_secs(60)).await.expect("known").as_str(), first, "an old answer was accepted");
    let moved = mirror.refresh().await.expect("refreshed");
    assert!(moved.iter().any(|(revision, commit)| revision == "main" && commit.as_str() == second));
    assert!(!moved.iter().any(|(revision, _)| revision == "v1"));
    assert_eq!(mirror.resolve("main", Duration::from_secs(60)).await.expect("known").as_str(), second);
    assert_eq!(mirror.refresh().await.expect("refreshed"), []);
    // The first commit is behind the shallow boundary for a mirror that comes late; it is fetched by its id.
    let (_dir, late) = self::mirrors(|_| {});
    let late = late.get(&server.url("app")).expect("a mirror");
    assert_eq!(late.resolve("main", NOW).await.expect("resolved").as_str(), second);
    let pack = late.pack(&first.parse().expect("an id"), "app").await.expect("a pack");
    let pack = Pack::read(&pack, &Limits::default()).expect("readable");
    assert_eq!(pack.entries["app/a.yaml"], Entry::File(b"a: 1\n".to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_a_commit_is_behind_is_counted_as_git_does() {
    let server = Server::start(None).await;
    let work = server.create_with("app", &[("a", "0")]);
    let (_dir, mirrors) = mirrors(|_| {});
    let mirror = mirrors.get(&server.url("app")).expect("a mirror");
    let first = mirror.resolve("main", NOW).await.expect("resolved");
    // Merges of a branch that went on meanwhile, and more commits than are fetched at once.
    for _ in 0..20 {
        work.git(&["checkout", "-q", "-B", "dev"]);
        for _ in 0..3 {
            work.git(&["commit", "-q", "--allow-empty", "-m", "change"]);
        }
        work.git(&["checkout", "-q", "main"]);
        work.git(&["merge", "-q", "--no-ff", "-m", "merge", "dev"]);
    }
    let middle = work.commit(&[("a", "1")]).parse().expect("an id");
    assert_eq!(mirror.resolve("main", NOW).await.expect("resolved"), middle);
    let last = work.commit(&[("a", "2")]).parse().expect("an id");
    let check = async |from: &git::CommitId, to: &git::CommitId| {
        let found = mirror.distance(from, to).await.expect("counted");
        let range = format!("{from}..{to}");
        let count = work.git(&["rev-list", "--count", "--no-merges", &range]);
        let first = work.git(&["log", "--first-parent", "--reverse", "--format=%ct", &range]);
        let since = first.lines().next().map(|seconds| seconds.parse().expect("seconds"));
        assert_eq!((found.commits.to_string(), found.is_more, found.since), (count, false, since), "{range}");
    };
    check(&first, &middle).await;
    check(&middle, &last).await;
    check(&first, &last).await;
    check(&last, &first).await;
    check(&last, &last).await;
    // What came after still is one commit deep, and is resolved as ever.
    let news = work.commit(&[("a", "3")]);
    assert_eq!(mirror.resolve("main", NOW).await.expect("resolved").as_str(), news);
    let gone = "0123456789abcdef0123456789abcdef01234567".parse().expect("an id");
    assert!(matches!(mirror.distance(&gone, &last).await, Err(Error::Commit { .. })));
    server.stop();
    assert_eq!(mirror.distance(&first, &last).await.expect("from the mirror").commits, 62);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_holds_what_is_below_the_path_and_survives_the_server() {
    let server = Server::start(None).await;
    let work = server.create_with("app", &[("app/a.yaml", "a: 1\n"), ("app/sub/b.yaml", "b: 1\n"), ("other/c.yaml", "c: 1\n")]);
    std::os::unix::fs::symlink("../../etc/passwd", work.dir.join("app/link.yaml")).expect("a link");
    let commit = work.commit(&[("app/big.bin", &"x".repeat(3 << 20))]).parse().expect("an id");
    let (dir, mirrors) = mirrors(|_| {});
    let mirror = mirrors.get(&server.url("app")).expect("a mirror");
    mirror.resolve("main", NOW).await.expect("resolved");
    let bytes = mirror.pack(&commit, "./app/").await.expect("a pack");
    let pack = Pack::read(&bytes, &Limits::default()).expect("readable");
    assert_eq!(pack.path, "app");
    assert_eq!(pack.entries.keys().collect::<Vec<_>>(), ["app/a.yaml", "app/big.bin", "app/link.yaml", "app/sub/b.yaml"]);
    assert_eq!(pack.entries["app/link.yaml"], Entry::Link("../../etc/passwd".into()));
    assert_eq!(pack.entries["app/big.bin"], Entry::Omitted { size: 3 << 20 });
    let whole = Pack::read(&mirror.pack(&commit, ".").await.expect("a pack"), &Limits::default()).expect("readable");
    assert_eq!(whole.entries.len(), 5);
    server.stop();
    let again = Mirrors::new(Options::new(dir.path())).get(&server.url("app")).expect("a mirror");
    assert_eq!(again.pack(&commit, "app").await.expect("kept on disk"), bytes);
    assert_eq!(again.pack(&commit, "other").await.map(|p| p.is_empty()), Ok(false), "made from the mirror on disk");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_holds_what_its_files_refer_to() {
    let server = Server::start(None).await;
    let files = [
        ("app/refers", "lib/a lib/gone ../x lib"),
        ("lib/a", "far/b"),
        ("far/b", "app/refers far/c"),
        ("far/c", "lib/a"),
        ("far/unnamed", "lib/a"),
    ];
    let commit = server.create_with("app", &files).git(&["rev-parse", "HEAD"]).parse().expect("an id");
    // Every word of a file that the pack has is a reference.
    let words = |dir: &str, content: &dyn Fn(&str) -> Option<String>| {
        let (mut waiting, mut found) = (vec![format!("{dir}/refers")], std::collections::BTreeSet::new());
        while let Some(path) = waiting.pop() {
            for word in content(&path).unwrap_or_default().split(' ').filter(|word| !word.is_empty()) {
                if found.insert(word.to_owned()) {
                    waiting.push(word.to_owned());
                }
            }
        }
        found
    };
    let (_dir, mirrors) = mirrors(|options| {
        options.references = std::sync::Arc::new(move |_, dir, content| {
            words(dir, &|path| content(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
        });
        options.limits.files_max = 4;
    });
    let mirror = mirrors.get(&server.url("app")).expect("a mirror");
    let pack = Pack::read(&mirror.pack(&commit, "app").await.expect("a pack"), &Limits::default()).expect("readable");
    assert_eq!(pack.entries.keys().collect::<Vec<_>>(), ["app/refers", "far/b", "far/c", "lib/a"]);
    let (_dir, mirrors) = self::mirrors(|options| {
        // A name that is new each time, as no real one would be.
        let asked = std::sync::atomic::AtomicUsize::new(0);
        options.references =
            std::sync::Arc::new(move |_, _, _| [format!("none/{}", asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed))].into());
        options.limits.files_max = 4;
    });
    let endless = mirrors.get(&server.url("app")).expect("a mirror").pack(&commit, "app").await;
    assert!(matches!(&endless, Err(Error::TooLarge { limit, .. }) if limit.contains("references")), "{endless:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_askers_cost_two_conversations() {
    let server = Server::start(None).await;
    let work = server.create_with("app", &[("a.yaml", "a: 1\n")]);
    let (_dir, mirrors) = mirrors(|_| {});
    let mirror = mirrors.get(&server.url("app")).expect("a mirror");
    mirror.resolve("main", NOW).await.expect("resolved");
    let commit = work.commit(&[("a.yaml", "a: 2\n")]);
    let before = server.requests();
    let askers = (0..100).map(|_| {
        let mirror = mirror.clone();
        tokio::spawn(async move { mirror.resolve("main", NOW).await.expect("resolved").to_string() })
    });
    for asker in askers.collect::<Vec<_>>() {
        assert_eq!(asker.await.expect("done"), commit);
    }
    // A conversation is a handshake and a list, the first also a fetch; the second is for who asked during the first.
    let requests = server.requests() - before;
    assert!(requests <= 8, "{requests} requests for 100 askers");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_wanted_branches_are_fetched() {
    let server = Server::start(None).await;
    let work = server.create_with("app", &[("a.yaml", "a: 1\n")]);
    work.git(&["checkout", "-q", "-b", "heavy"]);
    let heavy = work.commit(&[("heavy.txt", "h\n")]);
    let (dir, mirrors) = mirrors(|_| {});
    let mirror = mirrors.get(&server.url("app")).expect("a mirror");
    mirror.resolve("main", NOW).await.expect("resolved");
    let stored = std::fs::read_dir(dir.path().join("mirrors")).expect("mirrors").next().expect("one").expect("one").path();
    let has_heavy = std::process::Command::new("git").arg("-C").arg(stored).args(["cat-file", "-e", &heavy]).status().expect("git runs");
    assert!(!has_heavy.success(), "a branch nobody wants was fetched");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_the_repository_and_the_remedy() {
    let login = git::Login { username: "u".into(), password: "p".into() };
    let guarded = Server::start(Some(login.clone())).await;
    guarded.create_with("app", &[("a.yaml", "a: 1\n")]);
    let server = Server::start(None).await;
    server.create("empty");
    let commit = server.create_with("app", &[("app/a.yaml", "a: 1\n")]).git(&["rev-parse", "HEAD"]).parse().expect("an id");
    let (_dir, mirrors) = mirrors(|_| {});
    let resolve = async |url: &str, revision: &str| match mirrors.get(url) {
        Ok(mirror) => mirror.resolve(revision, NOW).await.expect_err("an error"),
        Err(error) => error,
    };

    assert!(matches!(resolve(&guarded.url("app"), "main").await, Error::LoginMissing { .. }));
    assert!(matches!(resolve(&server.url("none"), "main").await, Error::NotFound { .. }));
    assert!(matches!(resolve(&server.url("empty"), "main").await, Error::Empty { .. }));
    let unknown = resolve(&server.url("app"), "prod").await;
    assert!(unknown.to_string().contains("revision \"prod\" is not a branch, tag or commit"), "{unknown}");
    assert!(resolve(&server.url("app"), "abcdef1").await.to_string().contains("in full"));
    assert!(matches!(resolve(&server.url("app"), "a b:c").await, Error::Revision { .. }));
    assert!(matches!(resolve(&server.url("app"), &"0".repeat(40)).await, Error::Commit { .. }));
    assert!(matches!(resolve("file:///etc", "main").await, Error::Scheme { .. }));
    assert!(!resolve("ssh://user:secret@host/x", "main").await.to_string().contains("secret"));
    let mirror = mirrors.get(&server.url("app")).expect("a mirror");
    assert!(matches!(mirror.pack(&commit, "nowhere").await, Err(Error::Path { .. })));
    assert!(matches!(mirror.pack(&commit, "app/a.yaml").await, Err(Error::Refused { .. })));
    assert!(matches!(mirror.pack(&commit, "../x").await, Err(Error::Refused { .. })));
    // A port that is held and not listened on: one that was just given back may be another test's by now.
    let nobody = tokio::net::TcpSocket::new_v4().expect("a socket");
    nobody.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let gone = resolve(&format!("http://{}/app.git", nobody.local_addr().expect("bound")), "main").await;
    assert!(matches!(&gone, Error::Unreachable { .. }) && gone.may_pass(), "{gone:?}");
    eprintln!("{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_on_disk_can_be_read_if_allowed() {
    let server = Server::start(None).await;
    let commit = server.create_with("app", &[("a.yaml", "a: 1\n")]).git(&["rev-parse", "HEAD"]);
    let (_dir, mirrors) = mirrors(|options| options.is_file_allowed = true);
    let url = format!("file://{}", server.dir.path().join("served/app.git").display());
    assert_eq!(mirrors.get(&url).expect("a mirror").resolve("main", NOW).await.expect("resolved").as_str(), commit);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_mirror_is_made_anew() {
    let server = Server::start(None).await;
    let commit = server.create_with("app", &[("a.yaml", "a: 1\n")]).git(&["rev-parse", "HEAD"]);
    let (dir, mirrors) = mirrors(|_| {});
    let mirror = mirrors.get(&server.url("app")).expect("a mirror");
    mirror.resolve("main", NOW).await.expect("resolved");
    let stored = std::fs::read_dir(dir.path().join("mirrors")).expect("mirrors").next().expect("one").expect("one").path();
    std::fs::remove_file(stored.join("HEAD")).expect("damaged");
    assert_eq!(mirror.resolve("main", NOW).await.expect("resolved").as_str(), commit);
    assert!(mirror.pack(&commit.parse().expect("an id"), "").await.is_ok());
}

/// Answers requests for one path with a redirect, everything else from a Git server.
async fn redirecting(to: impl Fn(&str) -> Option<String> + Clone + Send + 'static) -> std::net::SocketAddr {
    use http::{Response, StatusCode};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let to = to.clone();
            let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let location = request.uri().path_and_query().and_then(|path| to(path.as_str()));
                async move {
                    let response = Response::builder();
                    let response = match location {
                        Some(location) => response.status(StatusCode::MOVED_PERMANENTLY).header("location", location),
                        None => response.status(StatusCode::NOT_FOUND),
                    };
                    response.body(http_body_util::Empty::<bytes::Bytes>::new())
                }
            });
            let connection = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            tokio::spawn(async move { drop(connection.serve_connection(TokioIo::new(socket), service).await) });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_of_the_same_server_is_followed() {
    let server = Server::start(None).await;
    let commit = server.create_with("app", &[("a.yaml", "a: 1\n")]).git(&["rev-parse", "HEAD"]);
    let (_dir, mirrors) = mirrors(|_| {});
    let found = mirrors.get(&server.url("old/app")).expect("a mirror").resolve("main", NOW).await.expect("followed");
    assert_eq!(found.as_str(), commit);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_another_server_is_an_error_with_its_address() {
    let server = Server::start(None).await;
    server.create_with("app", &[("a.yaml", "a: 1\n")]);
    let elsewhere = server.address;
    let address =
        redirecting(move |path| path.contains("/moved").then(|| format!("http://{elsewhere}{}", path.replace("/moved", "/app")))).await;
    let (_dir, mirrors) = mirrors(|_| {});
    let moved = mirrors.get(&format!("http://{address}/moved.git")).expect("a mirror").resolve("main", NOW).await.expect_err("refused");
    assert!(moved.to_string().contains(&format!("write \"http://{elsewhere}/app.git\" as repoURL")), "{moved}");
    let around = redirecting(|path| Some(path.to_owned())).await;
    let around = mirrors.get(&format!("http://{around}/a.git")).expect("a mirror").resolve("main", NOW).await.expect_err("refused");
    assert!(around.to_string().contains("redirected 5 times"), "{around}");
}

#[tokio::test]
async fn a_password_in_a_url_is_refused_and_not_repeated() {
    let (_dir, mirrors) = mirrors(|_| {});
    let refused = mirrors.get("https://me:hunter2@git.example/app").err().expect("refused");
    assert!(matches!(refused, Error::PasswordInUrl { .. }) && !refused.to_string().contains("hunter2"), "{refused}");
}
