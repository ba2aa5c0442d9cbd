//! Directory sources: which files are taken, what they become, and what is said about mistakes. Kustomize is in modules.

#![allow(clippy::disallowed_methods, reason = "tests read files and run kubectl")]

mod kustomize;
mod oracle;

use render::{Directory, File, Files, Limits, Source, Tool, render};

fn files(files: &[(&str, &str)]) -> Files {
    files.iter().map(|(path, content)| ((*path).to_owned(), File::Content(content.as_bytes().to_vec()))).collect()
}

fn outcome(files: &Files, source: &Source) -> String {
    match render(files, source, &Limits::default()) {
        Ok(rendered) => rendered.manifests.iter().map(|m| format!("{}:{} {}\n", m.file, m.line, m.object["metadata"]["name"])).collect(),
        Err(problems) => problems.iter().map(|p| format!("! {p}\n")).collect(),
    }
}

/// Checks the objects (`file:line "name"`) or problems (`! ...`) of one file.
#[track_caller]
fn check(name: &str, content: &str, expect: &[&str]) {
    let found = outcome(&files(&[(name, content)]), &Source::default());
    assert_eq!(found.lines().collect::<Vec<_>>(), expect, "of\n{content}");
}

const A: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

#[test]
fn documents_become_objects_with_their_lines() {
    check("f.yaml", A, &["f.yaml:1 \"a\""]);
    check("f.yaml", &format!("# a\n---\n{A}---\n# nothing\n--- # b\n{A}"), &["f.yaml:2 \"a\"", "f.yaml:8 \"a\""]);
    check(
        "f.yml",
        "kind: List\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: A, metadata: {name: p}}\n- {apiVersion: v1, kind: A, metadata: {name: q}}\n",
        &["f.yml:1 \"p\"", "f.yml:1 \"q\""],
    );
    check("f.json", r#"{"apiVersion": "v1", "kind": "A", "metadata": {"name": "j"}}"#, &["f.json:1 \"j\""]);
    check("f.yaml", &format!("\u{feff}{A}"), &["f.yaml:1 \"a\""]);
    check("f.yaml", "apiVersion: v1\nkind: Job\nmetadata: {generateName: g-}\n", &["f.yaml:1 null"]);
}

#[test]
fn what_is_no_manifest_is_ignored() {
    check("values.yaml", "replicas: 1\n", &[]);
    check("broken.yaml", "a: [1\n", &[]);
    check("list.yaml", "- 1\n- 2\n", &[]);
    check("empty.yaml", "# nothing\n---\n", &[]);
    check("readme.md", A, &[]);
    check("skip.yaml", &format!("# +argocd:skip-file-rendering\n{A}"), &[]);
}

#[test]
fn a_manifest_with_a_mistake_is_a_problem_with_its_line() {
    check("f.yaml", &format!("{A}data:\n  a: [1\n"), &["! f.yaml:5: it is not YAML: unclosed bracket '['"]);
    check("f.yaml", &format!("{A}---\nreplicas: 1\n"), &["! f.yaml:5: it is no Kubernetes object: kind is missing"]);
    check("f.yaml", "apiVersion: v1\nkind: A\nmetadata: {}\n", &["! f.yaml:1: A: metadata.name is missing"]);
    check("f.yaml", "apiVersion: v1\nkind: A\nmetadata: {name: 5}\n", &["! f.yaml:1: A: metadata.name must be text; put it in quotes"]);
    check("f.yaml", "kind: A\nmetadata: {name: a}\n", &["! f.yaml:1: A \"a\": apiVersion is missing"]);
    check(
        "f.yaml",
        "apiVersion: v1\nkind: A\nmetadata: {name: a, annotations: {x: true}}\n",
        &["! f.yaml:1: A \"a\": metadata.annotations[\"x\"] must be text; put it in quotes"],
    );
    check("f.json", "{}\n{}", &["! f.json:2: a JSON file must hold one object; put each in a file of its own"]);
    check(
        "f.jsonnet",
        "{}",
        &["! f.jsonnet: Jsonnet is not supported yet; render it to YAML, or exclude it (spec.source.directory.exclude)"],
    );
    let nested = |depth: usize| format!("{A}data: {}1{}\n", "{a: ".repeat(depth), "}".repeat(depth));
    check("f.yaml", &nested(62), &["f.yaml:1 \"a\""]);
    for depth in [64, 10_000] {
        let found = outcome(&files(&[("f.yaml", &nested(depth))]), &Source::default());
        assert!(found.starts_with("! f.yaml:4: it is not YAML: nested deeper than 64 levels"), "{found}");
    }
    let deep = format!(r#"{{"apiVersion": "v1", "kind": "A", "metadata": {{"name": "a"}}, "x": {}1{}}}"#, "[".repeat(100), "]".repeat(100));
    check("f.json", &deep, &["! f.json:1: A \"a\": it nests deeper than 64 levels"]);
}

#[test]
fn one_bad_file_does_not_hide_another() {
    let found = outcome(&files(&[("a.yaml", "kind: A\nmetadata: {name: a}\n"), ("b.yaml", A), ("c.json", "{")]), &Source::default());
    assert_eq!(found.lines().count(), 2, "{found}");
}

#[test]
fn recurse_include_and_exclude_choose_files() {
    let object = |name: &str| format!("apiVersion: v1\nkind: A\nmetadata: {{name: {name}}}\n");
    let all = files(&[
        ("app/a.yaml", &object("a")),
        ("app/b.json", r#"{"apiVersion": "v1", "kind": "A", "metadata": {"name": "b"}}"#),
        ("app/sub/c.yaml", &object("c")),
        ("application/d.yaml", &object("d")),
        ("e.yaml", &object("e")),
    ]);
    let names = |recurse: bool, include: &str, exclude: &str| {
        let directory = Directory { recurse, include: include.into(), exclude: exclude.into() };
        let source = Source { path: "app".into(), directory, ..Source::default() };
        let found = render(&all, &source, &Limits::default()).map_err(|p| p[0].to_string());
        found.map(|r| r.manifests.iter().map(|m| m.object["metadata"]["name"].as_str().unwrap_or("").to_owned()).collect::<String>())
    };
    assert_eq!(names(false, "", ""), Ok("ab".into()));
    assert_eq!(names(true, "", ""), Ok("abc".into()));
    assert_eq!(names(true, "*.yaml", ""), Ok("ac".into()), "a star also matches a slash");
    assert_eq!(names(true, "{a.yaml,*.json}", ""), Ok("ab".into()));
    assert_eq!(names(true, "*.yaml", "sub/*"), Ok("a".into()), "exclude wins");
    assert!(names(true, "{a", "").unwrap_err().starts_with("spec.source.directory.include: "));
}

#[test]
fn links_submodules_and_large_files_matter_only_where_a_manifest_stands() {
    let mut all = files(&[("a.yaml", A)]);
    all.insert("link".into(), File::Link("/etc/passwd".into()));
    all.insert("image.png".into(), File::Omitted { size: 1 << 30 });
    assert_eq!(outcome(&all, &Source::default()), "a.yaml:1 \"a\"\n");
    all.insert("link.yaml".into(), File::Link("/etc/passwd".into()));
    assert!(outcome(&all, &Source::default()).starts_with("! link.yaml: it is a symbolic link to \"/etc/passwd\""));
}

#[test]
fn tools_that_are_not_there_yet_are_named() {
    let chart = files(&[("c/Chart.yaml", "name: c\n"), ("c/templates/a.yaml", "{{ fail }}")]);
    let source = Source { path: "c".into(), ..Source::default() };
    assert!(outcome(&chart, &source).starts_with("! Helm is not supported yet (c/Chart.yaml asks for it)"));
    let named = Source { tool: Some(Tool::Plugin), ..Source::default() };
    assert!(outcome(&files(&[]), &named).contains("spec.source.plugin asks for it"));
    // An explicit directory block wins over what the files look like.
    let directory = Source { tool: Some(Tool::Directory), ..source };
    assert_eq!(outcome(&chart, &directory), "");
}
