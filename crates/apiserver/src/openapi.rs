//! OpenAPI documents.

use apimachinery::status::Status;
use http::{HeaderMap, Response};

use crate::request::Query;
use crate::{Body, Inner};

pub(crate) fn answer(_inner: &Inner, _path: &str, _headers: &HeaderMap, _query: &Query) -> Result<Option<Response<Body>>, Status> {
    Ok(None)
}
