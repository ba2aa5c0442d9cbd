//! ManifestWorks and the templates of ManifestWorkReplicaSets: what an agent could not apply is refused here.

use std::collections::BTreeSet;

use api::cluster::identity;
use api::work::{GROUP, MANIFESTS_BYTES_MAX, ORDERS, orders};
use apimachinery::status::{Cause, Status};
use apiserver::admission::{Admission, Ask, Attributes, Authorize};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{invalid, is_object_write, require};

pub struct Works;

#[async_trait]
impl Admission for Works {
    fn handles(&self, group: &str, resource: &str) -> bool {
        group == GROUP && matches!(resource, "manifestworks" | "manifestworkreplicasets")
    }

    async fn admit(&self, attributes: &Attributes<'_>, object: &mut Value, _: &dyn Authorize) -> Result<(), Status> {
        if is_object_write(attributes) && attributes.resource.gvr.resource == "manifestworks" {
            sign_orders(attributes.old, object, &attributes.user.username)
                .map_err(|why| Status::bad_request(format!("ManifestWork {:?}: {why}", attributes.name)))?;
        }
        Ok(())
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Value>, authorize: &dyn Authorize) -> Result<(), Status> {
        let Some(object) = object.filter(|_| is_object_write(attributes)) else { return Ok(()) };
        let is_set = attributes.resource.gvr.resource == "manifestworkreplicasets";
        let (path, at): (&str, fn(&Value) -> &Value) =
            if is_set { ("spec.manifestWorkTemplate", |o| &o["spec"]["manifestWorkTemplate"]) } else { ("spec", |o| &o["spec"]) };
        let (spec, before) = (at(object), attributes.old.map(at));
        // A change of metadata is always possible: an agent must be able to take its finalizer from any work.
        if before == Some(spec) {
            return Ok(());
        }
        // Its agent may write a work for its finalizer's sake, as upstream. What runs on a cluster, and what its agent may
        // read through the hub, is not for the cluster to say.
        if !is_set && identity::parse_agent_user(&attributes.user.username).is_some() {
            let text =
                format!("user {:?} is an agent: it may change a work's finalizers and status, not its spec", attributes.user.username);
            return Err(Status::new(403, "Forbidden", text));
        }
        let causes = check(spec, path);
        if !causes.is_empty() {
            return Err(invalid(attributes, causes));
        }
        let executor = &spec["executor"];
        if !executor.is_null() && before.is_none_or(|b| b["executor"] != *executor) {
            let account = &executor["subject"]["serviceAccount"];
            let name = format!(
                "system:serviceaccount:{}:{}",
                account["namespace"].as_str().unwrap_or_default(),
                account["name"].as_str().unwrap_or_default()
            );
            let ask = Ask {
                verb: "execute-as".into(),
                group: GROUP.into(),
                resource: "manifestworks".into(),
                namespace: attributes.namespace.into(),
                name: name.clone(),
                ..Ask::default()
            };
            require(attributes, authorize, ask, &format!("have work done as {name}")).await?;
        }
        Ok(())
    }
}

/// Writes into each order that is new, or not what it was, who asked for it: nobody orders in another's name.
fn sign_orders(before: Option<&Value>, object: &mut Value, user: &str) -> Result<(), String> {
    let annotation = |object: &Value| object["metadata"]["annotations"][ORDERS].as_str().map(str::to_owned);
    let (Some(asked), known) = (annotation(object), before.and_then(annotation)) else { return Ok(()) };
    if known.as_ref() == Some(&asked) {
        return Ok(());
    }
    let known = orders(known.as_deref()).unwrap_or_default();
    let mut signed = orders(Some(&asked))?;
    for (app, order) in signed.iter_mut().filter(|(app, order)| known.get(*app) != Some(*order)) {
        tracing::info!(app, user, id = order.id, "an order was given");
        user.clone_into(&mut order.by);
    }
    let text = serde_json::to_string(&signed).map_err(|error| error.to_string())?;
    object["metadata"]["annotations"][ORDERS] = json!(text);
    Ok(())
}

