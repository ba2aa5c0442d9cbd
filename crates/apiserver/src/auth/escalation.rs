//! Nobody grants what they do not have.
//!
//! As kubernetes pkg/registry/rbac: to write a role, its author must hold every rule in it or have the verb
//! `escalate`; to bind a role, hold every rule of the role or have the verb `bind`. An aggregated role
//! can come to hold anything, so its author must hold everything. What a binding refers to never changes.

use std::sync::Arc;

use apimachinery::status::{Cause, Status};
use async_trait::async_trait;
use serde_json::Value;

use super::rbac::{GROUP, Rbac, RoleRef, Rule, Snapshot, parse_rules, refuse, uncovered};
use crate::admission::{Admission, Ask, Attributes, Authorize, Operation};
use crate::user::UserInfo;

/// The plugin; it sees the same rules as the authorizer.
pub struct Escalation {
    pub rbac: Arc<Rbac>,
}

#[async_trait]
impl Admission for Escalation {
    fn handles(&self, group: &str, resource: &str) -> bool {
        Rbac::concerns(group, resource)
    }

    async fn admit(&self, _: &Attributes<'_>, _: &mut Value, _: &dyn Authorize) -> Result<(), Status> {
        Ok(())
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Value>, _: &dyn Authorize) -> Result<(), Status> {
        let (Operation::Create | Operation::Update, Some(object)) = (attributes.operation, object) else { return Ok(()) };
        check(&self.rbac.snapshot(), attributes, object)
    }
}

fn check(rbac: &Snapshot, attributes: &Attributes<'_>, object: &Value) -> Result<(), Status> {
    let resource = attributes.resource.gvr.resource.as_str();
    let is_unchanged = |field: &str| attributes.old.is_some_and(|old| old[field] == object[field]);
    let refused = |missing: Vec<Rule>| -> Result<(), Status> {
        if missing.is_empty() { Ok(()) } else { Err(refuse(GROUP, resource, attributes.name, &would_gain(attributes.user, &missing))) }
    };
    match resource {
        "roles" | "clusterroles" => {
            if is_unchanged("rules") && is_unchanged("aggregationRule") || may(rbac, attributes, "escalate", resource, attributes.name) {
                return Ok(());
            }
            let mut wanted = rules_of(attributes, &object["rules"])?;
            if object["aggregationRule"]["clusterRoleSelectors"].as_array().is_some_and(|s| !s.is_empty())
                && !is_unchanged("aggregationRule")
            {
                wanted.extend(everything());
            }
            refused(uncovered(&rbac.rules_for(attributes.user, attributes.namespace), &wanted))
        }
        _ => {
            if attributes.old.is_some() && !is_unchanged("roleRef") {
                let cause = Cause::invalid("roleRef", &object["roleRef"], "cannot change roleRef; delete the binding and create it anew");
                return Err(Status::invalid(GROUP, &attributes.resource.kind, attributes.name, vec![cause]));
            }
            let role = RoleRef::parse(&object["roleRef"]);
            let role_resource = if role.is_cluster_role { "clusterroles" } else { "roles" };
            if is_unchanged("subjects") && is_unchanged("roleRef") || may(rbac, attributes, "bind", role_resource, &role.name) {
                return Ok(());
            }
            let Some(wanted) = rbac.role(attributes.namespace, &role) else {
                return Err(Status::not_found(GROUP, role_resource, &role.name));
            };
            refused(uncovered(&rbac.rules_for(attributes.user, attributes.namespace), wanted))
        }
    }
}

fn may(rbac: &Snapshot, attributes: &Attributes<'_>, verb: &str, resource: &str, name: &str) -> bool {
    let ask = Ask {
        verb: verb.into(),
        group: GROUP.into(),
        resource: resource.into(),
        namespace: attributes.namespace.into(),
        name: name.into(),
        ..Ask::default()
    };
    rbac.decide(attributes.user, &ask).is_allowed()
}

fn rules_of(attributes: &Attributes<'_>, rules: &Value) -> Result<Vec<Rule>, Status> {
    parse_rules(rules).map_err(|error| {
        let cause = Cause::invalid("rules", rules, &error.to_string());
        Status::invalid(GROUP, &attributes.resource.kind, attributes.name, vec![cause])
    })
}

fn everything() -> [Rule; 2] {
    let all = || vec!["*".to_owned()];
    [
        Rule { verbs: all(), api_groups: all(), resources: all(), ..Rule::default() },
        Rule { verbs: all(), non_resource_urls: all(), ..Rule::default() },
    ]
}

fn would_gain(user: &UserInfo, missing: &[Rule]) -> String {
    let list: Vec<String> = missing.iter().map(Rule::to_string).collect();
    format!(
        "user {:?} (groups={:?}) is attempting to grant RBAC permissions not currently held:\n{}",
        user.username,
        user.groups,
        list.join("\n")
    )
}
