//! OpenAPI: `/openapi/v3` (an index and a document a group and version) and `/openapi/v2`,
//! which is protobuf for clients of old.
//!
//! Built-in definitions come from [`builtin`], CRDs' from their own `openAPIV3Schema` with kind and
//! metadata filled in, as apiextensions `controller/openapi/builder`. Documents are encoded on first use
//! and kept, compressed, until the table changes; clients cache by the hash in the URL.

mod document;
mod protobuf;

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use apimachinery::status::Status;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Response, header};
use parking_lot::Mutex;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::request::Query;
use crate::{Body, Inner, http as answers};

const JSON: &str = "application/json";
/// As kube-openapi answers to both spellings of it.
const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// Encoded documents of one generation of the table.
#[derive(Default)]
pub(crate) struct Cache(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    generation: u64,
    documents: HashMap<String, Arc<Encoded>>,
}

struct Encoded {
    gzip: Bytes,
    hash: String,
    content_type: &'static str,
}

impl Cache {
    /// Returns a document, built if this generation of the table has not asked for it yet.
    fn get(
        &self,
        generation: u64,
        path: &str,
        content_type: &'static str,
        build: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Option<Arc<Encoded>> {
        let mut kept = self.0.lock();
        if kept.generation != generation {
            *kept = Kept { generation, documents: HashMap::new() };
        }
        if let Some(found) = kept.documents.get(path) {
            return Some(found.clone());
        }
        let bytes = build()?;
        let digest = Sha256::digest(&bytes);
        let hash = digest.iter().take(32).map(|b| format!("{b:02X}")).collect();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&bytes).ok()?;
        let encoded = Arc::new(Encoded { gzip: encoder.finish().ok()?.into(), hash, content_type });
        kept.documents.insert(path.to_owned(), encoded.clone());
        Some(encoded)
    }
}

/// Returns the OpenAPI document at a path, if it is one.
pub(crate) fn answer(inner: &Inner, path: &str, headers: &HeaderMap, _query: &Query) -> Result<Option<Response<Body>>, Status> {
    let snapshot = inner.registry.snapshot();
    let v3 = |group_version: &str| {
        let build = || document::v3(&snapshot, group_version, &inner.stored_crds()).map(|document| document.to_string().into_bytes());
        inner.openapi.get(snapshot.generation, group_version, JSON, build)
    };
    let found = match path {
        "/openapi/v3" => {
            let mut paths = serde_json::Map::new();
            for group_version in document::group_versions(&snapshot) {
                let Some(encoded) = v3(&group_version) else { continue };
                let url = format!("/openapi/v3/{group_version}?hash={}", encoded.hash);
                paths.insert(group_version, json!({ "serverRelativeURL": url }));
            }
            return Ok(Some(answers::json_value(200, &json!({ "paths": paths }))));
        }
        "/openapi/v2" => {
            let content_type = v2_form(headers)?;
            inner.openapi.get(snapshot.generation, content_type, content_type, || {
                let document = document::v2(&snapshot, &inner.stored_crds());
                Some(if content_type == JSON { document.to_string().into_bytes() } else { protobuf::encode(&document) })
            })
        }
        other => match other.strip_prefix("/openapi/v3/") {
            Some(group_version) => v3(group_version),
            None => return Ok(None),
        },
    };
    Ok(found.map(|encoded| respond(&encoded, headers)))
}

/// Returns the first form of the version 2 document that the client accepts.
fn v2_form(headers: &HeaderMap) -> Result<&'static str, Status> {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let form = accept.split(',').find_map(|clause| match clause.split(';').next().unwrap_or_default().trim() {
        "" | "*/*" | "application/*" | JSON => Some(JSON),
        "application/com.github.proto-openapi.spec.v2@v1.0+protobuf" | PROTOBUF => Some(PROTOBUF),
        _ => None,
    });
    let known = || Status::new(406, "NotAcceptable", format!("only the following media types are accepted: {JSON}, {PROTOBUF}"));
    form.ok_or_else(known)
}

fn respond(encoded: &Encoded, headers: &HeaderMap) -> Response<Body> {
    let etag = format!("\"{}\"", encoded.hash);
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|v| v.as_bytes() == etag.as_bytes());
    let takes_gzip = headers.get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains("gzip"));
    let mut response = match (is_known, takes_gzip) {
        (true, _) => answers::respond(304, encoded.content_type, answers::full(Bytes::new())),
        (false, true) => answers::respond(200, encoded.content_type, answers::full(encoded.gzip.clone())),
        (false, false) => answers::respond(200, encoded.content_type, answers::full(decompressed(&encoded.gzip))),
    };
    let headers = response.headers_mut();
    if takes_gzip && !is_known {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding, Accept"));
    response
}

fn decompressed(gzip: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut out = Vec::new();
    // What this server compressed itself can be read.
    let _ = flate2::read::GzDecoder::new(gzip).read_to_end(&mut out);
    out
}