fn check(spec: &Value, path: &str) -> Vec<Cause> {
    let field = format!("{path}.workload.manifests");
    let manifests = spec["workload"]["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
    if manifests.is_empty() {
        return vec![Cause::required(field, "a work needs at least one manifest")];
    }
    let size: usize = manifests.iter().map(|m| m.to_string().len()).sum();
    if size > MANIFESTS_BYTES_MAX {
        let text = format!("the manifests take {size} bytes; a work may have {MANIFESTS_BYTES_MAX}: divide it into several");
        return vec![Cause { reason: "FieldValueTooLong", message: text, field }];
    }
    let mut causes = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, manifest) in manifests.iter().enumerate() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &manifest["metadata"];
        let at = format!("{field}[{i}]");
        for name in ["apiVersion", "kind"] {
            if text(&manifest[name]).is_empty() {
                causes.push(Cause::required(format!("{at}.{name}"), ""));
            }
        }
        if !text(&metadata["generateName"]).is_empty() {
            let value = &metadata["generateName"];
            causes.push(Cause::invalid(
                format!("{at}.metadata.generateName"),
                value,
                "a manifest is applied again and again: give it a name",
            ));
        }
        if text(&metadata["name"]).is_empty() {
            causes.push(Cause::required(format!("{at}.metadata.name"), ""));
            continue;
        }
        let identity = [&manifest["apiVersion"], &manifest["kind"], &metadata["namespace"], &metadata["name"]].map(text);
        if !seen.insert(identity.clone()) {
            causes.push(Cause {
                reason: "FieldValueDuplicate",
                message: format!("Duplicate value: {}", json!(identity.join("/"))),
                field: at,
            });
        }
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(manifests: Value) -> Vec<String> {
        check(&json!({"workload": {"manifests": manifests}}), "spec").into_iter().map(|c| c.field).collect()
    }

    #[test]
    fn orders_bear_the_name_of_whoever_gave_them() {
        let order =
            |id: &str, by: &str| json!({"id": id, "by": by, "at": "2026-11-23T07:00:00Z", "expires": "2026-11-23T08:00:00Z", "sync": {}});
        let work = |asked: &Value| json!({"metadata": {"name": "w", "annotations": {ORDERS: asked.to_string()}}});
        let signed = |before: Option<&Value>, asked: Value| {
            let mut object = work(&asked);
            sign_orders(before, &mut object, "ann").expect("readable");
            let orders = orders(object["metadata"]["annotations"][ORDERS].as_str()).expect("readable");
            orders.into_values().map(|order| order.by).collect::<Vec<_>>()
        };
        assert_eq!(signed(None, json!({"n/a": order("1", "bob"), "n/b": order("1", "")})), ["ann", "ann"]);
        // What somebody else gave stays his, as long as it is the same.
        let before = work(&json!({"n/a": order("1", "bob"), "n/b": order("1", "bob")}));
        assert_eq!(signed(Some(&before), json!({"n/a": order("1", "bob"), "n/b": order("2", "bob")})), ["bob", "ann"]);
        let mut damaged = json!({"metadata": {"annotations": {ORDERS: "{"}}});
        assert!(sign_orders(None, &mut damaged, "ann").is_err());
        assert_eq!(sign_orders(None, &mut json!({"metadata": {}}), "ann"), Ok(()));
    }

    #[test]
    fn a_work_that_could_not_be_applied_is_refused() {
        let good = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
        assert!(fields(json!([good])).is_empty());
        assert_eq!(fields(json!([])), ["spec.workload.manifests"]);
        assert_eq!(fields(json!([good, good])), ["spec.workload.manifests[1]"]);
        let generated = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "a-"}});
        assert_eq!(
            fields(json!([generated])),
            ["spec.workload.manifests[0].metadata.generateName", "spec.workload.manifests[0].metadata.name"]
        );
        let large = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "x".repeat(600_000)}});
        assert_eq!(fields(json!([large])), ["spec.workload.manifests"]);
    }
}
