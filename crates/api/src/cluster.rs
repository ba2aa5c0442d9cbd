//! Clusters, sets, placements (`cluster.open-cluster-management.io`).
