//! Tables of objects and questions.

mod authn;
mod rbac;
mod reviews;

use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::Value;

use super::Objects;
use super::rbac::Rbac;
use crate::user::UserInfo;

/// Objects from YAML documents.
#[derive(Default)]
pub struct Fixture(RwLock<Vec<(String, Arc<Value>)>>);

impl Fixture {
    pub fn of(documents: &str) -> Arc<Self> {
        let fixture = Arc::new(Self::default());
        for document in documents.split("\n---\n") {
            fixture.put(yaml(document));
        }
        fixture
    }

    pub fn put(&self, object: Value) {
        self.remove(&object);
        let resource = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
        self.0.write().push((resource, Arc::new(object)));
    }

    pub fn remove(&self, object: &Value) {
        let is_same = |other: &Value| {
            other["kind"] == object["kind"]
                && other["metadata"]["name"] == object["metadata"]["name"]
                && other["metadata"]["namespace"] == object["metadata"]["namespace"]
        };
        self.0.write().retain(|(_, other)| !is_same(other));
    }
}

impl Objects for Fixture {
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let found = self.list(group, resource);
        found.into_iter().find(|o| o["metadata"]["name"] == name && o["metadata"]["namespace"].as_str().unwrap_or("") == namespace)
    }

    fn list(&self, _: &str, resource: &str) -> Vec<Arc<Value>> {
        self.0.read().iter().filter(|(r, _)| r == resource).map(|(_, o)| o.clone()).collect()
    }
}

pub fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

pub fn rbac(documents: &str) -> Arc<Rbac> {
    Arc::new(Rbac::load(&*Fixture::of(documents)))
}

/// Reads `name` or `name group,group`.
pub fn user(text: &str) -> UserInfo {
    let (name, groups) = text.split_once(' ').unwrap_or((text, ""));
    let groups: Vec<&str> = groups.split(',').filter(|g| !g.is_empty()).collect();
    UserInfo::new(name, &groups)
}
