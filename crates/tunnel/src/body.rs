//! Bodies that stream: what requests and responses carry.

use bytes::{Bytes, BytesMut};
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
pub async fn collect(mut body: Body, bytes_max: usize) -> Result<Bytes, BoxError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // No `?`: the compiler cannot prove a conversion of boxed errors `Send` across the await.
        match frame.map(Frame::into_data) {
            Err(error) => return Err(error),
            Ok(Err(_trailers)) => {}
            Ok(Ok(data)) if whole.len() + data.len() > bytes_max => return Err(format!("the body is longer than {bytes_max} bytes").into()),
            Ok(Ok(data)) => whole.extend_from_slice(&data),
        }
    }
    Ok(whole.freeze())
}
