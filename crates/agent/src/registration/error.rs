//! What can go wrong while joining.

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the bootstrap kubeconfig is not usable: {0}")]
    Bootstrap(String),
    #[error("the stored hub credential is not usable: {0}")]
    Stored(String),
    #[error("failed to {doing} on this cluster")]
    Local {
        doing: &'static str,
        #[source]
        source: kube::Error,
    },
    #[error("failed to {doing} on the hub")]
    Hub {
        doing: &'static str,
        #[source]
        source: kube::Error,
    },
    #[error(transparent)]
    Key(#[from] pki::Error),
    #[error("the certificate was issued for another key")]
    KeyMismatch,
    #[error(transparent)]
    Connect(#[from] tunnel::Error),
    #[error("{count} certificate requests of this cluster wait on the hub: accept the cluster or delete them")]
    TooManyRequests { count: usize },
    #[error("certificate request {name} was not approved in time: accept the cluster on the hub")]
    NotApproved { name: String },
    #[error("certificate request {name} was denied: {message}")]
    Denied { name: String, message: String },
    #[error("failed to watch the certificate request")]
    Wait(#[source] Box<kube::runtime::wait::Error>),
    #[error(
        "the hub at {server} has UID {found}, but this cluster joined the hub with UID {expected}: \
         if that is intended, delete Secret open-cluster-management-agent/hub-kubeconfig-secret and the cluster joins anew"
    )]
    OtherHub { server: String, expected: String, found: String },
    #[error("the hub no longer accepts the certificate: {0}")]
    CertificateRejected(String),
}

impl Error {
    pub fn local(doing: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Local { doing, source }
    }

    pub fn hub(doing: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Hub { doing, source }
    }

    /// The error and its causes on one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}
