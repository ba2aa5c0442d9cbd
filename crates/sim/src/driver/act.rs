//! From an action to an API write; makes no choices.

use controller::Key;
use http::Request;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::events::{Said, Writing};
use super::{Driver, LEASE_EVERY};
use crate::kind::Kind;
use crate::workloads::{Action, api_time};

const MERGE_PATCH: &str = "application/merge-patch+json";

impl Driver {
    /// Does one action; what is gone, there or changed meanwhile is no error but for the decision to be taken anew.
    pub(super) async fn act(&mut self, action: Action, now: Timestamp) -> Result<(), kube::Error> {
        match action {
            Action::Create { kind, object } => {
                let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
                let (path, body) = (kind.path(namespace), object.to_string());
                self.learn_answer(kind, self.send("POST", &path, "application/json", body).await)
            }
            Action::Patch { kind, namespace, name, patch } => {
                let path = format!("{}/{name}", kind.path(&namespace));
                self.learn_answer(kind, self.send("PATCH", &path, MERGE_PATCH, patch.to_string()).await)
            }
            Action::Status { kind, namespace, name, status } => {
                let key = Key::new(&namespace, &name);
                let before = self.status_of(kind, &key);
                let patch = json!({"status": merge_patch(&before, &status)});
                let path = format!("{}/{name}/status", kind.path(&namespace));
                if kind == Kind::Pod {
                    self.world.steps.insert(key, now);
                }
                self.learn_answer(kind, self.send("PATCH", &path, MERGE_PATCH, patch.to_string()).await)
            }
            Action::Delete { kind, namespace, name, uid, grace_period_seconds } => {
                let mut options = json!({"preconditions": {"uid": uid}, "propagationPolicy": "Background"});
                if let Some(grace) = grace_period_seconds {
                    options["gracePeriodSeconds"] = json!(grace);
                }
                let path = format!("{}/{name}", kind.path(&namespace));
                let answer = self.send("DELETE", &path, "application/json", options.to_string()).await;
                if !is_overtaken(&answer) {
                    answer?;
                }
                let key = Key::new(namespace, name);
                let is_final = kind == Kind::Pod && grace_period_seconds == Some(0);
                let affected = if is_final { self.world.removed_pod(&key) } else { self.world.deleting(kind, &key, now) };
                self.dirty.extend(affected);
                Ok(())
            }
            Action::Bind { namespace, name, node } => {
                let path = format!("{}/{name}/binding", Kind::Pod.path(&namespace));
                let body = json!({
                    "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, "namespace": namespace},
                    "target": {"apiVersion": "v1", "kind": "Node", "name": node},
                });
                let answer = self.send("POST", &path, "application/json", body.to_string()).await;
                if !is_overtaken(&answer) {
                    answer?;
                    let affected = self.world.bound(&Key::new(namespace, name), &node, now);
                    self.dirty.extend(affected);
                }
                Ok(())
            }
            Action::Event { kind, namespace, name, uid, warning, reason, message } => {
                let said = Said { kind, namespace: &namespace, name: &name, uid: &uid, warning, reason, message: &message };
                self.tell(&said, now).await;
                Ok(())
            }
        }
    }

    /// Writes an event; one that cannot be written is not worth a retry.
    async fn tell(&mut self, said: &Said<'_>, now: Timestamp) {
        let (writing, forgotten) = self.events.record(said, now);
        let events = |namespace: &str| Kind::Event.path(namespace);
        let written = match writing {
            None => Ok(String::new()),
            Some(Writing::Create { namespace, object }) => {
                self.send("POST", &events(&namespace), "application/json", object.to_string()).await
            }
            Some(Writing::Again { namespace, name, patch }) => {
                self.send("PATCH", &format!("{}/{name}", events(&namespace)), MERGE_PATCH, patch.to_string()).await
            }
        };
        if let Some((namespace, name)) = forgotten {
            let path = format!("{}/{name}", events(&namespace));
            // It may have gone with its namespace.
            let _ = self.send("DELETE", &path, "application/json", "{}".into()).await;
        }
        if let Err(error) = written {
            tracing::debug!(reason = said.reason, %error, "event not written");
        }
    }

