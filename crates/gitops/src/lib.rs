//! What an Application wants done on a cluster.
