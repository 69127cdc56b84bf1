//! Sends requests to a public listener's router from within the process. They take the same steps as the requests of a
//! client that is no proxy, except for the connection.

use std::convert::Infallible;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use hyper::body::Body as _;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::public_listener::PublicListener;
use super::refusal::stopping;
use super::{HttpLimits, Listener, PublicListenerRules, checked};
use crate::problem::Problem;

/// The headers that describe a connection or the framing of a message, which the sender sets itself.
const FRAMING_HEADERS: [HeaderName; 9] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// A client of a listener's router within the process.
#[derive(Clone, Debug)]
pub struct InProcess {
    router: Router,
    rules: Arc<ArcSwap<PublicListenerRules>>,
    /// The `Host` of requests that have none.
    host: HeaderValue,
    stop: CancellationToken,
}

impl InProcess {
    /// A client of the router that a listener serves, with the same limits and until the same token is cancelled.
    ///
    /// # Errors
    /// If the listener has no address.
    pub fn new(
        listener: &Listener,
        router: Router,
        limits: HttpLimits,
        stop: CancellationToken,
    ) -> std::io::Result<Self> {
        let host = HeaderValue::from_str(&listener.address()?.to_string()).map_err(std::io::Error::other)?;
        let rules = listener.public_rules().unwrap_or_default();
        Ok(Self { router: checked(router, limits, true), rules, host, stop })
    }

    /// The first header that a request may not have, because [`Self::send`] sets it.
    #[must_use]
    pub fn reserved_header(headers: &HeaderMap) -> Option<&HeaderName> {
        headers.keys().find(|name| FRAMING_HEADERS.contains(name))
    }

    /// Sends a request with a path as its target. Its body has a known length.
    ///
    /// # Errors
    /// A problem with 503 if the listener has stopped.
    pub async fn send(&self, mut request: Request) -> Result<Response, Problem> {
        if self.stop.is_cancelled() {
            return Err(stopping("its public listener has stopped"));
        }
        let length = request.body().size_hint().exact().unwrap_or_default();
        let expects_length = [Method::POST, Method::PUT, Method::PATCH].contains(request.method());
        let is_head = request.method() == Method::HEAD;
        let headers = request.headers_mut();
        FRAMING_HEADERS.iter().for_each(|name| drop(headers.remove(name)));
        if length > 0 || expects_length {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        if !headers.contains_key(HOST) {
            headers.insert(HOST, self.host.clone());
        }
        PublicListener { rules: self.rules.load_full(), peer: None }.prepare(&mut request);
        let answered: Result<Response, Infallible> = self.router.clone().oneshot(request).await;
        let response = answered.unwrap_or_else(|never| match never {});
        // A connection sends no body in response to HEAD.
        Ok(if is_head { response.map(|_| Body::empty()) } else { response })
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    /// A client of a router that responds with the request's headers, in lines.
    async fn client(rules: PublicListenerRules, limits: HttpLimits) -> (InProcess, CancellationToken) {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), "--listen", None).await.unwrap();
        let listener = listener.with_public_rules(rules);
        let router = Router::new().fallback(|headers: HeaderMap| async move {
            let line = |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}\n", value.to_str().unwrap());
            let mut lines: Vec<_> = headers.iter().filter(|(name, _)| *name != HOST).map(line).collect();
            lines.sort();
            ([("set-cookie", "sandbus_session=sbt_x")], lines.concat())
        });
        let stop = CancellationToken::new();
        (InProcess::new(&listener, router, limits, stop.clone()).unwrap(), stop)
    }

    async fn text(response: Response) -> String {
        String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap()
    }

    /// A proxy on the same machine is trusted, and the process itself is not.
    #[tokio::test]
    async fn no_header_of_a_proxy_and_no_cookie_of_a_session_passes() {
        let proxies = vec!["127.0.0.0/8".to_owned(), "::/0".to_owned(), "0.0.0.0/0".to_owned()].try_into().unwrap();
        let (client, _) = client(PublicListenerRules { proxies, access_log: true }, HttpLimits::default()).await;
        let request = Request::post("/a?b=c")
            .header("x-forwarded-for", "192.0.2.1")
            .header("forwarded", "for=192.0.2.1")
            .header("x-real-ip", "192.0.2.1")
            .header("cookie", "sandbus_session=sbt_x; a=1")
            .header("transfer-encoding", "chunked")
            .header("content-length", "7")
            .header("authorization", "Bearer x");
        let response = client.send(request.body(Body::from("abc")).unwrap()).await.unwrap();
        assert!(!response.headers().contains_key("set-cookie"), "{:?}", response.headers());
        assert_eq!(text(response).await, "authorization: Bearer x\ncontent-length: 3\ncookie: a=1\n");
    }

    #[tokio::test]
    async fn the_limits_and_checks_of_the_listener_apply() {
        let limits = HttpLimits { max_header_bytes: 200, ..HttpLimits::default() };
        let (client, _) = client(PublicListenerRules::default(), limits).await;
        let send = async |request: axum::http::request::Builder| {
            client.send(request.body(Body::empty()).unwrap()).await.unwrap().status().as_u16()
        };
        assert_eq!(send(Request::get("/")).await, 200);
        assert_eq!(send(Request::get("/").header("x", "y".repeat(200))).await, 431);
        assert_eq!(send(Request::get("/").header("host", "a b")).await, 400);
        assert_eq!(send(Request::builder().method("CONNECT").uri("/")).await, 501);
        let head = client.send(Request::head("/").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(text(head).await, "");
    }

    #[tokio::test]
    async fn nothing_is_sent_to_a_listener_that_has_stopped() {
        let (client, stop) = client(PublicListenerRules::default(), HttpLimits::default()).await;
        stop.cancel();
        let refused = client.send(Request::get("/").body(Body::empty()).unwrap()).await.unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.code()), (503, "stopping"));
    }
}
