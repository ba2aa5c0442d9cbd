//! A person's word before something is deleted: `Prune=confirm` and `Delete=confirm`.

use api::argo::Application;
use api::argo::annotation::DELETION_APPROVED;
use jiff::Timestamp;

/// Returns when a person approved of deletions; it counts for what began before.
pub(crate) fn approved_at(app: &Application) -> Option<Timestamp> {
    app.metadata.annotations.as_ref()?.get(DELETION_APPROVED)?.trim().parse().ok()
}

/// Says what waits, and how to go on.
pub(crate) fn waiting(for_what: &str, of: &str) -> String {
    format!(
        "waiting for the {for_what} of {of} to be confirmed: annotate the Application with {DELETION_APPROVED}: <the time now, as RFC 3339>"
    )
}
