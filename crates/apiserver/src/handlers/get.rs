//! `get`

use apimachinery::status::Status;
use http::Response;

use super::{Call, store_error};
use crate::{Body, Inner};

impl Inner {
    pub(crate) async fn get(&self, call: &Call) -> Result<Response<Body>, Status> {
        // A read at any stated revision may be newer than it, so the newest serves all of them;
        // one ahead of us is refused, not answered with the past.
        if let Some(asked) = super::list::parse_revision(call.info.query.get("resourceVersion"))?
            && asked > self.options.store.revision()
        {
            return Err(store_error(store::Error::Future(asked, self.options.store.revision())));
        }
        self.options.store.fresh().await.map_err(store_error)?;
        let entry = self.options.store.get(&call.key(&call.path.name), None).map_err(store_error)?;
        self.answer_entry(call, 200, &entry.ok_or_else(|| call.not_found())?)
    }
}
