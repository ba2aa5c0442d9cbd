//! The table of served kinds, one file a family of groups.
//!
//! Column names and order are those of `kubectl get` on a real cluster.

mod core;
mod extension;
mod identity;
mod storage;
mod workload;

use crate::row::Row;

/// Every row. Rows of one group and resource with several versions: the preferred version first.
pub(crate) fn all() -> impl Iterator<Item = &'static Row> {
    [core::ROWS, workload::ROWS, identity::ROWS, storage::ROWS, extension::ROWS].into_iter().flatten()
}
