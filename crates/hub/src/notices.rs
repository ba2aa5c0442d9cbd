//! Hints to agents: "this repository has a new commit". A long-lived stream of lines, one a notice.
//!
//! A notice may be lost: a listener that falls behind gets a new hello, which tells it to look at everything. The
//! hello comes again now and then as a sign of life.

use std::sync::Arc;
use std::time::Duration;

use api::hub::Notice;
use apiserver::Body;
use bytes::Bytes;
use http::Response;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::endpoints::{self, Shared};

/// Less than what middle boxes allow an idle connection.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);
/// Notices kept for slow listeners.
const NOTICES_MAX: usize = 1_024;

/// Where notices are put up; cheap to clone.
#[derive(Clone)]
pub struct Board {
    sender: broadcast::Sender<Notice>,
    tips: Arc<dyn Fn() -> Vec<Notice> + Send + Sync>,
    may_hear: MayHear,
}

/// Whether a cluster's agent is to hear a notice.
pub type MayHear = Arc<dyn Fn(&str, &Notice) -> bool + Send + Sync>;

impl Default for Board {
    fn default() -> Self {
        Self::new(broadcast::Sender::new(NOTICES_MAX), Arc::new(Vec::new), Arc::new(|_, _| true))
    }
}

impl Board {
    /// Passes on what `sender` sends; `tips` says what a new listener may have missed; `may_hear` who is told what.
    pub fn new(sender: broadcast::Sender<Notice>, tips: Arc<dyn Fn() -> Vec<Notice> + Send + Sync>, may_hear: MayHear) -> Self {
        Self { sender, tips, may_hear }
    }

    /// Tells all listeners; that nobody listens is fine.
    pub fn tell(&self, notice: Notice) {
        let _ = self.sender.send(notice);
    }
}

struct Listener {
    shared: Arc<Shared>,
    cluster: String,
    heard: broadcast::Receiver<Notice>,
    waiting: Vec<Notice>,
}

pub fn open(shared: &Arc<Shared>, cluster: &str) -> Response<Body> {
    let heard = shared.notices.sender.subscribe();
    let mut waiting = (shared.notices.tips)();
    waiting.retain(|notice| (shared.notices.may_hear)(cluster, notice));
    waiting.push(hello(shared));
    // Taken from the end: the hello comes first.
    let listener = Listener { shared: shared.clone(), cluster: cluster.to_owned(), heard, waiting };
    endpoints::lines(futures::stream::unfold(listener, |mut listener| async move {
        let notice = listener.next().await?;
        let mut line = serde_json::to_vec(&notice).ok()?;
        line.push(b'\n');
        Some((Bytes::from(line), listener))
    }))
}

impl Listener {
    async fn next(&mut self) -> Option<Notice> {
        if let Some(notice) = self.waiting.pop() {
            return Some(notice);
        }
        let sign_of_life = tokio::time::sleep(SIGN_OF_LIFE);
        tokio::pin!(sign_of_life);
        loop {
            tokio::select! {
                heard = self.heard.recv() => match heard {
                    Ok(notice) if (self.shared.notices.may_hear)(&self.cluster, &notice) => return Some(notice),
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => return Some(hello(&self.shared)),
                    Err(RecvError::Closed) => return None,
                },
                () = &mut sign_of_life => return Some(hello(&self.shared)),
                () = self.shared.ctx.runtime.stopping() => return None,
            }
        }
    }
}

fn hello(shared: &Shared) -> Notice {
    Notice::Hello { hub: shared.hub.clone(), time: shared.ctx.now() }
}
