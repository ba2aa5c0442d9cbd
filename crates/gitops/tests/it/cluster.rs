//! A cluster in a map, and the loop an agent runs: plan, act, finish, again.

use std::collections::BTreeMap;

use api::argo::{Application, ApplicationStatus};
use gitops::{Action, Desired, Key, Live, Observed, Outcomes, Targets, Verdict, plan, targets};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub struct Cluster {
    pub app: Application,
    pub objects: BTreeMap<Key, Value>,
    /// What Git holds at `revision`, or why nobody knows.
    pub git: Result<Vec<Value>, String>,
    pub revision: String,
    /// What Git held at other revisions.
    pub old: BTreeMap<String, Vec<Value>>,
    pub now: Timestamp,
    /// Names of objects whose application the server refuses, and when.
    pub refuse_dry_run: Vec<&'static str>,
    pub refuse: Vec<&'static str>,
    /// What was done, in words.
    pub log: Vec<String>,
    pub reason: String,
    pub next: Option<SignedDuration>,
    pub notes: BTreeMap<Key, String>,
    uids: u32,
}

pub fn yaml(text: &str) -> Vec<Value> {
    let documents = text.split("\n---\n").filter(|d| !d.trim().is_empty());
    documents.map(|d| serde_saphyr::from_str(d).expect("the test's YAML")).collect()
}

impl Cluster {
    /// `spec` is the Application's spec without source and destination.
    pub fn new(spec: &str, git: &str) -> Self {
        let mut spec: Value = if spec.is_empty() { json!({}) } else { serde_saphyr::from_str(spec).expect("the test's YAML") };
        spec["source"] = json!({"repoURL": "https://git.example.com/shop", "path": "web"});
        spec["destination"] = json!({"server": "https://kubernetes.default.svc", "namespace": "shop"});
        let app = json!({"metadata": {"name": "web", "namespace": "argocd"}, "spec": spec});
        Self {
            app: serde_json::from_value(app).expect("an Application"),
            objects: BTreeMap::new(),
            git: Ok(yaml(git)),
            revision: "1111111000000000000000000000000000000000".into(),
            old: BTreeMap::new(),
            now: "2026-01-01T00:00:00Z".parse().expect("a time"),
            refuse_dry_run: Vec::new(),
            refuse: Vec::new(),
            log: Vec::new(),
            reason: String::new(),
            next: None,
            notes: BTreeMap::new(),
            uids: 0,
        }
    }

    pub fn commit(&mut self, digit: char, git: &str) {
        let before = std::mem::replace(&mut self.revision, digit.to_string().repeat(40));
        if let Ok(objects) = std::mem::replace(&mut self.git, Ok(yaml(git))) {
            self.old.insert(before, objects);
        }
    }

    pub fn status(&self) -> ApplicationStatus {
        self.app.status.clone().unwrap_or_default()
    }

    /// `sync health phase: message`.
    pub fn summary(&self) -> String {
        let status = self.status();
        let operation = status.operation_state.map(|o| format!("{}: {}", o.phase, o.message)).unwrap_or_default();
        format!("{} {} | {operation}", status.sync.status, status.health.status)
    }

    pub fn conditions(&self) -> Vec<String> {
        self.status().conditions.iter().map(|c| format!("{}: {}", c.type_, c.message)).collect()
    }

    pub fn pass(&mut self, seconds: i64) -> &mut Self {
        self.now += SignedDuration::from_secs(seconds);
        self
    }

    /// Sets the `status` of a live object, by name.
    pub fn set_status(&mut self, name: &str, status: Value) {
        let object = self.objects.values_mut().find(|o| o["metadata"]["name"] == name).unwrap_or_else(|| panic!("no object {name}"));
        object["status"] = status;
    }

    pub fn delete(&mut self, name: &str) {
        self.objects.retain(|key, _| key.name != name);
    }

