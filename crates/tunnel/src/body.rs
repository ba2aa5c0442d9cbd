//! Bodies that stream: what requests and responses carry.

use bytes::Bytes;
use futures::Stream;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use tokio::sync::mpsc;

use crate::BoxError;

/// A body of any kind.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Returns a body that ends when its sender is dropped; it holds at most `capacity` chunks.
pub fn channel(capacity: usize) -> (mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = mpsc::channel(capacity);
    let chunks = futures::stream::unfold(receiver, async |mut receiver: mpsc::Receiver<Bytes>| {
        let chunk = receiver.recv().await?;
        Some((Ok::<_, BoxError>(Frame::data(chunk)), receiver))
    });
    (sender, stream(chunks))
}

/// Returns a body of the frames of a stream.
pub fn stream(frames: impl Stream<Item = Result<Frame<Bytes>, BoxError>> + Send + 'static) -> Body {
    StreamBody::new(frames).boxed_unsync()
}

/// Reads a whole body, or fails when it is longer than `bytes_max`.
pub async fn collect(body: Body, bytes_max: usize) -> Result<Bytes, BoxError> {
    let limited = http_body_util::Limited::new(body, bytes_max);
    Ok(limited.collect().await?.to_bytes())
}
