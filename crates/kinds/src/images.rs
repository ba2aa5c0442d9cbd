//! Which container images an object runs.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::items;

/// Where the kinds we know keep a pod's spec; custom kinds mostly embed a template like a Deployment's.
const POD_SPECS: &[&str] = &["/spec", "/spec/template/spec", "/spec/jobTemplate/spec/template/spec"];

/// Returns the images of the pods that an object is or makes, sorted.
pub fn images(object: &Value) -> BTreeSet<String> {
    let containers = POD_SPECS
        .iter()
        .flat_map(|spec| ["initContainers", "containers"].into_iter().flat_map(move |list| items(object, &format!("{spec}/{list}"))));
    containers.filter_map(|c| c["image"].as_str()).filter(|image| !image.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(object: Value, expect: &[&str]) {
        assert_eq!(images(&object).into_iter().collect::<Vec<_>>(), expect);
    }

    #[test]
    fn images_come_from_pods_and_templates() {
        let pod = json!({"initContainers": [{"image": "init:1"}], "containers": [{"image": "b:1"}, {"image": "a:1"}, {"name": "none"}]});
        check(json!({"kind": "Pod", "spec": pod}), &["a:1", "b:1", "init:1"]);
        check(json!({"kind": "Deployment", "spec": {"template": {"spec": pod}}}), &["a:1", "b:1", "init:1"]);
        check(json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}), &["a:1", "b:1", "init:1"]);
        check(json!({"kind": "ConfigMap", "data": {"image": "no:1"}}), &[]);
    }
}
