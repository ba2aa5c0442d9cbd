//! Which form of the answer the client accepts.
//!
//! As apiserver `endpoints/handlers/negotiation`: clauses in order of preference, the first we can
//! produce wins; nothing we can produce is 406.

use apimachinery::status::Status;

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Object,
    /// `as=Table;v=v1;g=meta.k8s.io`
    Table,
    /// `as=PartialObjectMetadata` and `...List`
    Metadata,
}

/// Form and encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub form: Form,
    pub yaml: bool,
    pub pretty: bool,
}

impl Accepted {
    pub const JSON: Self = Self { form: Form::Object, yaml: false, pretty: false };
}

/// Returns what the `Accept` header asks for that we can produce.
pub fn accept(header: Option<&str>) -> Result<Accepted, Status> {
    let Some(header) = header.filter(|h| !h.trim().is_empty()) else { return Ok(Accepted::JSON) };
    if header == "application/json" || header == "*/*" {
        return Ok(Accepted::JSON);
    }
    let mut clauses: Vec<(f32, &str)> = header.split(',').map(|c| (quality(c), c)).collect();
    clauses.sort_by(|a, b| b.0.total_cmp(&a.0));
    clauses.iter().find_map(|(_, clause)| accept_clause(clause)).ok_or_else(|| {
        Status::new(
            406,
            "NotAcceptable",
            "only the following media types are accepted: application/json, application/yaml, application/json;as=Table;v=v1;g=meta.k8s.io, \
             application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
        )
    })
}

fn quality(clause: &str) -> f32 {
    clause.split(';').find_map(|p| p.trim().strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0)
}

fn accept_clause(clause: &str) -> Option<Accepted> {
    let mut parts = clause.split(';').map(str::trim);
    let media = parts.next()?;
    let yaml = match media {
        "application/json" | "*/*" | "application/*" => false,
        "application/yaml" => true,
        _ => return None,
    };
    let (mut form, mut version, mut group, mut pretty) = (Form::Object, "v1", "meta.k8s.io", false);
    for part in parts {
        match part.split_once('=') {
            Some(("as", "Table")) => form = Form::Table,
            Some(("as", "PartialObjectMetadata" | "PartialObjectMetadataList")) => form = Form::Metadata,
            Some(("as", _)) => return None,
            Some(("v", v)) => version = v,
            Some(("g", g)) => group = g,
            Some(("pretty", p)) => pretty = p != "0",
            _ => {}
        }
    }
    let is_known =
        form == Form::Object || (group == "meta.k8s.io" && (version == "v1" || (version == "v1beta1" && form == Form::Metadata)));
    is_known.then_some(Accepted { form, yaml, pretty })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_form_we_can_produce_wins() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(accept(Some(kubectl)).map(|a| a.form), Ok(Form::Table));
        let client_go = "application/vnd.kubernetes.protobuf,application/json";
        assert_eq!(accept(Some(client_go)).map(|a| a.form), Ok(Form::Object));
        let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
        assert_eq!(accept(Some(metadata)).map(|a| a.form), Ok(Form::Metadata));
        assert_eq!(accept(Some("application/vnd.kubernetes.protobuf")).map_err(|s| s.code), Err(406));
        assert_eq!(accept(Some("application/yaml")).map(|a| a.yaml), Ok(true));
    }
}
