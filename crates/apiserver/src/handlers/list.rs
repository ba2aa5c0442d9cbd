//! `list`: pages of one consistent revision.
//!
//! As apiserver `storage/etcd3/store.go GetList`: unset revision is the newest, `0` any,
//! `Exact` that very one, otherwise not older; a continue token pins the revision of the first page.

use apimachinery::selector::{FieldSelector, LabelSelector};
use apimachinery::status::{Cause, Status};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Entry, Range, Revision};

use super::{Call, encode_answer, partial_metadata, store_error};
use crate::negotiate::{Accepted, Form};
use crate::watch::{Fields, Filter};
use crate::{Body, Inner, http as answers, keys, table};

/// How many keys are looked at before a filtered page is cut short.
const SCAN_KEYS: usize = 10_000;
const CHUNK_BYTES: usize = 64 * 1024;

/// Where the next page starts.
#[derive(Serialize, Deserialize)]
struct Continue {
    v: String,
    rv: Revision,
    start: String,
}

/// Objects of a resource at a revision.
pub struct Listed {
    pub entries: Vec<Entry>,
    pub revision: Revision,
    pub continues: Option<String>,
    pub remaining: Option<u64>,
}

/// Returns a `resourceVersion` parameter as a number; absent and empty are `None`.
pub fn parse_revision(text: Option<&str>) -> Result<Option<Revision>, Status> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            Status::bad_request(format!("resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"))
        }),
    }
}

impl Call {
    /// Returns which objects the call is about.
    pub(crate) fn filter(&self) -> Result<Filter, Status> {
        let mut filter = Filter { namespace: self.namespace().to_owned(), ..Filter::default() };
        if !self.path.name.is_empty() {
            filter.name = Some(self.path.name.clone());
        }
        if let Some(text) = self.info.query.get("labelSelector").filter(|t| !t.is_empty()) {
            let selector = LabelSelector::parse(text).map_err(|e| Status::bad_request(format!("unable to parse labelSelector: {e}")))?;
            filter.labels = Some(selector).filter(|s| !s.is_everything());
        }
        if let Some(text) = self.info.query.get("fieldSelector").filter(|t| !t.is_empty()) {
            let fields = FieldSelector::parse(text).map_err(|e| Status::bad_request(format!("unable to parse fieldSelector: {e}")))?;
            self.check_fields(&fields)?;
            let fields = self.stored_fields(text).unwrap_or(fields);
            if let Some(name) = fields.exact("metadata.name") {
                filter.name = Some(name.to_owned());
            }
            if let Some(namespace) = fields.exact("metadata.namespace").filter(|_| filter.namespace.is_empty()) {
                filter.namespace = namespace.to_owned();
            }
            // Keys say name and namespace; only other fields need the object.
            let known = [("metadata.name", filter.name.as_deref()), ("metadata.namespace", Some(filter.namespace.as_str()))];
            let is_by_key =
                fields.fields().count() == known.iter().filter(|(f, v)| fields.exact(f).is_some() && fields.exact(f) == *v).count();
            filter.fields = Some(fields).filter(|_| !is_by_key);
        }
        Ok(filter)
    }

    fn check_fields(&self, fields: &FieldSelector) -> Result<(), Status> {
        for path in fields.fields() {
            let is_known = matches!(path, "metadata.name" | "metadata.namespace")
                || self.resource.selectable_fields.iter().any(|f| f.trim_start_matches('.') == path);
            if !is_known {
                let mut known = vec!["metadata.name", "metadata.namespace"];
                known.extend(self.resource.selectable_fields.iter().map(|f| f.trim_start_matches('.')));
                return Err(Status::bad_request(format!("field label not supported: {path}; supported are {}", known.join(", "))));
            }
        }
        Ok(())
    }

    /// Returns the selector in the words of the stored object, where those differ: selectors look at stored bytes.
    fn stored_fields(&self, text: &str) -> Option<FieldSelector> {
        if self.resource.gvr.group != "events.k8s.io" {
            return None;
        }
        let renamed = text.replace("regarding.", "involvedObject.").replace("reportingController", "reportingComponent");
        FieldSelector::parse(&renamed).ok()
    }
}

