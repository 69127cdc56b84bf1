//! What a public listener does with every request before the router: it finds the client, and removes headers in which
//! clients could name another one.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{COOKIE, FORWARDED, HeaderName, HeaderValue, SET_COOKIE};
use axum::response::Response;

use super::access_log::ClientAddress;
use super::forwarded;
use super::proxies::TrustedProxies;

/// The headers in which proxies describe the client.
const PROXY_HEADERS: [HeaderName; 7] = [
    FORWARDED,
    forwarded::X_FORWARDED_FOR,
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-real-ip"),
];

/// The beginning of the names of the admin interface's cookies. Browsers send them to every port of a host, and so to
/// plugins.
const SESSION_COOKIES: &str = "sandbus_";

/// Removes the cookies of the admin interface from a request.
fn remove_session_cookies(headers: &mut HeaderMap) {
    let is_session = |pair: &[u8]| pair.trim_ascii_start().starts_with(SESSION_COOKIES.as_bytes());
    let pairs =
        |value: &HeaderValue| value.as_bytes().split(|byte| *byte == b';').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let all: Vec<_> = headers.get_all(COOKIE).iter().flat_map(pairs).collect();
    if !all.iter().any(|pair| is_session(pair)) {
        return;
    }
    let rest: Vec<_> = all.into_iter().filter(|pair| !is_session(pair)).collect();
    headers.remove(COOKIE);
    if let Ok(rest) = HeaderValue::from_bytes(rest.join(&b';').trim_ascii())
        && !rest.is_empty()
    {
        headers.insert(COOKIE, rest);
    }
}

/// Removes the cookies of the admin interface from a response: a plugin must not set them.
pub(super) async fn remove_set_cookies(mut response: Response) -> Response {
    let is_session = |value: &HeaderValue| value.as_bytes().trim_ascii_start().starts_with(SESSION_COOKIES.as_bytes());
    let headers = response.headers_mut();
    if headers.get_all(SET_COOKIE).iter().any(is_session) {
        let rest: Vec<_> = headers.get_all(SET_COOKIE).iter().filter(|value| !is_session(value)).cloned().collect();
        headers.remove(SET_COOKIE);
        for value in rest {
            headers.append(SET_COOKIE, value);
        }
    }
    response
}

/// The settings of a public listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicListenerRules {
    /// The proxies whose headers are trusted.
    pub proxies: TrustedProxies,
    /// Whether each request is logged.
    pub access_log: bool,
}

/// The rules of a public listener, and the peer of one of its connections.
#[derive(Clone, Debug)]
pub(super) struct PublicListener {
    pub(super) rules: Arc<PublicListenerRules>,
    /// None for requests of this process, which is no proxy.
    pub(super) peer: Option<IpAddr>,
}

