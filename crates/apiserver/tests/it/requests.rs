//! Requests and what they must be answered with, as tables in `requests/`.
//!
//! A table is a YAML list of steps on one new server with namespace `shop`. A step sends one request as
//! an administrator (or `as` another), checks the answer and may keep parts of it: `{name}` in later steps
//! stands for what was kept. Nothing but bytes on the wire is looked at.

use std::collections::BTreeMap;

use apimachinery::yaml::{self, DuplicateKeys};
use apiserver::Caller;
use apiserver::user::UserInfo;
use http::{Request, header};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::Value;

use crate::support::{self, Server};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// Method and target.
    #[serde(rename = "do")]
    request: String,
    /// What is sent: text as it is, other values as JSON.
    body: Option<Value>,
    /// Sends `body` this often in a row (for bodies that are too large or too deep).
    #[serde(default)]
    times: Option<usize>,
    #[serde(rename = "type", default)]
    content_type: Option<String>,
    accept: Option<String>,
    /// Who asks: a user's name, or an `Authorization` header.
    #[serde(rename = "as")]
    user: Option<String>,
    authorization: Option<String>,
    /// The code.
    gives: u16,
    /// JSON pointers and what is there; `null` is nothing.
    #[serde(default)]
    has: BTreeMap<String, Value>,
    /// Texts in the body.
    #[serde(default)]
    says: Vec<String>,
    #[serde(default)]
    never: Vec<String>,
    /// Texts in `Warning` headers; no other may be there.
    #[serde(default)]
    warns: Vec<String>,
    /// Asks again until the answer is right.
    #[serde(default)]
    until: bool,
    /// Names for parts of the answer.
    #[serde(default)]
    keep: BTreeMap<String, String>,
}

/// Runs a table; panics with every step that was answered otherwise.
async fn run(table: &str) {
    let server = support::start().await;
    let mut kept = BTreeMap::from([("expired".to_owned(), support::expired_token(&server, "default"))]);
    let mut failures = Vec::new();
    let steps = yaml::from_str(table, DuplicateKeys::Refuse).expect("a table is YAML");
    create_shop(&server).await;
    for step in steps.as_array().expect("a table is a list") {
        let mut text = step.to_string();
        for (name, value) in &kept {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        let step: Step = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let mut outcome = ask(&server, &step).await;
        for _ in 0..if step.until { 500 } else { 0 } {
            if check(&step, &outcome).is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            outcome = ask(&server, &step).await;
        }
        let wrong = check(&step, &outcome);
        if !wrong.is_empty() {
            let shown: String = outcome.text.chars().take(1200).collect();
            failures.push(format!("{}\n  {}\n  | {shown}", step.request, wrong.join("\n  ")));
        }
        for (name, pointer) in &step.keep {
            let value = outcome.value.pointer(pointer).cloned().unwrap_or_default();
            kept.insert(name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

struct Answer {
    code: u16,
    text: String,
    value: Value,
    warnings: Vec<String>,
}

async fn ask(server: &Server, step: &Step) -> Answer {
    let (method, target) = step.request.split_once(' ').expect("a method and a target");
    let body = match &step.body {
        None => String::new(),
        Some(Value::String(text)) => text.repeat(step.times.unwrap_or(1)),
        Some(value) => value.to_string(),
    };
    let mut request = Request::builder().method(method).uri(target);
    request = request.header(header::CONTENT_TYPE, step.content_type.as_deref().unwrap_or("application/json"));
    if let Some(accept) = &step.accept {
        request = request.header(header::ACCEPT, accept);
    }
    let mut caller = Caller::Known(UserInfo::admin("admin"));
    if let Some(authorization) = &step.authorization {
        request = request.header(header::AUTHORIZATION, authorization);
        caller = Caller::Peer { certificate: None };
    }
    if let Some(user) = &step.user {
        request = request.header("impersonate-user", user);
    }
    let body = http_body_util::Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    let response = server.api.handle(request.body(body).expect("a request"), caller).await;
    let code = response.status().as_u16();
    let warnings = response.headers().get_all(header::WARNING).iter().map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).collect();
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    let value = serde_json::from_slice(&bytes).unwrap_or_default();
    Answer { code, text: String::from_utf8_lossy(&bytes).into_owned(), value, warnings }
}

fn check(step: &Step, answer: &Answer) -> Vec<String> {
    let mut wrong = Vec::new();
    if answer.code != step.gives {
        wrong.push(format!("code {}, not {}", answer.code, step.gives));
    }
    if answer.code >= 400 && (answer.value["kind"] != "Status" || answer.value["code"] != answer.code) {
        wrong.push("the refusal is no Status".to_owned());
    }
    for (pointer, want) in &step.has {
        let found = answer.value.pointer(pointer).unwrap_or(&Value::Null);
        if found != want {
            wrong.push(format!("{pointer} is {found}, not {want}"));
        }
    }
    let message = answer.value["message"].as_str().filter(|_| answer.code >= 400).unwrap_or(&answer.text);
    wrong.extend(step.says.iter().filter(|text| !message.contains(*text)).map(|text| format!("does not say {text:?}")));
    wrong.extend(step.never.iter().filter(|text| message.contains(*text)).map(|text| format!("says {text:?}")));
    if answer.warnings.len() != step.warns.len()
        || !step.warns.iter().zip(&answer.warnings).all(|(want, have)| have.contains(want.as_str()))
    {
        wrong.push(format!("warns {:?}, not {:?}", answer.warnings, step.warns));
    }
    wrong
}

async fn create_shop(server: &Server) {
    let namespace = serde_json::json!({"metadata": {"name": "shop"}});
    let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(server.admin.clone());
    namespaces.create(&Default::default(), &serde_json::from_value(namespace).expect("a Namespace")).await.expect("a namespace");
    let maps: kube::Api<k8s_openapi::api::core::v1::ConfigMap> = kube::Api::namespaced(server.admin.clone(), "shop");
    kube::runtime::wait::await_condition(maps, "kube-root-ca.crt", |found: Option<&_>| found.is_some())
        .await
        .expect("the root certificate");
}

macro_rules! tables {
    ($($test:ident: $file:literal,)*) => { $(
        #[tokio::test]
        async fn $test() {
            run(include_str!(concat!("requests/", $file))).await;
        }
    )* };
}

tables! {
    refusals_are_statuses_that_name_object_field_and_remedy: "refusals.yaml",
    fields_are_validated_as_the_client_asks: "fields.yaml",
    lists_are_chunked_selected_and_of_the_asked_revision: "lists.yaml",
    writes_obey_preconditions_and_dry_runs: "writes.yaml",
    subresources_are_parts_with_rules_of_their_own: "subresources.yaml",
    one_object_is_read_in_every_version: "versions.yaml",
    deletions_follow_finalizers_and_owners: "deletions.yaml",
    watches_begin_and_end_as_asked: "watches.yaml",
}
