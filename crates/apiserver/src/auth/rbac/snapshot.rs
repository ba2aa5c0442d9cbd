//! Roles and bindings at one moment, indexed by who they concern.

use std::sync::Arc;

use imbl::HashMap;
use serde::Deserialize;
use serde_json::Value;

use super::rule::Rule;
use crate::admission::Ask;
use crate::user::{SYSTEM_MASTERS, UserInfo};

type Text = Arc<str>;
/// By namespace (empty for cluster-scoped), then name.
type ByName<V> = HashMap<Text, HashMap<Text, V>>;

/// An immutable view of all roles and bindings; a clone shares everything.
#[derive(Clone, Default)]
pub struct Snapshot {
    roles: ByName<Arc<[Rule]>>,
    bindings: ByName<Arc<Binding>>,
    users: HashMap<Text, Grants>,
    groups: HashMap<Text, Grants>,
}

/// The bindings of one subject by namespace, empty for cluster-wide ones.
type Grants = HashMap<Text, Vec<Arc<Binding>>>;

/// What a binding refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRef {
    pub is_cluster_role: bool,
    pub name: String,
}

/// A RoleBinding or ClusterRoleBinding.
#[derive(Debug, PartialEq, Eq)]
struct Binding {
    /// Empty for a ClusterRoleBinding.
    namespace: String,
    name: String,
    role: RoleRef,
    subjects: Vec<Subject>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    User(String),
    Group(String),
    /// Namespace and name; matches the user `system:serviceaccount:<namespace>:<name>`.
    ServiceAccount(String, String),
}

/// The answer to a question.
#[derive(Clone, Debug)]
pub enum Decision {
    /// A member of `system:masters` may do anything.
    Unrestricted,
    Allowed(Grant),
    Denied,
}

/// The first binding found that allows what was asked.
#[derive(Clone, Debug)]
pub struct Grant {
    binding: Arc<Binding>,
    subject: Subject,
}

impl Decision {
    pub fn is_allowed(&self) -> bool {
        !matches!(self, Self::Denied)
    }

    /// Returns the reason as SubjectAccessReview shows it; empty where there is none.
    pub fn reason(&self) -> String {
        match self {
            Self::Unrestricted | Self::Denied => String::new(),
            Self::Allowed(grant) => grant.to_string(),
        }
    }
}

impl Snapshot {
    /// Returns whether a user may do what is asked, and why.
    pub fn decide(&self, user: &UserInfo, ask: &Ask) -> Decision {
        if user.is_in(SYSTEM_MASTERS) {
            return Decision::Unrestricted;
        }
        // Cluster-wide bindings first, as most questions of agents and admins end there.
        let in_namespace = !ask.namespace.is_empty() && ask.path.is_empty();
        for namespace in std::iter::once("").chain(in_namespace.then_some(ask.namespace.as_str())) {
            for (binding, name) in self.concerning(user, namespace) {
                if self.rules_of(binding).iter().any(|rule| rule.allows(ask)) {
                    let subject = binding.subject_for(name, user);
                    return Decision::Allowed(Grant { binding: binding.clone(), subject });
                }
            }
        }
        Decision::Denied
    }

    /// Returns all rules that hold for a user in a namespace (empty: cluster-wide ones only).
    pub fn rules_for(&self, user: &UserInfo, namespace: &str) -> Vec<&Rule> {
        let namespaces = std::iter::once("").chain((!namespace.is_empty()).then_some(namespace));
        namespaces.flat_map(|ns| self.concerning(user, ns)).flat_map(|(binding, _)| self.rules_of(binding)).collect()
    }

    /// Returns the rules of a role; `None` if there is no such role.
    pub fn role(&self, namespace: &str, role: &RoleRef) -> Option<&[Rule]> {
        let namespace = if role.is_cluster_role { "" } else { namespace };
        self.roles.get(namespace)?.get(role.name.as_str()).map(|rules| &**rules)
    }

    fn rules_of(&self, binding: &Binding) -> &[Rule] {
        self.role(&binding.namespace, &binding.role).unwrap_or_default()
    }

