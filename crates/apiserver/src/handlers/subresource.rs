//! Subresources that are not a part of the object: scale, eviction, binding, token, and what a body
//! adds (`pods/log`).

use std::sync::Arc;

use apimachinery::patch;
use apimachinery::status::{Cause, Status};
use http::Response;
use serde_json::{Value, json};

use super::Call;
use super::commit::Ownership;
use super::update::{ATTEMPTS, changed};
use crate::registry::ScalePaths;
use crate::server::method_not_allowed;
use crate::strategy::Scope;
use crate::{Body, Inner, apart, codec, http as answers, meta};

impl Inner {
    pub(crate) async fn subresource(self: &Arc<Self>, call: Call) -> Result<Response<Body>, Status> {
        let path = (call.path.group.as_str(), call.path.resource.as_str(), call.path.subresource.as_str());
        if let Some(endpoint) = self.connects.get(&(path.0.to_owned(), path.1.to_owned(), path.2.to_owned())) {
            let stored = self.load(&call)?;
            let object = apart::together(stored.value.clone(), stored.managers());
            return endpoint.connect(&call, object).await;
        }
        match path {
            (_, _, "scale") if call.resource.scale.is_some() => self.scale(&call).await,
            ("", "pods", "eviction") if call.info.verb == "create" => self.evict(&call).await,
            ("", "pods", "binding") if call.info.verb == "create" => self.bind(&call).await,
            ("", "serviceaccounts", "token") if call.info.verb == "create" => self.request_token(&call).await,
            _ if call.resource.subresources.iter().any(|s| s.name == call.path.subresource) => Err(Status::new(
                501,
                "NotImplemented",
                format!("{}/{} is not served here", call.resource.gvr.group_resource(), call.path.subresource),
            )),
            _ => Err(Status::no_such_path()),
        }
    }

    async fn scale(&self, call: &Call) -> Result<Response<Body>, Status> {
        let Some(paths) = &call.resource.scale else { return Err(Status::no_such_path()) };
        match call.info.verb {
            "get" => self.answer_value(call, 200, scale_of(&self.load(call)?.value, paths)),
            "update" | "patch" => self.set_scale(call, paths).await,
            _ => Err(method_not_allowed()),
        }
    }

    async fn set_scale(&self, call: &Call, paths: &ScalePaths) -> Result<Response<Body>, Status> {
        let body = codec::parse_body(&call.headers, &call.body, None)?.value;
        for _ in 0..ATTEMPTS {
            let old = self.load(call)?;
            let before = scale_of(&old.value, paths);
            let wanted = if call.info.verb == "update" { body.clone() } else { patched(call, &before, &body)? };
            let revision = meta::text(&wanted, "resourceVersion");
            if !revision.is_empty() && revision != meta::text(&old.value, "resourceVersion") {
                return Err(changed(call));
            }
            let replicas = wanted["spec"].get("replicas").cloned().unwrap_or_else(|| 0.into());
            if replicas.as_i64().is_none_or(|n| n < 0) {
                let cause = Cause::invalid("spec.replicas", &replicas, "must be greater than or equal to 0");
                return Err(Status::invalid("autoscaling", "Scale", &call.path.name, vec![cause]));
            }
            let mut object = old.value.clone();
            set_path(&mut object, &paths.spec_replicas, replicas);
            if let Some(entry) = self.finish_update(call, &old, object, Scope::Main, Ownership::Update).await? {
                let value = self.value_of(&call.resource, &entry)?;
                return self.answer_value(call, 200, scale_of(&value, paths));
            }
        }
        Err(changed(call))
    }

    /// Deletes a pod unless a PodDisruptionBudget forbids it.
    async fn evict(&self, call: &Call) -> Result<Response<Body>, Status> {
        let body = codec::parse_body(&call.headers, &call.body, None)?.value;
        let pod = self.load(call)?.value;
        let none = serde_json::Map::new();
        let budgets = self.objects_in("policy", "poddisruptionbudgets", call.namespace());
        for budget in budgets {
            let selects = apimachinery::selector::LabelSelector::from_value(&budget["spec"]["selector"])
                .is_ok_and(|s| s.matches(pod["metadata"]["labels"].as_object().unwrap_or(&none)));
            if selects && budget["status"]["disruptionsAllowed"].as_i64().unwrap_or(0) <= 0 {
                let message = "Cannot evict pod as it would violate the pod's disruption budget.";
                let mut status = Status::new(429, "TooManyRequests", message);
                status.causes = vec![Cause {
                    reason: "DisruptionBudget",
                    message: format!("The disruption budget {} needs more healthy pods", meta::name(&budget)),
                    field: String::new(),
                }];
                return Err(status);
            }
        }
        let options = body.get("deleteOptions").cloned().unwrap_or_else(|| json!({}));
        let path = crate::request::ResourcePath { subresource: String::new(), ..call.path.clone() };
        let delete = Call { headers: http::HeaderMap::new(), ..call.step(call.info.clone(), path, options.to_string().into()) };
        self.delete(&delete).await?;
        Ok(answers::json_value(201, &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})))
    }

    /// Puts a pod on a node.
    async fn bind(&self, call: &Call) -> Result<Response<Body>, Status> {
        let body = codec::parse_body(&call.headers, &call.body, None)?.value;
        let node = body["target"]["name"].as_str().filter(|n| !n.is_empty());
        let node =
            node.ok_or_else(|| Status::invalid("", "Binding", &call.path.name, vec![Cause::required("target.name", "")]))?.to_owned();
        for _ in 0..ATTEMPTS {
            let old = self.load(call)?;
            if let Some(taken) = old.value["spec"]["nodeName"].as_str().filter(|n| !n.is_empty()) {
                return Err(call.conflict(&format!("pod {} is already assigned to node {taken:?}", call.path.name)));
            }
            let mut object = old.value.clone();
            object["spec"]["nodeName"] = json!(node);
            if self.finish_update(call, &old, object, Scope::Main, Ownership::Update).await?.is_some() {
                return Ok(answers::json_value(201, &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})));
            }
        }
        Err(changed(call))
    }
}

fn patched(call: &Call, before: &Value, body: &Value) -> Result<Value, Status> {
    match super::patch::Kind::of(call)? {
        super::patch::Kind::Json => patch::json(before, body),
        // A Scale holds no lists, so the three merges are one.
        _ => Ok(patch::merge(before.clone(), body)),
    }
}

fn scale_of(object: &Value, paths: &ScalePaths) -> Value {
    let number = |path: &str| get_path(object, path).and_then(Value::as_i64).unwrap_or(0);
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object["metadata"].get(field) {
            metadata[field] = value.clone();
        }
    }
    let mut status = json!({"replicas": number(&paths.status_replicas)});
    if let Some(selector) = paths.label_selector.as_deref().and_then(|path| get_path(object, path)) {
        let text = match selector {
            Value::String(text) => text.clone(),
            object => apimachinery::selector::LabelSelector::from_value(object).map(|s| s.to_string()).unwrap_or_default(),
        };
        status["selector"] = text.into();
    }
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": {"replicas": number(&paths.spec_replicas)}, "status": status})
}

fn get_path<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').filter(|p| !p.is_empty()).try_fold(object, |at, part| at.get(part))
}

fn set_path(object: &mut Value, path: &str, value: Value) {
    let mut at = object;
    for part in path.split('.').filter(|p| !p.is_empty()) {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[part];
    }
    *at = value;
}
