//! Kustomize by tables: small repositories, and the objects or the problem they become.
//!
//! Expectations are what `kubectl kustomize` (1.35) writes; with `MUSTER_KUBECTLS` that is checked as well.

use std::process::Command;

use apimachinery::yaml::{self, DuplicateKeys};
use render::{File, Files, Limits, Source, Tool, render};
use serde::Deserialize;
use serde_json::Value;

use crate::oracle;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    path: String,
    files: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    expect: Vec<Value>,
    refused: Option<String>,
    /// kubectl writes something that is of no use.
    #[serde(default)]
    only_here: bool,
}

const TABLES: [(&str, &str); 6] = [
    ("fields", include_str!("kustomize/fields.yaml")),
    ("generators", include_str!("kustomize/generators.yaml")),
    ("names", include_str!("kustomize/names.yaml")),
    ("overlays", include_str!("kustomize/overlays.yaml")),
    ("patches", include_str!("kustomize/patches.yaml")),
    ("replacements", include_str!("kustomize/replacements.yaml")),
];

fn cases() -> Vec<(&'static str, Case)> {
    let read = |(table, text): (&'static str, &str)| {
        let value = yaml::from_str(text, DuplicateKeys::Refuse).unwrap_or_else(|error| panic!("{table}: {error}"));
        let cases: Vec<Case> = serde_json::from_value(value).unwrap_or_else(|error| panic!("{table}: {error}"));
        cases.into_iter().map(move |case| (table, case))
    };
    TABLES.into_iter().flat_map(read).collect()
}

fn files(files: &[(&str, &str)]) -> Files {
    files.iter().map(|(path, content)| ((*path).to_owned(), File::Content(content.as_bytes().to_vec()))).collect()
}

fn source(path: &str) -> Source {
    Source { path: path.to_owned(), ..Source::default() }
}

