//! The kinds whose definitions are generated; everything they refer to follows.

use std::collections::BTreeMap;

use k8s_openapi::Resource;
use k8s_openapi::api;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_openapi::apimachinery::pkg as machinery;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration;
use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Value, json};

/// Schemas by definition name, and group, version and kind of those that are kinds.
pub struct Generated {
    pub schemas: BTreeMap<String, Value>,
    pub kinds: BTreeMap<String, [String; 3]>,
}

struct Roots {
    generator: SchemaGenerator,
    kinds: BTreeMap<String, [String; 3]>,
    lists: Vec<String>,
}

pub fn generate() -> Generated {
    let mut roots = Roots { generator: SchemaSettings::openapi3().into_generator(), kinds: BTreeMap::new(), lists: Vec::new() };
    stored(&mut roots);
    bodies(&mut roots);
    roots.finish()
}

/// Kinds with lists.
fn stored(roots: &mut Roots) {
    macro_rules! listed { ($($kind:ty),* $(,)?) => { $(roots.kind::<$kind>(true);)* } }
    use api::admissionregistration::v1 as admission;
    listed![admission::MutatingWebhookConfiguration, admission::ValidatingWebhookConfiguration];
    listed![admission::ValidatingAdmissionPolicy, admission::ValidatingAdmissionPolicyBinding];
    listed![apiextensions::v1::CustomResourceDefinition, apiregistration::v1::APIService];
    use api::apps::v1 as apps;
    listed![apps::ControllerRevision, apps::DaemonSet, apps::Deployment, apps::ReplicaSet, apps::StatefulSet];
    listed![api::autoscaling::v1::HorizontalPodAutoscaler, api::autoscaling::v2::HorizontalPodAutoscaler];
    listed![api::batch::v1::CronJob, api::batch::v1::Job, api::certificates::v1::CertificateSigningRequest];
    listed![api::coordination::v1::Lease, api::discovery::v1::EndpointSlice, api::events::v1::Event];
    use api::core::v1 as core;
    listed![core::ConfigMap, core::Endpoints, core::Event, core::LimitRange, core::Namespace, core::Node, core::PersistentVolume];
    listed![core::PersistentVolumeClaim, core::Pod, core::PodTemplate, core::ReplicationController, core::ResourceQuota];
    listed![core::Secret, core::Service, core::ServiceAccount];
    listed![api::flowcontrol::v1::FlowSchema, api::flowcontrol::v1::PriorityLevelConfiguration];
    listed![api::networking::v1::Ingress, api::networking::v1::IngressClass, api::networking::v1::NetworkPolicy];
    listed![api::node::v1::RuntimeClass, api::policy::v1::PodDisruptionBudget, api::scheduling::v1::PriorityClass];
    listed![api::rbac::v1::ClusterRole, api::rbac::v1::ClusterRoleBinding, api::rbac::v1::Role, api::rbac::v1::RoleBinding];
    use api::storage::v1 as storage;
    listed![storage::CSIDriver, storage::CSINode, storage::CSIStorageCapacity, storage::StorageClass, storage::VolumeAttachment];
}

/// Kinds that are only sent or answered.
fn bodies(roots: &mut Roots) {
    macro_rules! bare { ($($kind:ty),* $(,)?) => { $(roots.kind::<$kind>(false);)* } }
    bare![api::authentication::v1::SelfSubjectReview, api::authentication::v1::TokenRequest, api::authentication::v1::TokenReview];
    use api::authorization::v1 as authorization;
    bare![authorization::LocalSubjectAccessReview, authorization::SelfSubjectAccessReview];
    bare![authorization::SelfSubjectRulesReview, authorization::SubjectAccessReview];
    bare![api::autoscaling::v1::Scale, api::core::v1::Binding, api::policy::v1::Eviction];
    use machinery::apis::meta::v1 as meta;
    bare![meta::Status, meta::APIGroup, meta::APIGroupList, meta::APIResourceList, meta::APIVersions];
    roots.generator.subschema_for::<meta::DeleteOptions>();
    roots.generator.subschema_for::<meta::ListMeta>();
    roots.generator.subschema_for::<meta::Patch>();
    roots.generator.subschema_for::<meta::WatchEvent<machinery::runtime::RawExtension>>();
    roots.generator.subschema_for::<machinery::version::Info>();
}

impl Roots {
    fn kind<K: Resource + JsonSchema>(&mut self, listed: bool) {
        self.generator.subschema_for::<K>();
        let name = K::schema_name().into_owned();
        if listed {
            self.lists.push(name.clone());
        }
        self.kinds.insert(name, [K::GROUP, K::VERSION, K::KIND].map(str::to_owned));
    }

    fn finish(mut self) -> Generated {
        let mut schemas: BTreeMap<String, Value> = self.generator.take_definitions(true).into_iter().collect();
        for item in self.lists {
            let [group, version, kind] = self.kinds[&item].clone();
            let name = format!("{item}List");
            schemas.insert(name.clone(), list(&item, &kind));
            self.kinds.insert(name, [group, version, format!("{kind}List")]);
        }
        Generated { schemas, kinds: self.kinds }
    }
}

fn list(item: &str, kind: &str) -> Value {
    let target = |name: &str| format!("#/components/schemas/{name}");
    let meta = target("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta");
    json!({
        "description": format!("A list of {kind} objects."),
        "properties": {
            "apiVersion": {"type": "string", "description": "Version of the schema of this object, as group/version."},
            "items": {"type": "array", "items": {"$ref": target(item)}, "description": format!("The {kind} objects.")},
            "kind": {"type": "string", "description": "Name of the schema of this object."},
            "metadata": {"$ref": meta, "description": "Resource version and place in the list."},
        },
        "required": ["items"],
        "type": "object",
    })
}