    /// Returns the bindings of one namespace that name the user or a group of theirs, with that name.
    fn concerning<'a>(&'a self, user: &'a UserInfo, namespace: &'a str) -> impl Iterator<Item = (&'a Arc<Binding>, &'a str)> {
        let as_user = self.users.get(user.username.as_str()).map(|grants| (grants, user.username.as_str()));
        let as_member = user.groups.iter().filter_map(|group| self.groups.get(group.as_str()).map(|grants| (grants, group.as_str())));
        let grants = as_user.into_iter().chain(as_member);
        grants.flat_map(move |(grants, name)| grants.get(namespace).into_iter().flatten().map(move |binding| (binding, name)))
    }

    /// Takes in one object of [`super::GROUP`], or its deletion.
    pub(super) fn apply(&mut self, resource: &str, namespace: &str, name: &str, object: Option<&Value>) {
        match resource {
            "roles" | "clusterroles" => self.set_role(namespace, name, object),
            _ => self.set_binding(namespace, name, object),
        }
    }

    fn set_role(&mut self, namespace: &str, name: &str, object: Option<&Value>) {
        let rules = object.map(|o| {
            parse_rules(&o["rules"]).unwrap_or_else(|error| {
                tracing::warn!(namespace, name, %error, "role has malformed rules and grants nothing");
                Vec::new()
            })
        });
        set(&mut self.roles, namespace, name, rules.map(Into::into));
    }

    fn set_binding(&mut self, namespace: &str, name: &str, object: Option<&Value>) {
        let old = self.bindings.get(namespace).and_then(|b| b.get(name)).cloned();
        if let Some(old) = old {
            for subject in &old.subjects {
                self.unlink(subject, &old);
            }
        }
        let binding = object.and_then(|o| Binding::parse(namespace, name, o)).map(Arc::new);
        if let Some(binding) = &binding {
            for subject in &binding.subjects {
                let (index, key) = self.index_of(subject);
                let bindings = index.entry(key).or_default().entry(namespace.into()).or_default();
                if !bindings.iter().any(|b| b.name == binding.name) {
                    bindings.push(binding.clone());
                }
            }
        }
        set(&mut self.bindings, namespace, name, binding);
    }

    fn unlink(&mut self, subject: &Subject, binding: &Binding) {
        let (index, key) = self.index_of(subject);
        let Some(grants) = index.get_mut(&key) else { return };
        if let Some(bindings) = grants.get_mut(binding.namespace.as_str()) {
            bindings.retain(|b| b.name != binding.name);
            if bindings.is_empty() {
                grants.remove(binding.namespace.as_str());
            }
        }
        if grants.is_empty() {
            index.remove(&key);
        }
    }

    fn index_of(&mut self, subject: &Subject) -> (&mut HashMap<Text, Grants>, Text) {
        match subject {
            Subject::User(name) => (&mut self.users, name.as_str().into()),
            Subject::Group(name) => (&mut self.groups, name.as_str().into()),
            Subject::ServiceAccount(namespace, name) => (&mut self.users, service_account_user(namespace, name).into()),
        }
    }
}

fn set<V: Clone>(map: &mut ByName<V>, namespace: &str, name: &str, value: Option<V>) {
    match value {
        Some(value) => {
            map.entry(namespace.into()).or_default().insert(name.into(), value);
        }
        None => {
            let Some(names) = map.get_mut(namespace) else { return };
            names.remove(name);
            if names.is_empty() {
                map.remove(namespace);
            }
        }
    }
}

/// Returns the user name of a service account.
pub(crate) fn service_account_user(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// Reads a list of rules; an absent one is empty.
pub(crate) fn parse_rules(rules: &Value) -> Result<Vec<Rule>, serde_json::Error> {
    if rules.is_null() { Ok(Vec::new()) } else { Vec::<Rule>::deserialize(rules) }
}

impl RoleRef {
    /// Reads a `roleRef`.
    pub fn parse(role: &Value) -> Self {
        Self { is_cluster_role: role["kind"] == "ClusterRole", name: role["name"].as_str().unwrap_or_default().to_owned() }
    }
}

impl Binding {
    fn parse(namespace: &str, name: &str, object: &Value) -> Option<Self> {
        let role = RoleRef::parse(&object["roleRef"]);
        let subjects = object["subjects"].as_array().into_iter().flatten().filter_map(|s| Subject::parse(s, namespace)).collect();
        Some(Self { namespace: namespace.to_owned(), name: name.to_owned(), role, subjects })
    }

    /// Returns the subject through which a binding that was found under `name` applies.
    fn subject_for(&self, name: &str, user: &UserInfo) -> Subject {
        let is_meant = |subject: &&Subject| match subject {
            Subject::User(own) => own == name && *own == user.username,
            Subject::Group(own) => own == name,
            Subject::ServiceAccount(ns, own) => service_account_user(ns, own) == name,
        };
        self.subjects.iter().find(is_meant).cloned().unwrap_or(Subject::User(name.to_owned()))
    }
}

impl Subject {
    fn parse(subject: &Value, namespace: &str) -> Option<Self> {
        let name = subject["name"].as_str()?.to_owned();
        match subject["kind"].as_str()? {
            "User" => Some(Self::User(name)),
            "Group" => Some(Self::Group(name)),
            "ServiceAccount" => {
                let namespace = subject["namespace"].as_str().filter(|ns| !ns.is_empty()).unwrap_or(namespace);
                Some(Self::ServiceAccount(namespace.to_owned(), name))
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let role = if self.binding.role.is_cluster_role { "ClusterRole" } else { "Role" };
        if self.binding.namespace.is_empty() {
            write!(f, "RBAC: allowed by ClusterRoleBinding {:?} of {role} {:?} to ", self.binding.name, self.binding.role.name)?;
        } else {
            let binding = format!("{}/{}", self.binding.name, self.binding.namespace);
            write!(f, "RBAC: allowed by RoleBinding {binding:?} of {role} {:?} to ", self.binding.role.name)?;
        }
        match &self.subject {
            Subject::User(name) => write!(f, "User {name:?}"),
            Subject::Group(name) => write!(f, "Group {name:?}"),
            Subject::ServiceAccount(namespace, name) => write!(f, "ServiceAccount {:?}", format!("{name}/{namespace}")),
        }
    }
}