fn outcome(files: &Files, source: &Source, limits: &Limits) -> Result<Vec<Value>, String> {
    match render(files, source, limits) {
        Ok(rendered) => {
            assert_eq!(rendered.tool, Tool::Kustomize);
            Ok(rendered.manifests.into_iter().map(|manifest| manifest.object).collect())
        }
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

#[test]
fn repositories_become_the_objects_of_the_tables() {
    let mut wrong = Vec::new();
    for (table, case) in cases() {
        let all: Vec<(&str, &str)> = case.files.iter().map(|(path, content)| (path.as_str(), content.as_str())).collect();
        let found = outcome(&files(&all), &source(&case.path), &Limits::default());
        let expected = case.refused.map_or(Ok(case.expect), |why| Err(why.trim_end().to_owned()));
        if found != expected {
            wrong.push(format!("{table}: {}\n expected {expected:?}\n found    {found:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_tables_are_as_kubectl_has_them() {
    let Some(kubectl) = oracle::kubectl() else { return };
    for (table, case) in cases().into_iter().filter(|(_, case)| !case.only_here) {
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in &case.files {
            let path = dir.path().join("repo").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        let output =
            Command::new(&kubectl).arg("kustomize").arg(dir.path().join("repo").join(&case.path)).env("PATH", "").output().unwrap();
        assert_eq!(output.status.success(), case.refused.is_none(), "{table}: {}", case.name);
        if output.status.success() {
            let text = String::from_utf8(output.stdout).unwrap();
            assert_eq!(yaml::from_str_many(&text, DuplicateKeys::Refuse).unwrap(), case.expect, "{table}: {}", case.name);
        }
    }
}

#[test]
fn an_application_changes_the_outermost_kustomization() {
    let all = files(&[
        ("over/kustomization.yaml", "resources: [a.yaml]\nimages: [{name: nginx, newTag: '1'}]\ncommonLabels: {team: a}\n"),
        (
            "over/a.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: c, image: nginx}]}}}\n",
        ),
        ("over/comp/kustomization.yaml", "kind: Component\ncommonAnnotations: {from: component}\n"),
    ]);
    let with = |text: &str| {
        let kustomize = serde_json::from_value(yaml::from_str(text, DuplicateKeys::Refuse).unwrap()).unwrap();
        let source = Source { kustomize: Some(kustomize), ..source("over") };
        outcome(&all, &source, &Limits::default()).map(|objects| objects[0].clone())
    };
    let web = with(
        "{namePrefix: p-, nameSuffix: -s, namespace: ns, images: ['nginx=reg.io/n:2@sha256:0'], replicas: [{name: web, count: '3'}], \
         commonAnnotations: {x: z}, components: [comp], patches: [{target: {kind: Deployment}, patch: '[{op: add, path: /spec/paused, value: true}]'}]}",
    )
    .unwrap();
    assert_eq!(web["metadata"]["name"], "p-web-s");
    assert_eq!(web["metadata"]["namespace"], "ns");
    assert_eq!(web["metadata"]["annotations"], serde_json::json!({"x": "z", "from": "component"}));
    assert_eq!(web["spec"]["replicas"], 3);
    assert_eq!(web["spec"]["paused"], true);
    assert_eq!(web["spec"]["template"]["spec"]["containers"][0]["image"], "reg.io/n:2@sha256:0");
    let labels = with("{commonLabels: {a: b}, labelWithoutSelector: true, labelIncludeTemplates: true}").unwrap();
    assert_eq!(labels["spec"]["template"]["metadata"]["labels"], serde_json::json!({"a": "b", "team": "a"}));
    assert_eq!(labels["spec"]["selector"]["matchLabels"], serde_json::json!({"team": "a"}));
    assert_eq!(with("{commonLabels: {team: b}, forceCommonLabels: true}").unwrap()["metadata"]["labels"]["team"], "b");
    for (text, field) in [
        ("{commonLabels: {team: b}}", "commonLabels: \"team\" is in the kustomization already"),
        ("{version: v4.5.7}", "version: not supported"),
        ("{commonAnnotationsEnvsubst: true}", "commonAnnotationsEnvsubst: not supported"),
        ("{images: [nginx]}", "images[0]: "),
        ("{replicas: [{name: web, count: many}]}", "replicas[0].count: "),
        ("{components: [none]}", "components[0]: over/none is no directory"),
        ("{components: [../comp]}", "components[0]: comp is outside"),
        ("{patches: [{pach: x}]}", "patches[0]: unknown field"),
    ] {
        let why = with(text).unwrap_err();
        assert!(why.starts_with(&format!("spec.source.kustomize.{field}")), "{text}: {why}");
    }
    assert!(with("{components: [none], ignoreMissingComponents: true}").is_ok());
}

#[test]
fn a_remote_base_may_be_of_the_repository_itself() {
    let all = |reference: &str| {
        files(&[
            ("over/kustomization.yaml", &format!("resources: ['{reference}']\n")),
            ("base/kustomization.yaml", "configMapGenerator: [{name: cm}]\n"),
        ])
    };
    let own = Source { repo: "https://Git.Example.com/team/app.git".into(), revision: "prod".into(), ..source("over") };
    let found = |reference: &str, source: &Source| outcome(&all(reference), source, &Limits::default());
    assert_eq!(found("https://git.example.com/team/app//base?ref=prod", &own).map(|objects| objects.len()), Ok(1));
    assert_eq!(found("git@git.example.com:team/app.git//base?ref=prod", &own).map(|objects| objects.len()), Ok(1));
    let other = found("https://git.example.com/team/app//base?ref=v1", &own).unwrap_err();
    assert!(other.contains("resources[0]: it is this repository at \"v1\", not at \"prod\""), "{other}");
    let other = found("https://git.example.com/team/other//base?ref=prod", &own).unwrap_err();
    assert!(other.contains("resources[0]: git.example.com/team/other is another repository; not supported"), "{other}");
    let head = Source { revision: "HEAD".into(), ..own };
    assert_eq!(found("https://git.example.com/team/app//base", &head).map(|objects| objects.len()), Ok(1));
    let file = found("https://git.example.com/team/app/raw/base.yaml", &source("over")).unwrap_err();
    assert!(file.contains("not supported"), "{file}");
}

#[test]
fn what_a_kustomization_refers_to_is_wanted_until_it_is_there() {
    let all = files(&[
        (
            "over/kustomization.yaml",
            "resources: [../mid, a.yaml, 'https://git.example.com/t/app//near/../far/./?ref=x']\ncomponents: [../comp]\n",
        ),
        ("over/a.yaml", ""),
        (
            "mid/kustomization.yml",
            "resources: [../base]\npatches: [{path: p.yaml}]\nconfigMapGenerator: [{name: c, files: [k=f.txt], envs: [e.env]}]\n",
        ),
        ("mid/p.yaml", ""),
        ("mid/f.txt", ""),
        ("mid/e.env", ""),
        ("mid/unused.yaml", ""),
        ("base/Kustomization", "resources: [b.yaml]\nreplacements: [{path: r.yaml}]\nconfigurations: [../outside.yaml]\n"),
        ("base/b.yaml", ""),
        ("base/r.yaml", ""),
        ("outside.yaml", ""),
        ("comp/kustomization.yaml", "kind: Component\npatchesStrategicMerge: [p.yaml]\n"),
        ("comp/p.yaml", ""),
        ("far/kustomization.yaml", "resources: [../../../etc]\n"),
    ]);
    let mut have: Vec<String> = all.keys().filter(|path| path.starts_with("over/")).cloned().collect();
    loop {
        let content = |path: &str| match all.get(path).filter(|_| have.iter().any(|known| known == path)) {
            Some(File::Content(content)) => Some(content.as_slice()),
            _ => None,
        };
        let new: Vec<String> = render::wanted("https://git.example.com/t/app.git", "over", &content)
            .into_iter()
            .filter(|path| all.contains_key(path) && !have.contains(path))
            .collect();
        if new.is_empty() {
            break;
        }
        have.extend(new);
    }
    have.sort();
    let missing: Vec<&String> = all.keys().filter(|path| !have.contains(path)).collect();
    assert_eq!(missing, ["mid/unused.yaml", "outside.yaml"]);
}

#[test]
fn rendering_is_the_same_each_time_and_names_where_objects_stand() {
    for (table, case) in cases() {
        let all: Vec<(&str, &str)> = case.files.iter().map(|(path, content)| (path.as_str(), content.as_str())).collect();
        let once = || render(&files(&all), &source(&case.path), &Limits::default());
        let first = once();
        assert_eq!(first, once(), "{table}: {}", case.name);
        for manifest in first.into_iter().flat_map(|rendered| rendered.manifests) {
            assert!(case.files.contains_key(&manifest.file), "{table}: {}: {}", case.name, manifest.file);
        }
    }
}

/// Checks that hostile input is refused with words that name file and field, quickly.
#[track_caller]
fn refused(all: &[(&str, &str)], expect: &str) {
    let why = outcome(&files(all), &source(""), &Limits::default()).expect_err(expect);
    assert!(why.contains(expect), "{expect:?} is not in {why:.300}");
}

#[test]
fn hostile_kustomizations_are_refused() {
    let k = "kustomization.yaml";
    refused(
        &[(k, "configMapGenerator: [{name: a, files: [../../etc/passwd]}]")],
        "kustomization.yaml: configMapGenerator[0]: files: \"../../etc/passwd\" leads out",
    );
    refused(
        &[(k, "secretGenerator: [{name: a, envs: [/etc/passwd]}]")],
        "kustomization.yaml: secretGenerator[0]: envs: \"/etc/passwd\" is absolute",
    );
    refused(
        &[(k, "patches: [{path: 'https://x.example.com/p.yaml'}]")],
        "kustomization.yaml: patches[0].path: \"https://x.example.com/p.yaml\" is a URL",
    );
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let above = level - 1;
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{above}"); 10].join(", ")));
    }
    refused(&[(k, &bomb)], "kustomization.yaml:5: it is not YAML: alias replay limit");
    refused(&[(k, "resources: [a.yaml]"), ("a.yaml", &bomb)], "a.yaml:5: it is not YAML: alias replay limit");
    refused(&[(k, &format!("resources: {}1{}", "[".repeat(10_000), "]".repeat(10_000)))], "kustomization.yaml:1: it is not YAML: ");
    // Overlays that double at each level are stopped by their number.
    let mut doubling: Vec<(String, String)> = (0..20)
        .map(|level| (format!("d{level}/kustomization.yaml"), format!("resources: [../d{}, ../d{}]", level + 1, level + 1)))
        .collect();
    doubling.push(("d20/kustomization.yaml".into(), "namePrefix: x".into()));
    doubling.push((k.into(), "resources: [d0]".into()));
    let all: Vec<(&str, &str)> = doubling.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    refused(&all, "more than 500 kustomizations are read");
    let mut deep: Vec<(String, String)> =
        (0..40).map(|level| (format!("d{level}/kustomization.yaml"), format!("resources: [../d{}]", level + 1))).collect();
    deep.push((k.into(), "resources: [d0]".into()));
    let all: Vec<(&str, &str)> = deep.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    refused(&all, "overlays are stacked more than 32 deep");
    // What is put into every object counts before it is put there.
    let objects = |count: usize| -> String {
        (0..count).map(|n| format!("---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c{n}}}}}\n")).collect()
    };
    let (some, many) = (objects(300), objects(2_600));
    let long = "x".repeat(200_000);
    refused(&[(k, &format!("resources: [a.yaml]\ncommonAnnotations: {{a: {long}}}")), ("a.yaml", &some)], "the objects would exceed");
    refused(&[(k, &format!("resources: [a.yaml]\nnamePrefix: {long}")), ("a.yaml", &some)], "the objects would exceed");
    let patch = format!(
        "resources: [a.yaml]\npatches: [{{target: {{kind: ConfigMap}}, patch: '{{apiVersion: v1, kind: A, metadata: {{name: a}}, d: {long}}}'}}]"
    );
    refused(&[(k, &patch), ("a.yaml", &some)], "patches[0]: the objects would exceed");
    let patch = format!("resources: [a.yaml]\npatches: [{{target: {{kind: ConfigMap}}, patch: '[{{op: add, path: /d, value: {long}}}]'}}]");
    refused(&[(k, &patch), ("a.yaml", &some)], "patches[0]: the objects would exceed");
    let put = format!(
        "resources: [a.yaml]\nreplacements: [{{sourceValue: {long}, targets: [{{select: {{kind: ConfigMap}}, fieldPaths: [d], options: {{create: true}}}}]}}]"
    );
    refused(&[(k, &put), ("a.yaml", &some)], "replacements[0]: targets[0]: what is replaced exceeds");
    let work = format!("resources: [a.yaml]\nimages: [{}]", "{name: a, newTag: b}, ".repeat(1_000));
    refused(&[(k, &work), ("a.yaml", &many)], "1000 changes to 2600 objects are more than are carried out");
    refused(
        &[(k, "resources: [a.yaml, b.yaml]"), ("a.yaml", &many), ("b.yaml", &many.replace("name: c", "name: d"))],
        "more than 5000 objects",
    );
    let vars = format!(
        "vars: [{{name: V, objref: {{apiVersion: v1, kind: ConfigMap, name: c}}, fieldref: {{fieldPath: data.v}}}}]\nresources: [a.yaml]\nconfigMapGenerator: [{{name: c, literals: [v={long}]}}]"
    );
    let user = format!("{{apiVersion: v1, kind: A, metadata: {{name: a, annotations: {{a: '{}'}}}}}}", "$(V)".repeat(10_000));
    refused(&[(k, &vars), ("a.yaml", &user)], "vars: A \"a\": metadata/annotations: the values put in are too many and too long");
}

#[test]
fn links_and_large_files_are_named() {
    let mut all = files(&[("kustomization.yaml", "resources: [a.yaml]\n")]);
    for (file, expect) in [
        (File::Link("/etc/passwd".into()), "resources[0]: a.yaml is a symbolic link to \"/etc/passwd\""),
        (File::Submodule, "resources[0]: a.yaml is a submodule"),
        (File::Omitted { size: 1 << 30 }, "resources[0]: a.yaml is too large"),
    ] {
        all.insert("a.yaml".into(), file);
        let why = outcome(&all, &source(""), &Limits::default()).unwrap_err();
        assert!(why.contains(expect), "{why}");
    }
}