impl PublicListener {
    /// Prepares a request for the router.
    pub(super) fn prepare<B>(&self, request: &mut Request<B>) {
        let proxy = self.peer.filter(|peer| self.rules.proxies.contain(*peer));
        if self.rules.access_log {
            let client = match proxy {
                Some(proxy) => Some(forwarded::client(request.headers(), proxy, &self.rules.proxies)),
                None => self.peer.map(|peer| peer.to_canonical()),
            };
            request.extensions_mut().insert(ClientAddress(client));
        }
        remove_session_cookies(request.headers_mut());
        if proxy.is_none() {
            PROXY_HEADERS.iter().for_each(|name| drop(request.headers_mut().remove(name)));
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use hyper_util::rt::{TokioExecutor, TokioIo};

    use super::*;

    fn prepared(peer: Option<&str>) -> Request<()> {
        let proxies = toml::from_str::<std::collections::BTreeMap<String, TrustedProxies>>("a = [\"10.0.0.0/8\"]");
        let rules = Arc::new(PublicListenerRules { proxies: proxies.unwrap()["a"].clone(), access_log: true });
        let mut request = Request::builder().header("x-other", "kept");
        for name in PROXY_HEADERS {
            request = request.header(&name, "192.0.2.1").header(name, "192.0.2.2");
        }
        let mut request = request.body(()).unwrap();
        request.headers_mut().remove(FORWARDED);
        PublicListener { rules, peer: peer.map(|peer| peer.parse().unwrap()) }.prepare(&mut request);
        request
    }

    /// The headers that a handler sees of a request through a listener, in HTTP/1.1 and HTTP/2.
    async fn seen(proxies: &[&str]) -> [String; 2] {
        let proxies = proxies.iter().map(|proxy| (*proxy).to_owned()).collect::<Vec<_>>().try_into().unwrap();
        let listener = crate::server::Listener::bind("127.0.0.1:0".parse().unwrap(), "--listen", None).await.unwrap();
        let listener = listener.with_public_rules(PublicListenerRules { proxies, access_log: false });
        let address = listener.address().unwrap();
        let router = axum::Router::new().fallback(|headers: axum::http::HeaderMap| async move {
            let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).filter(|name| *name != "host").collect();
            names.sort_unstable();
            names.join(" ")
        });
        let stop = tokio_util::sync::CancellationToken::new();
        let limits = crate::server::HttpLimits::default();
        let serving = tokio::spawn(crate::server::serve(listener, router, limits, stop.clone()));
        let request = || {
            let request = Request::get(format!("http://{address}/")).header("x-other", "kept").header("host", "h");
            let all = PROXY_HEADERS.iter().fold(request, |request, name| request.header(name, "for=192.0.2.1"));
            all.body(http_body_util::Empty::<axum::body::Bytes>::new()).unwrap()
        };
        let stream = || async { TokioIo::new(tokio::net::TcpStream::connect(address).await.unwrap()) };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream().await).await.unwrap();
        tokio::spawn(connection);
        let first = text(sender.send_request(request()).await.unwrap()).await;
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream().await).await.unwrap();
        tokio::spawn(connection);
        let mut multiplexed = request();
        multiplexed.headers_mut().remove("host");
        let second = text(sender.send_request(multiplexed).await.unwrap()).await;
        stop.cancel();
        drop(sender);
        serving.await.unwrap();
        [first, second]
    }

    async fn text(response: hyper::Response<hyper::body::Incoming>) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn handlers_see_the_headers_of_trusted_proxies_only() {
        for proxies in [&[][..], &["192.0.2.0/24"]] {
            assert_eq!(seen(proxies).await, ["x-other", "x-other"], "{proxies:?}");
        }
        let all = "forwarded x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-prefix x-forwarded-proto x-other x-real-ip";
        for proxies in [&["127.0.0.1"][..], &["::1", "127.0.0.0/8"]] {
            assert_eq!(seen(proxies).await, [all, all], "{proxies:?}");
        }
    }

    #[test]
    fn plugins_do_not_see_the_cookies_of_the_admin_interface() {
        for (given, left) in [
            (&["a=1; b=2"][..], Some("a=1; b=2")),
            (&["sandbus_session=sbt_x"], None),
            (&["a=1; sandbus_session=sbt_x; b=2"], Some("a=1; b=2")),
            (&["sandbus_login=x", "a=sandbus_session=1"], Some("a=sandbus_session=1")),
            (&["a=1", "b=2;sandbus_session=sbt_x"], Some("a=1;b=2")),
            (&[], None),
        ] {
            let mut headers: HeaderMap = given.iter().map(|value| (COOKIE, HeaderValue::from_static(value))).collect();
            remove_session_cookies(&mut headers);
            let found = headers.get(COOKIE).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(found.as_deref(), left, "{given:?}");
        }
    }

    #[tokio::test]
    async fn plugins_do_not_set_the_cookies_of_the_admin_interface() {
        let cookies = ["a=1", "sandbus_session=sbt_x; Path=/", "b=2"]
            .map(|cookie| (SET_COOKIE, HeaderValue::from_static(cookie)));
        let mut response = Response::default();
        *response.headers_mut() = cookies.into_iter().collect();
        let left = remove_set_cookies(response).await;
        assert_eq!(left.headers().get_all(SET_COOKIE).iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
    }

    #[test]
    fn only_a_trusted_proxy_tells_who_the_client_is() {
        for (peer, client, headers) in [
            (Some("10.1.2.3"), Some("192.0.2.2"), 13),
            (Some("::ffff:10.1.2.3"), Some("192.0.2.2"), 13),
            (Some("11.1.2.3"), Some("11.1.2.3"), 1),
            (None, None, 1),
        ] {
            let request = prepared(peer);
            let ClientAddress(found) = request.extensions().get().unwrap();
            let found = found.map(|address| address.to_string());
            assert_eq!((found.as_deref(), request.headers().len()), (client, headers), "{peer:?}");
        }
    }
}
