//! The built pages, embedded: compressed once at build time, never at run time.
//!
//! Files with a hash in their name (`/assets/…`) are kept by browsers for ever; the page that names them is asked for
//! each time. Every path that looks like a page is that one page: the console's own router reads the rest.

use std::io::Read;

use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use tunnel::{Body, body};

struct Embedded {
    path: &'static str,
    plain: Option<&'static [u8]>,
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
}

mod files {
    use super::Embedded;
    include!(concat!(env!("OUT_DIR"), "/files.rs"));
}

/// Whether this program has the console's pages in it.
pub fn is_built() -> bool {
    !files::FILES.is_empty()
}

/// Returns a file, or the page for what is no file.
pub(crate) fn get(path: &str, request: &HeaderMap) -> Response<Body> {
    if !is_built() {
        let text = "this program was built without the console's pages: `make build` builds both\n";
        return plain(StatusCode::SERVICE_UNAVAILABLE, text);
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    let is_file = path.starts_with("/assets/") || files::FILES.iter().any(|file| file.path == path) || last == "favicon.ico";
    let wanted = if is_file { path } else { "/index.html" };
    let Some(file) = files::FILES.iter().find(|file| file.path == wanted) else {
        return plain(StatusCode::NOT_FOUND, "there is no such file in the console\n");
    };
    let mut response = Response::new(body::empty());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(file.path)));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    let age = if file.path.starts_with("/assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(age));
    let (bytes, encoding) = choose(file, request);
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    *response.body_mut() = body::full(bytes);
    response
}

fn choose(file: &Embedded, request: &HeaderMap) -> (bytes::Bytes, Option<&'static str>) {
    let accepted = |coding: &str| {
        let lines = request.get_all(ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| line.split(',')).any(|one| {
            let (name, parameters) = one.split_once(';').unwrap_or((one, ""));
            name.trim() == coding && !matches!(parameters.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
        })
    };
    match (file.brotli, file.gzip, file.plain) {
        (Some(brotli), _, _) if accepted("br") => (brotli.into(), Some("br")),
        (_, Some(gzip), _) if accepted("gzip") => (gzip.into(), Some("gzip")),
        (_, _, Some(plain)) => (plain.into(), None),
        (_, gzip, None) => {
            let mut bytes = Vec::new();
            flate2::read::GzDecoder::new(gzip.unwrap_or_default()).read_to_end(&mut bytes).expect("our own build compressed it");
            (bytes.into(), None)
        }
    }
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        "json" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

pub(crate) fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(body::full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Embedded {
        use std::io::Write;
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"text").expect("memory");
        Embedded { path: "/assets/a.js", plain: None, gzip: Some(gzip.finish().expect("memory").leak()), brotli: Some(b"br") }
    }

    #[test]
    fn the_best_coding_that_the_browser_takes_is_sent() {
        let check = |accept: Option<&'static str>, expect| {
            let mut headers = HeaderMap::new();
            headers.extend(accept.map(|accept| (ACCEPT_ENCODING, HeaderValue::from_static(accept))));
            let (bytes, encoding) = choose(&file(), &headers);
            assert_eq!(encoding, expect, "{accept:?}");
            if encoding.is_none() {
                assert_eq!(&bytes[..], b"text");
            }
        };
        check(Some("gzip, deflate, br, zstd"), Some("br"));
        check(Some("gzip;q=1.0, br;q=0"), Some("gzip"));
        check(Some("identity"), None);
        check(None, None);
    }

    #[test]
    fn what_is_embedded_has_a_type_and_one_page() {
        assert!(files::FILES.iter().all(|file| content_type(file.path) != "application/octet-stream"));
        assert!(!is_built() || files::FILES.iter().any(|file| file.path == "/index.html"));
    }
}
