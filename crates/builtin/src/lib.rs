//! Schemas, defaults and protobuf numbers of the built-in kinds.
