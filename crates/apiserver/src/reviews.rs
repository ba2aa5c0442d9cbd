//! Kinds that are questions: reviews are answered from the authorizer and never stored.

use apimachinery::status::Status;
use http::Response;

use crate::auth::{reviews, token_request};
use crate::handlers::Call;
use crate::server::method_not_allowed;
use crate::{Body, Inner, codec};

impl Inner {
    /// Answers a review; `None` if the call's kind is stored.
    pub(crate) async fn review_request(&self, call: &Call) -> Result<Option<Response<Body>>, Status> {
        let path = (call.path.group.as_str(), call.path.resource.as_str());
        if !matches!(path, ("authentication.k8s.io" | "authorization.k8s.io", _)) {
            return Ok(None);
        }
        if call.info.verb != "create" {
            return Err(method_not_allowed());
        }
        let review = self.read_object(call)?;
        let rbac = self.rbac.snapshot();
        let answer = match path.1 {
            "tokenreviews" => reviews::token_review(&self.authenticator, review, self.now())?,
            "selfsubjectreviews" => reviews::self_subject_review(&call.user, review),
            "selfsubjectaccessreviews" => reviews::self_subject_access_review(&rbac, &call.user, review)?,
            "subjectaccessreviews" => reviews::subject_access_review(&rbac, review)?,
            "localsubjectaccessreviews" => reviews::local_subject_access_review(&rbac, &call.path.namespace, review)?,
            "selfsubjectrulesreviews" => reviews::self_subject_rules_review(&rbac, &call.user, review)?,
            _ => return Err(Status::no_such_path()),
        };
        self.answer_value(call, 201, answer).map(Some)
    }

    /// `serviceaccounts/<name>/token`
    pub(crate) async fn request_token(&self, call: &Call) -> Result<Response<Body>, Status> {
        let account = self.load(call)?.value;
        let request = codec::parse_body(&call.headers, &call.body, None)?.value;
        let answer = token_request::token_request(self.authenticator.signer(), &*self.view, &account, request, self.now())?;
        self.answer_value(call, 201, answer)
    }
}
