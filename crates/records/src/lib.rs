//! Relational records: reports and the read model.