    /// Renews the leases of all machines when they are due.
    pub(super) async fn renew_leases(&mut self, now: Timestamp) {
        if now < self.lease_due {
            return;
        }
        self.lease_due = now + LEASE_EVERY;
        let names: Vec<String> = self.options.machines.iter().filter(|m| m.is_ready).map(|m| m.name.clone()).collect();
        for name in names {
            // The type is MicroTime: six digits.
            let renewed = jiff::fmt::strtime::format("%Y-%m-%dT%H:%M:%S.%6fZ", now).unwrap_or_else(|_| now.to_string());
            let spec = json!({"holderIdentity": name, "leaseDurationSeconds": 3 * LEASE_EVERY.as_secs(), "renewTime": renewed});
            let path = Kind::Lease.path("kube-node-lease");
            let patch = json!({"spec": spec}).to_string();
            let patched = self.send("PATCH", &format!("{path}/{name}"), MERGE_PATCH, patch).await;
            if !matches!(&patched, Err(kube::Error::Api(status)) if status.code == 404) {
                continue;
            }
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": name, "namespace": "kube-node-lease", "creationTimestamp": api_time(now)}, "spec": spec,
            });
            if let Err(error) = self.send("POST", &path, "application/json", lease.to_string()).await {
                tracing::debug!(node = %name, %error, "lease not renewed");
            }
        }
    }

    async fn send(&self, method: &str, path: &str, content_type: &str, body: String) -> Result<String, kube::Error> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{path}{}", if method == "DELETE" { "" } else { "?fieldManager=kube-controller-manager" }))
            .header("content-type", content_type)
            .header("accept", "application/json")
            .body(body.into_bytes())
            .map_err(kube::Error::HttpError)?;
        self.writer.send(request).await
    }

    fn learn_answer(&mut self, kind: Kind, answer: Result<String, kube::Error>) -> Result<(), kube::Error> {
        if is_overtaken(&answer) {
            return Ok(());
        }
        let affected = self.world.answer(kind, &answer?);
        self.dirty.extend(affected);
        Ok(())
    }

    fn status_of(&self, kind: Kind, key: &Key) -> Value {
        let world = &self.world;
        match kind {
            Kind::Node => world.nodes.get(key).map(|o| o.status.value()),
            Kind::PersistentVolumeClaim => world.claims.get(key).map(|o| o.status.value()),
            Kind::Service => world.services.get(key).map(|o| o.status.value()),
            Kind::Deployment => world.deployments.get(key).map(|o| o.status.value()),
            Kind::StatefulSet => world.stateful_sets.get(key).map(|o| o.status.value()),
            Kind::DaemonSet => world.daemon_sets.get(key).map(|o| o.status.value()),
            Kind::HorizontalPodAutoscaler => world.autoscalers.get(key).map(|o| o.status.value()),
            Kind::Ingress => world.ingresses.get(key).map(|o| o.status.value()),
            Kind::CronJob => world.cron_jobs.get(key).map(|o| o.status.value()),
            Kind::Job => world.jobs.get(key).map(|o| o.status.value()),
            Kind::Pod => world.pods.get(key).map(|o| o.status.json.value()),
            Kind::ReplicaSet => world.replica_sets.get(key).map(|o| {
                let s = &o.status;
                json!({"readyReplicas": s.ready_replicas, "availableReplicas": s.available_replicas, "fullyLabeledReplicas": s.fully_labeled_replicas})
            }),
            Kind::ConfigMap
            | Kind::PersistentVolume
            | Kind::EndpointSlice
            | Kind::ControllerRevision
            | Kind::Lease
            | Kind::Event => None,
        }
        .unwrap_or(Value::Null)
    }
}

/// Returns whether the write came too late: the object is gone, there already, or changed. The watch tells.
fn is_overtaken<T>(answer: &Result<T, kube::Error>) -> bool {
    matches!(answer, Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) && status.reason != "NamespaceNotFound")
}

/// Returns the JSON merge patch that turns one value into another.
fn merge_patch(before: &Value, after: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (before, after) else { return after.clone() };
    let mut patch: Map<String, Value> = new
        .iter()
        .filter(|(k, v)| old.get(*k) != Some(v))
        .map(|(k, v)| (k.clone(), merge_patch(&old.get(k).cloned().unwrap_or_default(), v)))
        .collect();
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    Value::Object(patch)
}