    pub fn names(&self) -> String {
        self.objects.keys().map(|k| k.name.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// Looks until nothing is to be done at once; returns what was done.
    pub fn settle(&mut self) -> Vec<String> {
        self.log.clear();
        for _ in 0..50 {
            if !self.look() {
                return std::mem::take(&mut self.log);
            }
        }
        panic!("it does not settle: {:?}", self.log);
    }

    fn prepare(&self, objects: &[Value]) -> (Targets, BTreeMap<Key, Verdict>) {
        let scopes = |group: &str, kind: &str| match kind {
            "Namespace" | "CustomResourceDefinition" | "ClusterRole" => Some(false),
            _ if group == "example.com" => None,
            _ => Some(true),
        };
        let prepared = targets(objects.to_vec(), &self.app, "web", &scopes);
        let verdicts = prepared.targets.iter().filter(|t| !t.key.name.is_empty()).map(|target| {
            let verdict = if self.refuse_dry_run.contains(&target.key.name.as_str()) {
                Verdict::Invalid("spec.replicas: must be a number".into())
            } else {
                match self.objects.get(&target.key) {
                    None => Verdict::Unasked,
                    Some(live) => match contains(live, &target.object) {
                        true => Verdict::Same,
                        false => Verdict::Different(vec!["spec".into()]),
                    },
                }
            };
            (target.key.clone(), verdict)
        });
        let verdicts = verdicts.collect();
        (prepared, verdicts)
    }

    fn look(&mut self) -> bool {
        let current = self.git.clone().map(|objects| self.prepare(&objects));
        let running = self.app.status.as_ref().and_then(|s| s.operation_state.as_ref()).filter(|o| o.phase == "Running");
        let asked = running.map(|o| &o.operation).or(self.app.operation.as_ref());
        let pinned = asked.and_then(|o| o.sync.as_ref()).map(|s| s.revision.clone()).filter(|r| !r.is_empty() && *r != self.revision);
        let other = pinned.clone().map(|r| self.prepare(&self.old[&r]));
        let live: BTreeMap<Key, Live> = self.objects.iter().map(|(k, o)| (k.clone(), Live::of(o))).collect();
        let desired = |revision, (targets, verdicts)| Desired { revision, source_type: "Directory", targets, verdicts };
        let observed = Observed {
            app: &self.app,
            instance: "web",
            desired: current.as_ref().map(|(t, v)| desired(self.revision.as_str(), (t, v))).map_err(Clone::clone),
            operation_desired: other.as_ref().map(|(t, v)| Ok(desired(pinned.as_deref().unwrap_or(""), (t, v)))),
            live: &live,
            has_namespace: self.objects.keys().any(|k| k.kind == "Namespace" && k.name == "shop"),
            controller_namespace: "argocd",
            now: self.now,
        };
        let plan = plan(&observed);
        let groups = plan.groups().to_vec();
        (self.reason, self.next) = (plan.reason.clone(), plan.next);
        self.notes = plan.notes.clone();
        if plan.takes_operation {
            self.app.operation = None;
        }
        let mut outcomes = Outcomes::new();
        'groups: for (g, group) in groups.iter().enumerate() {
            for (a, action) in group.actions.iter().enumerate() {
                let outcome = self.act(action);
                let has_failed = outcome.is_err();
                outcomes.insert((g, a), outcome);
                if has_failed && group.is_required {
                    break 'groups;
                }
            }
        }
        let did_something = !outcomes.is_empty();
        let (status, again) = plan.finish(&outcomes, self.now);
        self.app.status = Some(status);
        again || did_something
    }

    fn act(&mut self, action: &Action) -> Result<String, String> {
        let name = action.key().name.clone();
        let mut say = |verb: &str| self.log.push(format!("{verb} {} {name}", action.key().kind));
        match action {
            Action::Apply { key, object, .. } | Action::Replace { key, object, .. } => {
                if self.refuse.contains(&name.as_str()) {
                    say("refused");
                    return Err("admission said no".into());
                }
                say(if matches!(action, Action::Apply { .. }) { "apply" } else { "replace" });
                let mut object = object.clone();
                let status = self.objects.get(key).map(|o| o["status"].clone()).unwrap_or_default();
                self.uids += 1;
                object["metadata"]["generation"] = json!(1);
                object["metadata"]["uid"] = json!(format!("u{}", self.uids));
                if !status.is_null() {
                    object["status"] = status;
                }
                self.objects.insert(key.clone(), object);
                Ok("configured".into())
            }
            Action::Delete { key, .. } => {
                say("delete");
                self.objects.remove(key);
                Ok(String::new())
            }
        }
    }
}

/// Whether applying `wanted` over `live` would change nothing.
fn contains(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(k, v)| live.get(k).is_some_and(|l| contains(l, v))),
        (live, wanted) => live == wanted,
    }
}
