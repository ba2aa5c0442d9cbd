//! Events: what the hub did about an object, told beside it.
//!
//! An event that cannot be written is logged and forgotten: events inform, conditions decide.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Resource;
use kube::api::PostParams;

use crate::context::{Context, MANAGER};

pub struct Told {
    pub type_: &'static str,
    pub reason: &'static str,
    pub action: &'static str,
    pub note: String,
}

pub const WARNING: &str = "Warning";
/// As the API server refuses longer ones.
const NOTE_BYTES_MAX: usize = 1024;

/// Tells an event about an object; events about cluster-scoped objects lie in namespace `default`.
pub async fn tell<K: Resource<DynamicType = ()>>(ctx: &Context, about: &K, told: Told) {
    let reference: ObjectReference = about.object_ref(&());
    let namespace = reference.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let name = reference.name.clone().unwrap_or_default();
    let mut note = told.note;
    if note.len() > NOTE_BYTES_MAX {
        let cut = (0..=NOTE_BYTES_MAX).rev().find(|i| note.is_char_boundary(*i)).unwrap_or(0);
        note.truncate(cut);
    }
    let event = Event {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}.", name.chars().take(200).collect::<String>())),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(ctx.now())),
        type_: Some(told.type_.to_owned()),
        reason: Some(told.reason.to_owned()),
        action: Some(told.action.to_owned()),
        note: Some(note),
        regarding: Some(reference),
        reporting_controller: Some(format!("muster.dev/{MANAGER}")),
        reporting_instance: Some(MANAGER.to_owned()),
        ..Event::default()
    };
    if let Err(error) = ctx.namespaced::<Event>(&namespace).create(&PostParams::default(), &event).await {
        tracing::warn!(object = %name, reason = told.reason, %error, "event not written");
    }
}
