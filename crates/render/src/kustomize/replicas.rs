//! Numbers of replicas.

use serde_json::Value;

use super::fieldpath::{self, Make};
use super::fields::FieldSpec;
use super::set::Set;
use super::spec::Replica;

/// Sets the number of replicas of the objects with a name; there must be one.
pub(crate) fn set(set: &mut Set, replica: &Replica, specs: &[FieldSpec]) -> Result<(), String> {
    let mut is_found = false;
    for spec in specs {
        for at in set.with_id(|id| id.name == replica.name && spec.selects(&id.gvk)) {
            is_found = true;
            let mut put = |value: &mut Value| {
                *value = Value::from(replica.count);
                Ok(())
            };
            let resource = &mut set.resources[at];
            let outcome = fieldpath::apply(&mut resource.object, spec, Make::Scalar, &mut put);
            outcome.map_err(|what| format!("{}: {what}", resource.id()))?;
        }
    }
    if is_found { Ok(()) } else { Err(format!("nothing that has replicas is named {:?}", replica.name)) }
}
