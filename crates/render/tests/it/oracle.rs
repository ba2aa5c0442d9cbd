//! Real kustomizations of public repositories, object by object as `kubectl kustomize` writes them.
//!
//! Trees are in `../shared/testdata/kustomize` beside the repository, or in `$MUSTER_TESTDATA/kustomize`; the measure is
//! `v35/kubectl` in the directory `$MUSTER_KUBECTLS`. Without either, nothing is compared, and that is said.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use apimachinery::yaml::{self, DuplicateKeys};
use render::{File, Files, Limits, Source, Tool, render};
use serde_json::Value;

const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// kubectls at once.
const THREADS: usize = 4;

/// Share of trees that must be equal.
const FLOOR_PERCENT: usize = 97;

/// Trees the test data has at least: fewer are no comparison.
const TREES_MIN: usize = 170;

#[test]
fn real_trees_are_as_kubectl_renders_them() {
    let (Some(trees), Some(kubectl)) = (testdata(), kubectl()) else { return };
    let rendering = AtomicU64::new(0);
    let (mut equal, mut refused, mut wrong, mut beyond) = (0, Vec::new(), Vec::new(), Vec::new());
    for repository in children(&trees) {
        let files = files(&repository);
        let dirs: Vec<&str> = files.keys().filter_map(|file| kustomization_dir(file)).collect();
        let next = AtomicUsize::new(0);
        let compare = || {
            let mut found = Vec::new();
            while let Some(dir) = dirs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let expected = oracle(&kubectl, &repository.join(dir));
                let begun = Instant::now();
                found.push((*dir, expected, ours(&files, dir)));
                rendering.fetch_add(begun.elapsed().as_micros() as u64, Ordering::Relaxed);
            }
            found
        };
        let mut found: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(compare)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        found.sort_by_key(|(dir, ..)| *dir);
        for (dir, expected, found) in found {
            let label = format!("{}/{dir}", repository.file_name().unwrap().to_string_lossy());
            match (expected, found) {
                (Some(expected), Ok(found)) => match difference(&expected, &found) {
                    None => equal += 1,
                    Some(what) => wrong.push(format!("{label}: {what}")),
                },
                (Some(_), Err(why)) => refused.push(format!("{label}: {why}")),
                (None, Ok(_)) => beyond.push(label),
                // Neither can: files left out of the test data, or other repositories.
                (None, Err(_)) => {}
            }
        }
    }
    let all = equal + refused.len() + wrong.len();
    println!("{equal} of {all} trees are equal; all are rendered in {} ms", rendering.into_inner() / 1000);
    assert!(all >= TREES_MIN, "{all} trees in {} are compared, at least {TREES_MIN} must be", trees.display());
    for (what, list) in [("refused", &refused), ("different", &wrong), ("only ours", &beyond)] {
        list.iter().for_each(|line| println!("{what}: {line}"));
    }
    assert!(wrong.is_empty(), "trees are rendered differently:\n{}", wrong.join("\n"));
    assert!(beyond.is_empty(), "kubectl refuses trees that we render: {beyond:?}");
    assert!(refused.iter().all(|line| line.contains("not supported")), "refused for another reason:\n{}", refused.join("\n"));
    assert!(equal * 100 >= all * FLOOR_PERCENT, "{equal} of {all} trees are equal, at least {FLOOR_PERCENT} % must be");
}

/// Returns the first difference, of objects in order.
fn difference(expected: &[Value], found: &[Value]) -> Option<String> {
    if let Some(at) = (0..expected.len().max(found.len())).find(|at| expected.get(*at) != found.get(*at)) {
        let (expected, found) = (expected.get(at), found.get(at));
        let name = |object: Option<&Value>| object.map_or("nothing".to_owned(), |o| format!("{} {}", o["kind"], o["metadata"]["name"]));
        let field = expected.zip(found).map(|(expected, found)| field(expected, found, String::new())).unwrap_or_default();
        return Some(format!("object {at}: {} is expected, {} found{field}", name(expected), name(found)));
    }
    None
}

fn field(expected: &Value, found: &Value, at: String) -> String {
    match (expected, found) {
        (Value::Object(a), Value::Object(b)) => {
            let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
            names.sort();
            match names.into_iter().find(|name| a.get(*name) != b.get(*name)) {
                Some(name) => field(a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null), format!("{at}/{name}")),
                None => at,
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let index = (0..a.len()).find(|index| a[*index] != b[*index]).unwrap_or(0);
            field(&a[index], &b[index], format!("{at}/{index}"))
        }
        (expected, found) => format!(": {at} is {expected}, found {found}"),
    }
}

fn oracle(kubectl: &Path, dir: &Path) -> Option<Vec<Value>> {
    // Without a way out, so that a remote base fails at once and everywhere.
    let output = Command::new(kubectl).arg("kustomize").arg(dir).env("PATH", "").env("HTTPS_PROXY", "http://127.0.0.1:9").output();
    let output = output.expect("kubectl starts");
    let text = String::from_utf8(output.stdout).expect("kubectl writes UTF-8");
    output.status.success().then(|| yaml::from_str_many(&text, DuplicateKeys::Refuse).expect("kubectl writes YAML"))
}

fn ours(files: &Files, dir: &str) -> Result<Vec<Value>, String> {
    let source = Source { path: dir.to_owned(), tool: Some(Tool::Kustomize), ..Source::default() };
    let rendered = render(files, &source, &Limits::default());
    let rendered = rendered.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    Ok(rendered.manifests.into_iter().map(|manifest| manifest.object).collect())
}

fn kustomization_dir(file: &str) -> Option<&str> {
    let (dir, name) = file.rsplit_once('/').unwrap_or(("", file));
    NAMES.contains(&name).then_some(dir)
}

fn testdata() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testdata");
    let dir = std::env::var_os("MUSTER_TESTDATA").map_or(beside, PathBuf::from).join("kustomize");
    if !dir.is_dir() {
        println!("skipped: {} is not present", dir.display());
        return None;
    }
    Some(dir)
}

/// Returns the kubectl to compare with, or says that there is none.
pub fn kubectl() -> Option<PathBuf> {
    let kubectl = std::env::var_os("MUSTER_KUBECTLS").map(|dir| PathBuf::from(dir).join("v35/kubectl"));
    match kubectl {
        Some(kubectl) if kubectl.is_file() => Some(kubectl),
        _ => {
            println!("skipped: MUSTER_KUBECTLS names no directory with v35/kubectl");
            None
        }
    }
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

fn files(root: &Path) -> Files {
    let mut found = Files::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap()) {
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if entry.file_type().unwrap().is_symlink() {
                found.insert(name, File::Link(std::fs::read_link(&path).unwrap().to_string_lossy().into_owned()));
            } else if path.is_dir() {
                waiting.push(path);
            } else {
                found.insert(name, File::Content(std::fs::read(&path).unwrap()));
            }
        }
    }
    found
}