impl Inner {
    pub(crate) async fn list(&self, call: &Call) -> Result<Response<Body>, Status> {
        let filter = call.filter()?;
        self.options.store.fresh().await.map_err(store_error)?;
        let listed = self.listed(call, &filter)?;
        let mut metadata = json!({"resourceVersion": listed.revision.to_string()});
        if let Some(token) = &listed.continues {
            metadata["continue"] = json!(token);
        }
        if let Some(remaining) = listed.remaining {
            metadata["remainingItemCount"] = json!(remaining);
        }
        if call.accepted == Accepted::JSON && call.resource.is_storage_version() {
            let body = stored_list(&call.resource.gvk().api_version(), &call.resource.list_kind(), &metadata, listed.entries);
            return Ok(self.finish(call, answers::respond(200, "application/json", body)));
        }
        let objects: Vec<Value> = listed.entries.iter().map(|e| self.value_of(&call.resource, e)).collect::<Result<_, _>>()?;
        let list = match call.accepted.form {
            Form::Object => {
                json!({"kind": call.resource.list_kind(), "apiVersion": call.resource.gvk().api_version(), "metadata": metadata, "items": objects})
            }
            Form::Metadata => {
                let items: Vec<Value> = objects.iter().map(partial_metadata).collect();
                json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items})
            }
            Form::Table => {
                let include = table::Include::parse(call.info.query.get("includeObject"))?;
                table::render(&call.resource, &objects, &metadata, include, self.now())
            }
        };
        Ok(self.finish(call, encode_answer(call.accepted, 200, &list)))
    }

    /// Returns the page that the call's parameters ask for.
    pub(crate) fn listed(&self, call: &Call, filter: &Filter) -> Result<Listed, Status> {
        let query = &call.info.query;
        let limit = match query.get("limit") {
            None | Some("") => 0,
            Some(text) => text.parse::<i64>().map_err(|_| Status::bad_request(format!("limit: {text:?} is not a number")))?.max(0) as usize,
        };
        let asked = parse_revision(query.get("resourceVersion"))?;
        if query.get("sendInitialEvents").is_some_and(|v| !v.is_empty()) && !query.is_true("watch") {
            return Err(invalid_options("sendInitialEvents", "sendInitialEvents is forbidden for list, it is for watch"));
        }
        let newest = self.options.store.revision();
        let (at, after) = match query.get("continue").filter(|t| !t.is_empty()) {
            Some(token) => {
                if query.get("resourceVersionMatch").is_some_and(|rule| !rule.is_empty()) {
                    return Err(invalid_options("resourceVersionMatch", "resourceVersionMatch is forbidden for continue"));
                }
                if asked.is_some_and(|rv| rv != 0) {
                    return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
                }
                let token = decode_token(token, newest)?;
                (Some(token.rv), Some(token.start))
            }
            None => (exact_revision(query.get("resourceVersionMatch"), asked, newest, limit)?, None),
        };
        // The first page of a continued list is read at a revision that the following ones can name.
        let at = if limit > 0 { at.or(Some(newest)) } else { at };
        let prefix = filter.prefix(&call.resource);
        self.page(&prefix, filter, at, after, limit).map_err(|error| expired(error, query.get("continue").is_some()))
    }

    fn page(
        &self,
        prefix: &str,
        filter: &Filter,
        at: Option<Revision>,
        after: Option<String>,
        limit: usize,
    ) -> Result<Listed, store::Error> {
        let is_filtered = filter.needs_fields() || filter.name.is_some();
        let mut listed = Listed { entries: Vec::new(), revision: 0, continues: None, remaining: None };
        let mut from = after.map(|start| format!("{prefix}{start}"));
        let mut at = at;
        loop {
            let want = match (limit, is_filtered) {
                (0, _) => 0,
                (limit, false) => limit,
                (_, true) => SCAN_KEYS,
            };
            let page = self.options.store.range(Range { prefix, after: from.as_deref(), limit: want, at })?;
            listed.revision = page.revision;
            at = Some(page.revision);
            let mut rest = page.remaining;
            let mut looked_at = 0;
            let count = page.entries.len();
            for entry in page.entries {
                looked_at += 1;
                from = Some(entry.key.to_string());
                if !is_filtered || is_admitted(filter, &entry) {
                    listed.entries.push(entry);
                }
                if limit > 0 && listed.entries.len() == limit {
                    rest += (count - looked_at) as u64;
                    break;
                }
            }
            let is_full = limit > 0 && listed.entries.len() == limit;
            if rest == 0 || is_full {
                if rest > 0 {
                    let start = from.as_deref().map(|key| key[prefix.len()..].to_owned()).unwrap_or_default();
                    let token = Continue { v: "meta.k8s.io/v1".into(), rv: listed.revision, start };
                    listed.continues = Some(URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default()));
                    listed.remaining = (!is_filtered).then_some(rest);
                }
                return Ok(listed);
            }
        }
    }
}

