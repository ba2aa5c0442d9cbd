//! The web console as a server: its files, who is signed in, and the way to the hub.
//!
//! The browser talks to this server alone, over plain HTTP on a loopback address. This server talks to the hub with one
//! identity, as any client does: it knows no kind and keeps no state of the fleet. Who may use it is decided at its
//! [`door`]: a link that works once and for a minute gives a session. [`proxy`] says which requests go to the hub,
//! [`assets`] holds the built pages, [`headers`] what every answer says about itself.
//!
//! Invariants: nothing but pages and the door is reachable without a session; no request that changes something passes
//! without the session's CSRF word and our own origin; a name of another machine in `Host` is refused, so that no
//! foreign page reaches us by rebinding its name.

mod assets;
mod door;
mod headers;
mod proxy;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;

use controller::Runtime;
use tokio::net::TcpListener;
use tunnel::HttpService;

pub use assets::is_built;
pub use door::{TICKET_LIFE, TICKETS_PATH};

/// How a console is served.
pub struct Options {
    pub runtime: Runtime,
    /// The hub, with the identity that everybody who is signed in has there.
    pub hub: HttpService,
    /// Whoever knows it may ask for links by `POST` to [`TICKETS_PATH`]; `None` for nobody.
    pub secret: Option<String>,
}

/// A console that is served; cheap to clone.
#[derive(Clone)]
pub struct Console {
    inner: Arc<server::Inner>,
}

impl Console {
    /// Serves the console on a listener, which should be of a loopback address, until the runtime stops.
    pub fn serve(listener: TcpListener, options: Options) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let runtime = options.runtime.clone();
        let inner = Arc::new(server::Inner::new(address, options));
        runtime.spawn("console", server::accept(inner.clone(), listener));
        Ok(Self { inner })
    }

    pub fn address(&self) -> SocketAddr {
        self.inner.address
    }

    /// Returns a link that signs in whoever opens it first, within [`TICKET_LIFE`].
    pub fn link(&self) -> Result<String, pki::Error> {
        Ok(door::link(self.inner.address, &self.inner.door.ticket(self.inner.now())?))
    }
}
