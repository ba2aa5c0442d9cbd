//! Through an HTTP proxy: `CONNECT host:port`.

use http::Uri;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::endpoint::basic;

/// A proxy that answers with more header bytes than this is none.
const ANSWER_BYTES_MAX: usize = 8 * 1024;

/// Opens a TCP connection to the target, directly or through a proxy.
pub(crate) async fn open(proxy: Option<&Uri>, host: &str, port: u16) -> std::io::Result<TcpStream> {
    let Some(proxy) = proxy else {
        return TcpStream::connect((host, port)).await;
    };
    let proxy_host = proxy.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let mut stream = TcpStream::connect((proxy_host, proxy.port_u16().unwrap_or(80))).await?;
    let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some((name, password)) = credentials(proxy) {
        let value = basic(name, password).map_err(std::io::Error::other)?;
        request += &format!("Proxy-Authorization: {}\r\n", value.to_str().unwrap_or_default());
    }
    request += "\r\n";
    stream.write_all(request.as_bytes()).await?;
    let status = answer(&mut stream).await?;
    if status.split_ascii_whitespace().nth(1) == Some("200") {
        Ok(stream)
    } else {
        Err(std::io::Error::other(format!("the proxy {proxy_host} refused {target}: {status:?}")))
    }
}

/// Reads the proxy's answer up to its blank line, and not a byte more; returns the status line.
async fn answer(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut answer = Vec::with_capacity(256);
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= ANSWER_BYTES_MAX {
            return Err(std::io::Error::other("the proxy's answer is too long"));
        }
        answer.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
}

/// The `name:password@` of the proxy's URL.
fn credentials(proxy: &Uri) -> Option<(&str, &str)> {
    let (user, _) = proxy.authority()?.as_str().rsplit_once('@')?;
    Some(user.split_once(':').unwrap_or((user, "")))
}
