//! What can go wrong while acting on the API.

use std::time::Duration;

use controller::Next;

/// How soon to look again after somebody else changed the object first: their change is about to reach the cache.
const AFTER_CONFLICT: Duration = Duration::from_millis(50);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to {doing}")]
    Api {
        doing: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("{0}")]
    Several(String),
}

impl Error {
    fn code(&self) -> Option<u16> {
        match self {
            Self::Api { source, .. } => match &**source {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            Self::Several(_) => None,
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// Says the whole chain on one line.
    pub fn full(&self) -> String {
        match self {
            Self::Api { source, .. } => format!("{self}: {source}"),
            Self::Several(text) => text.clone(),
        }
    }
}

/// Adds what was being done to an API error.
pub trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Doing<T> for Result<T, kube::Error> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Api { doing: what(), source: Box::new(source) })
    }
}

/// Takes the absence of an object as done.
pub fn gone_is_fine<T>(result: Result<T, Error>) -> Result<(), Error> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Ends a reconcile: a conflict is no failure, the other's change comes through the cache and we look again.
pub fn settle(result: Result<Next, Error>) -> Result<Next, String> {
    match result {
        Err(error) if error.is_conflict() => Ok(Next::After(AFTER_CONFLICT)),
        other => other.map_err(|error| error.full()),
    }
}
