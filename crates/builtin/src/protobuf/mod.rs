//! Protobuf bodies of built-in kinds, to and from JSON values.
//!
//! kubectl and client-go send built-in kinds as `k8s\0` and a `runtime.Unknown` that names the kind and
//! carries the message. One table of field numbers drives both directions: there is no code per kind
//! beyond the types whose JSON form is special (times, quantities, raw JSON, schemas of CRDs).
//!
//! Go writes zeros of plain fields and leaves out only nil pointers, so a zero read from the wire is
//! dropped unless the field is a pointer or always written. No served kind has a `Duration`.

mod decode;
mod encode;
mod special;
mod table;
mod wire;

pub use decode::decode;
pub use encode::encode;

/// What a protobuf body of Kubernetes begins with.
pub const MAGIC: &[u8; 4] = b"k8s\0";

/// The media type of such bodies.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// Messages inside messages: schemas of CRDs nest deepest, and get nowhere near.
pub const DEPTH_MAX: usize = 100;

/// Values in one object: 3 MiB of two-byte messages must not become a gigabyte of JSON.
pub const VALUES_MAX: usize = 250_000;

/// Why a body was not decoded or an object not encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the body does not begin with the protobuf prefix k8s\\0; send JSON as application/json")]
    NotProtobuf,
    #[error("kind {kind:?} of {api_version:?} is not known in protobuf; send it as application/json")]
    UnknownKind { api_version: String, kind: String },
    #[error("{message}.{field}: {why}")]
    Field { message: String, field: String, why: String },
    #[error("more than {DEPTH_MAX} messages inside each other; the limit keeps one body from exhausting the stack")]
    TooDeep,
    #[error("more than {VALUES_MAX} values in one object; split it")]
    TooMany,
}

impl Error {
    fn field(message: &str, field: &str, why: impl Into<String>) -> Self {
        Self::Field { message: message.to_owned(), field: field.to_owned(), why: why.into() }
    }
}
