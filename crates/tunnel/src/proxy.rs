//! Through an HTTP proxy: `CONNECT host:port`.

use base64::Engine;
use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::endpoint::basic;

/// A proxy that answers with more header bytes than this is none.
const ANSWER_BYTES_MAX: usize = 8 * 1024;

/// Returns the proxy that the environment names for a server (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, unless `NO_PROXY`
/// has the host), as client-go does: never for this machine itself.
pub(crate) fn of_environment(environment: &Matcher, server: &Uri) -> Option<String> {
    let host = server.host()?.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let found = environment.intercept(server).filter(|_| !is_loopback)?;
    let authority = found.uri().authority()?;
    let login = found.basic_auth().and_then(|header| header.to_str().ok()?.strip_prefix("Basic ").map(str::to_owned));
    let login = login.and_then(|login| String::from_utf8(base64::engine::general_purpose::STANDARD.decode(login).ok()?).ok());
    let login = login.map(|login| format!("{login}@")).unwrap_or_default();
    Some(format!("{}://{login}{authority}", found.uri().scheme_str()?))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_a_proxy_but_never_for_this_machine() {
        let environment = Matcher::builder().https("http://me:secret@proxy.shop:3128").no("git.shop, 10.0.0.0/8").build();
        let proxy = |server: &str| of_environment(&environment, &server.parse().unwrap());
        assert_eq!(proxy("https://hub.example:6443").as_deref(), Some("http://me:secret@proxy.shop:3128"));
        for server in [
            "https://git.shop",
            "https://10.1.2.3:6443",
            "https://localhost:7443",
            "https://127.0.0.1",
            "https://[::1]:1",
            "http://hub.example",
        ] {
            assert_eq!(proxy(server), None, "{server}");
        }
    }
}
