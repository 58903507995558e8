//! Who may ask.
//!
//! With a token, whoever bears it. Without one the listener is on the loopback, and whoever has an
//! account here may; but not a web page in the browser of somebody here: such a request names the
//! page's host or origin, by which it is told apart (DNS rebinding, cross-site requests).

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use subtle::ConstantTimeEq as _;

use super::{Http, Problem};

/// Lets a request through that bears the token, where there is one.
pub async fn check(State(http): State<Http>, request: Request, next: Next) -> Response {
    let Some(token) = http.files().token else {
        return next.run(request).await;
    };
    match bearer(request.headers()) {
        Some(shown) if bool::from(shown.as_bytes().ct_eq(token.as_bytes())) => {
            next.run(request).await
        }
        Some(_) | None => Problem::unauthorized().into_response(),
    }
}

/// Where there is no token, refuses what a web page may have sent.
pub async fn check_host(State(http): State<Http>, request: Request, next: Next) -> Response {
    if http.files().token.is_none() && !is_from_here(request.headers()) {
        let detail = "without http.token_file nothing is served to web pages: ask for \
                      127.0.0.1, [::1] or localhost, without an Origin";
        return Problem::forbidden(detail).into_response();
    }
    next.run(request).await
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

fn is_from_here(headers: &HeaderMap) -> bool {
    if headers.contains_key(header::ORIGIN) {
        return false;
    }
    // HTTP/1.0 may leave it out; a browser never does.
    let Some(host) = headers.get(header::HOST) else {
        return true;
    };
    let host = host.to_str().unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn what_a_web_page_sends_is_told_apart() {
        for (host, origin, expected) in [
            (Some("127.0.0.1:8080"), None, true),
            (Some("[::1]:8080"), None, true),
            (Some("LOCALHOST"), None, true),
            (None, None, true),
            (Some("evil.example:8080"), None, false),
            (Some("127.0.0.1.evil.example"), None, false),
            (Some("[::1.evil.example"), None, false),
            (Some(""), None, false),
            (Some("127.0.0.1:8080"), Some("http://evil.example"), false),
            (Some("127.0.0.1:8080"), Some("null"), false),
        ] {
            let mut headers = HeaderMap::new();
            let fields = [(header::HOST, host), (header::ORIGIN, origin)];
            for (name, value) in fields.into_iter().filter_map(|(n, v)| Some((n, v?))) {
                headers.insert(name, HeaderValue::from_static(value));
            }
            assert_eq!(is_from_here(&headers), expected, "{host:?} {origin:?}");
        }
    }

    #[test]
    fn the_token_is_read_as_rfc_6750_has_it() {
        for (value, expected) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("abc", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(bearer(&headers), expected, "{value:?}");
        }
        assert_eq!(bearer(&HeaderMap::new()), None);
    }
}