fn is_admitted(filter: &Filter, entry: &Entry) -> bool {
    keys::parts(&entry.key).is_some_and(|parts| filter.admits_key(&parts))
        && (!filter.needs_fields() || filter.admits(&Fields::of(&entry.value)))
}

/// Returns the revision to read at, if it must be one in particular.
fn exact_revision(rule: Option<&str>, asked: Option<Revision>, newest: Revision, limit: usize) -> Result<Option<Revision>, Status> {
    if let Some(asked) = asked.filter(|rv| *rv > newest) {
        return Err(store_error(store::Error::Future(asked, newest)));
    }
    match (rule.filter(|r| !r.is_empty()), asked) {
        (Some("Exact"), None) => {
            Err(invalid_options("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"))
        }
        (Some("Exact"), Some(0)) => {
            Err(invalid_options("resourceVersionMatch", "resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\""))
        }
        (Some("Exact"), Some(asked)) => Ok(Some(asked)),
        (Some("NotOlderThan"), None) => {
            Err(invalid_options("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"))
        }
        // as etcd3 store.go: a limit with a revision and no rule reads exactly that revision.
        (None, Some(asked)) if limit > 0 && asked > 0 => Ok(Some(asked)),
        (None | Some("NotOlderThan"), _) => Ok(None),
        (Some(other), _) => {
            let cause = Cause::not_supported("resourceVersionMatch", &json!(other), &["Exact", "NotOlderThan"]);
            Err(Status::invalid("meta.k8s.io", "ListOptions", "", vec![cause]))
        }
    }
}

fn invalid_options(field: &str, why: &str) -> Status {
    Status::invalid("meta.k8s.io", "ListOptions", "", vec![Cause::forbidden(field, why)])
}

fn decode_token(token: &str, newest: Revision) -> Result<Continue, Status> {
    let invalid = || Status::bad_request(format!("continue key is not valid: {token:?}"));
    let bytes = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).map_err(|_| invalid())?;
    let token: Continue = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    // A start that climbs out of the resource's prefix is a forgery, and so is what nobody can have been given yet.
    if token.rv == 0 || token.rv > newest || token.start.starts_with('/') && token.start.contains("..") {
        return Err(invalid());
    }
    Ok(token)
}

fn expired(error: store::Error, is_continued: bool) -> Status {
    match error {
        store::Error::Compacted(..) if is_continued => Status::gone(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.",
        ),
        other => store_error(other),
    }
}

/// Returns the list as a body of chunks: stored bytes, framed.
fn stored_list(api_version: &str, kind: &str, metadata: &Value, entries: Vec<Entry>) -> Body {
    let head = format!("{{\"kind\":{},\"apiVersion\":{},\"metadata\":{metadata},\"items\":[", json!(kind), json!(api_version));
    let size: usize = entries.iter().map(|e| e.value.len() + 1).sum::<usize>() + head.len() + 2;
    if size <= CHUNK_BYTES {
        let mut out = Vec::with_capacity(size);
        out.extend_from_slice(head.as_bytes());
        for (i, entry) in entries.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&entry.value);
        }
        out.extend_from_slice(b"]}");
        return answers::full(out);
    }
    let mut entries = entries.into_iter().enumerate();
    let mut head = Some(head);
    let mut is_done = false;
    answers::stream(futures::stream::iter(std::iter::from_fn(move || {
        if is_done {
            return None;
        }
        let mut chunk = Vec::with_capacity(CHUNK_BYTES + 4096);
        if let Some(head) = head.take() {
            chunk.extend_from_slice(head.as_bytes());
        }
        while chunk.len() < CHUNK_BYTES {
            match entries.next() {
                Some((i, entry)) => {
                    if i > 0 {
                        chunk.push(b',');
                    }
                    chunk.extend_from_slice(&entry.value);
                }
                None => {
                    is_done = true;
                    chunk.extend_from_slice(b"]}");
                    break;
                }
            }
        }
        Some(Bytes::from(chunk))
    })))
}
