//! The server on a TCP port: TLS, HTTP/1.1 and HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::server::Caller;
use crate::{ApiServer, BoxError, Inner};

/// Connections at once; leaves descriptors for the store and for Git below the usual 20,000.
const CONNECTIONS_MAX: usize = 18_000;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long open requests may finish after the server was told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);
/// Requests on one HTTP/2 connection: an agent's watches and more.
const STREAMS_MAX: u32 = 1_000;

impl ApiServer {
    /// Serves TLS on the listener until the runtime stops.
    pub fn serve(&self, listener: TcpListener, tls: rustls::ServerConfig) -> std::io::Result<SocketAddr> {
        let address = listener.local_addr()?;
        let inner = self.inner.clone();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let runtime = inner.options.runtime.clone();
        runtime.spawn("accept", accept(inner, listener, acceptor));
        Ok(address)
    }
}

async fn accept(inner: Arc<Inner>, listener: TcpListener, acceptor: TlsAcceptor) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (inner, acceptor) = (inner.clone(), acceptor.clone());
        tokio::spawn(async move {
            if let Err(error) = serve_connection(inner, acceptor, stream).await {
                tracing::debug!(%error, "connection ended");
            }
            drop(permit);
        });
    }
}

async fn serve_connection(inner: Arc<Inner>, acceptor: TlsAcceptor, stream: TcpStream) -> Result<(), BoxError> {
    stream.set_nodelay(true)?;
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await??;
    let certificate: Option<Arc<[u8]>> = stream.get_ref().1.peer_certificates().and_then(|c| c.first()).map(|c| Arc::from(c.as_ref()));
    let caller = Caller::Peer { certificate };
    let runtime = inner.options.runtime.clone();
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (inner, caller) = (inner.clone(), caller.clone());
        async move {
            let request = request.map(|body| body.map_err(|e| Box::new(e) as BoxError).boxed_unsync());
            Ok::<_, std::convert::Infallible>(inner.handle(request, caller).await)
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).max_buf_size(64 * 1024).header_read_timeout(Duration::from_secs(30));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        outcome = connection.as_mut() => return outcome,
        () = runtime.stopping() => {}
    }
    connection.as_mut().graceful_shutdown();
    // Watches end by themselves when the runtime stops; what is left is cut.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, connection).await;
    Ok(())
}
