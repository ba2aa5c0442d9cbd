//! Through an HTTP proxy: `CONNECT host:port`.

use http::uri::Authority;
use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Error;
use crate::endpoint::{bad, basic};

/// A proxy that answers with more header bytes than this is none.
const ANSWER_BYTES_MAX: usize = 8 * 1024;

/// A proxy and our login there, which no message shows.
pub(crate) struct Proxy {
    host: String,
    port: u16,
    login: Option<HeaderValue>,
}

impl Proxy {
    /// Reads a kubeconfig's `proxy-url`.
    pub fn parse(field: &str, url: &str) -> Result<Self, Error> {
        let uri: Uri = url.parse().map_err(|error| bad(format!("{field} is no URL: {error}")))?;
        let login = uri.authority().and_then(login_in).map(|(name, password)| basic(name, password)).transpose()?;
        Self::new(field, &uri, login)
    }

    /// Returns the proxy that the environment names for a server (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, unless `NO_PROXY`
    /// has the host), as client-go does: never for this machine itself.
    pub fn of_environment(environment: &Matcher, server: &Uri) -> Result<Option<Self>, Error> {
        let host = server.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let is_loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let Some(found) = environment.intercept(server).filter(|_| !is_loopback) else { return Ok(None) };
        Self::new("the environment's HTTPS_PROXY or HTTP_PROXY", found.uri(), found.basic_auth().cloned()).map(Some)
    }

    fn new(field: &str, uri: &Uri, login: Option<HeaderValue>) -> Result<Self, Error> {
        let (scheme, host) = (uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default());
        if scheme != "http" || host.is_empty() {
            return Err(bad(format!("{field} names {scheme}://{host}: only http:// proxies are supported")));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: uri.port_u16().unwrap_or(80), login })
    }
}

/// The `name:password@` of an authority.
fn login_in(authority: &Authority) -> Option<(&str, &str)> {
    let (user, _) = authority.as_str().rsplit_once('@')?;
    Some(user.split_once(':').unwrap_or((user, "")))
}

/// Opens a TCP connection to the target, directly or through a proxy.
pub(crate) async fn open(proxy: Option<&Proxy>, host: &str, port: u16) -> std::io::Result<TcpStream> {
    let Some(proxy) = proxy else {
        return TcpStream::connect((host, port)).await;
    };
    let mut stream = TcpStream::connect((proxy.host.as_str(), proxy.port)).await?;
    let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(login) = &proxy.login {
        request += &format!("Proxy-Authorization: {}\r\n", login.to_str().unwrap_or_default());
    }
    request += "\r\n";
    stream.write_all(request.as_bytes()).await?;
    let status = answer(&mut stream).await?;
    if status.split_ascii_whitespace().nth(1) == Some("200") {
        Ok(stream)
    } else {
        Err(std::io::Error::other(format!("the proxy {} refused {target}: {status:?}", proxy.host)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_a_proxy_but_never_for_this_machine() {
        let environment = Matcher::builder().https("http://me:se%2Fcret@proxy.shop:3128").no("git.shop, 10.0.0.0/8").build();
        let proxy = |server: &str| Proxy::of_environment(&environment, &server.parse().unwrap()).unwrap();
        let found = proxy("https://hub.example:6443").expect("a proxy");
        assert_eq!((found.host.as_str(), found.port, found.login), ("proxy.shop", 3128, Some(basic("me", "se/cret").unwrap())));
        for server in [
            "https://git.shop",
            "https://10.1.2.3:6443",
            "https://localhost:7443",
            "https://127.0.0.1",
            "https://[::1]:1",
            "http://hub.example",
        ] {
            assert!(proxy(server).is_none(), "{server}");
        }
    }

    #[test]
    fn no_message_shows_a_proxys_password() {
        let environment = Matcher::builder().https("https://me:hunter2@proxy.shop:3128").build();
        let refused =
            Proxy::of_environment(&environment, &"https://hub.example".parse().unwrap()).err().expect("TLS to proxies is not there");
        assert!(refused.to_string().contains("https://proxy.shop") && !refused.to_string().contains("hunter2"), "{refused}");
        for url in ["socks5://me:hunter2@proxy.shop", "http://me:hunter2 @proxy.shop"] {
            let refused = Proxy::parse("proxy-url", url).err().expect("no proxy").to_string();
            assert!(refused.contains("proxy-url") && !refused.contains("hunter2"), "{refused}");
        }
    }
}
