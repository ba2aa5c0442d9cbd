//! Work for clusters (`work.open-cluster-management.io`).
