//! A whole hub with spokes in one process, for tests.
