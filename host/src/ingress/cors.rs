//! CORS of plugins' routes: answers preflight requests, and adds the headers to responses (Fetch standard, section
//! 3.3).

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    ORIGIN,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use axum::response::Response;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer, ExposeHeaders, Vary};

use crate::plugin::{AllOrSome, CorsPolicy, METHODS, RegistrySnapshot, RouteMatch};

/// The headers that a rule decides about. A plugin cannot widen the rule.
const DECIDED: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// The response to a preflight request. `None` if the request is not a preflight request, if no rule applies to its
/// path, or if a plugin has an `OPTIONS` route for the path and responds itself.
pub(super) async fn preflight(
    snapshot: &RegistrySnapshot,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Option<Response> {
    let wanted = headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    if method != Method::OPTIONS || !headers.contains_key(ORIGIN) {
        return None;
    }
    match snapshot.find("OPTIONS", path) {
        RouteMatch::Plugin { generation, route, .. } if generation.settings.has_implicit_options(&route) => {}
        RouteMatch::Plugin { .. } | RouteMatch::Absent(_) => return None,
        RouteMatch::OtherMethods(_) | RouteMatch::Nothing => {}
    }
    let rules: Vec<_> =
        METHODS.iter().filter_map(|&method| Some((method, policy_for(snapshot, method, path)?))).collect();
    // If the method has no rule, the rules of other methods tell the browser which methods it may use.
    let of_method = rules.iter().find(|(method, _)| wanted.as_bytes() == method.as_bytes());
    let (_, policy) = of_method.or_else(|| rules.first())?;
    let methods = rules.iter().filter(|(_, other)| Arc::ptr_eq(other, policy));
    let methods: Vec<_> = methods.filter_map(|(method, _)| method.parse::<Method>().ok()).collect();
    let mut layer = layer(policy).allow_methods(methods);
    if let Some(max_age) = policy.max_age {
        layer = layer.max_age(max_age);
    }
    let mut response = with_layer_headers(layer, Method::OPTIONS, headers.clone(), Response::default()).await;
    *response.status_mut() = StatusCode::NO_CONTENT;
    Some(response)
}

/// The rule for the route that a request would take.
fn policy_for(snapshot: &RegistrySnapshot, method: &str, path: &str) -> Option<Arc<CorsPolicy>> {
    match snapshot.find(method, path) {
        RouteMatch::Plugin { generation, route, .. } => generation.settings.cors_policy(&route).cloned(),
        _ => None,
    }
}

/// Adds the headers of a rule to a response for an origin.
pub(super) async fn apply(policy: &CorsPolicy, origin: Option<HeaderValue>, mut response: Response) -> Response {
    DECIDED.iter().for_each(|name| drop(response.headers_mut().remove(name)));
    let headers = origin.map(|origin| (ORIGIN, origin)).into_iter().collect();
    with_layer_headers(layer(policy), Method::GET, headers, response).await
}

/// The rules that preflight requests and other requests share.
fn layer(policy: &CorsPolicy) -> CorsLayer {
    let (origins, varies) = match &policy.origins {
        AllOrSome::All => (AllowOrigin::any(), false),
        AllOrSome::Some(origins) => (AllowOrigin::list(origins.iter().cloned()), true),
    };
    let headers = match &policy.headers {
        AllOrSome::All => AllowHeaders::any(),
        AllOrSome::Some(names) => AllowHeaders::list(names.iter().cloned()),
    };
    let exposed = match &policy.expose_headers {
        AllOrSome::All => ExposeHeaders::from(Any),
        AllOrSome::Some(names) => ExposeHeaders::list(names.iter().cloned()),
    };
    let layer = CorsLayer::new().allow_origin(origins).allow_headers(headers).expose_headers(exposed);
    layer.allow_credentials(policy.credentials).vary(Vary::list(varies.then_some(ORIGIN)))
}

/// The response with what the layer adds for a request with this method and these headers.
async fn with_layer_headers(layer: CorsLayer, method: Method, headers: HeaderMap, response: Response) -> Response {
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.headers_mut() = headers;
    let mut response = Some(response);
    let inner = service_fn(move |_: Request<()>| ready(Ok::<_, Infallible>(response.take().unwrap_or_default())));
    match layer.layer(inner).oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::header::VARY;

    use super::*;

    fn policy() -> CorsPolicy {
        CorsPolicy {
            routes: Vec::new(),
            origins: AllOrSome::Some(vec![HeaderValue::from_static("https://a.example")]),
            headers: AllOrSome::Some(Vec::new()),
            expose_headers: AllOrSome::Some(vec![HeaderName::from_static("etag")]),
            credentials: true,
            max_age: None,
        }
    }

    fn header<'a>(response: &'a Response, name: &HeaderName) -> Vec<&'a str> {
        response.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[tokio::test]
    async fn the_headers_of_a_plugin_do_not_widen_a_rule() {
        for (origin, allowed) in
            [(Some("https://a.example"), &["https://a.example"][..]), (Some("https://b.example"), &[]), (None, &[])]
        {
            let mut response = Response::new(Body::empty());
            for (name, value) in
                [(ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (ACCESS_CONTROL_EXPOSE_HEADERS, "*"), (VARY, "accept")]
            {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            let response = apply(&policy(), origin.map(HeaderValue::from_static), response).await;
            assert_eq!(header(&response, &ACCESS_CONTROL_ALLOW_ORIGIN), allowed, "{origin:?}");
            assert_eq!(header(&response, &ACCESS_CONTROL_EXPOSE_HEADERS), ["etag"]);
            assert_eq!(header(&response, &VARY), ["accept", "origin"]);
        }
    }

    #[tokio::test]
    async fn a_rule_for_all_origins_does_not_vary() {
        let policy = CorsPolicy { origins: AllOrSome::All, credentials: false, ..policy() };
        let response = apply(&policy, None, Response::default()).await;
        assert_eq!(header(&response, &ACCESS_CONTROL_ALLOW_ORIGIN), ["*"]);
        assert_eq!(header(&response, &VARY), [""; 0]);
        assert_eq!(header(&response, &ACCESS_CONTROL_ALLOW_CREDENTIALS), [""; 0]);
    }
}
