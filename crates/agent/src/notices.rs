//! Hints from the hub: something is new, look.
//!
//! One long-lived `GET`; a notice may be lost, so whoever listens polls as well. A stream that was silent for
//! longer than the hub's sign of life is opened anew.

use std::time::Duration;

use api::hub::{Notice, path};
use api::report::Lines;
use http_body_util::BodyExt;
use tokio::sync::broadcast;
use tunnel::body;

use crate::{Context, backoff::BackOff};

/// A listener that is this far behind gets `Lagged` and should look at everything.
const BACKLOG: usize = 64;
/// The hub gives a sign of life every 30 s.
const SILENCE_MAX: Duration = Duration::from_secs(100);

/// Hands notices to all parts of the agent; cheap to clone.
#[derive(Clone)]
pub struct Notices(broadcast::Sender<Notice>);

impl Default for Notices {
    fn default() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }
}

impl Notices {
    /// Listens from now on. A [`Notice::Hello`] says that notices may have been missed before it.
    pub fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.0.subscribe()
    }

    fn tell(&self, notice: Notice) {
        // Nobody listens: nobody needs it.
        let _ = self.0.send(notice);
    }
}

/// Listens for as long as the runtime lives.
pub(crate) async fn run(context: Context) {
    let mut back_off = BackOff::new(Duration::from_millis(200), Duration::from_secs(30));
    loop {
        if context.hub.is_joined() {
            match listen(&context).await {
                Ok(()) => back_off.reset(),
                Err(error) => tracing::debug!(%error, "notice stream failed"),
            }
        }
        tokio::time::sleep(back_off.next_delay()).await;
    }
}

/// Listens until the stream ends; an error means that it never began.
async fn listen(context: &Context) -> Result<(), tunnel::BoxError> {
    let request = http::Request::get(path::notices(&context.cluster_name)).body(body::empty())?;
    let response = tunnel::send(&context.hub.http, request).await?;
    if !response.status().is_success() {
        return Err(format!("the hub answered {}", response.status()).into());
    }
    let mut body = response.into_body();
    let mut lines = Lines::default();
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(SILENCE_MAX, body.frame()).await {
        if let Some(data) = frame.data_ref() {
            lines.push(data);
        }
        while let Some(line) = lines.next_line()? {
            match serde_json::from_slice::<Notice>(&line) {
                Ok(notice) => heed(context, notice),
                Err(error) => tracing::debug!(%error, "a notice was not understood"),
            }
        }
    }
    Ok(())
}

fn heed(context: &Context, notice: Notice) {
    if let Notice::Hello { hub, time } = &notice {
        context.clock_skew.note(context.runtime.clock.now(), *time);
        context.hub.meet(hub.clone());
    }
    context.notices.tell(notice);
}
