//! The refusal of an apply that would take fields from their owners, in upstream's words.

use super::fieldset::FieldSet;
use super::holders::Holder;
use super::managers::Operation;
use crate::status::{Cause, Status};

/// Returns the 409 for fields that others own.
pub fn conflict(mut conflicts: Vec<(&Holder<'_>, FieldSet)>) -> Status {
    conflicts.sort_by_key(|(owner, _)| named(owner));
    let mut causes = Vec::new();
    let mut text = Vec::new();
    for (owner, fields) in &conflicts {
        let owner = named(owner);
        text.push(format!("conflicts with {owner}:"));
        for path in fields.paths() {
            text.push(format!("- {path}"));
            causes.push(Cause { reason: "FieldManagerConflict", message: format!("conflict with {owner}"), field: path });
        }
    }
    let message = match causes.as_slice() {
        [only] => format!("Apply failed with 1 conflict: {}: {}", only.message, only.field),
        many => format!("Apply failed with {} conflicts: {}", many.len(), text.join("\n")),
    };
    Status::new(409, "Conflict", message).with_causes(causes)
}

fn named(owner: &Holder<'_>) -> String {
    let subresource = if owner.subresource.is_empty() { String::new() } else { format!(" with subresource {:?}", owner.subresource) };
    match owner.operation {
        Operation::Apply => format!("{:?}{subresource}", owner.manager),
        Operation::Update => format!("{:?}{subresource} using {}", owner.manager, owner.api_version),
    }
}
