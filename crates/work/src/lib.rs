//! What a ManifestWork wants done on a cluster.
