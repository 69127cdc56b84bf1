//! The operator's CORS rules: which origins' pages may use a plugin's routes from a browser.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use url::{Origin, Url};

use super::descriptor::Route;

/// Stands for all origins, or for all headers.
const ANY: &str = "*";

/// A CORS rule of a sidecar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorsRule {
    /// The routes, such as `GET /orders/{id}`, or `* /orders/{id}` for all methods. All routes of the plugin by
    /// default.
    #[serde(default)]
    #[schemars(length(min = 1), inner(regex(pattern = "^(?:[A-Z]+|\\*) /")))]
    pub routes: Option<Vec<String>>,
    /// The origins of the pages, such as `https://shop.example`. `*` alone stands for all origins.
    #[schemars(length(min = 1))]
    pub origins: Vec<String>,
    /// The headers that pages may set in requests, such as `content-type`. `*` alone stands for all headers except
    /// `authorization`.
    #[serde(default)]
    pub headers: Vec<String>,
    /// The headers that pages may read in responses. `*` alone stands for all headers.
    #[serde(default)]
    pub expose_headers: Vec<String>,
    /// Whether browsers send cookies and other credentials.
    #[serde(default)]
    pub credentials: bool,
    /// How long browsers remember the answer to a preflight request; 5 seconds by default.
    #[serde(default, with = "crate::duration::option")]
    #[schemars(with = "Option<crate::duration::DurationText>")]
    pub max_age: Option<Duration>,
}

/// A valid CORS rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsPolicy {
    /// The routes that it applies to. No `OPTIONS` route is among them.
    pub routes: Vec<Route>,
    /// The origins.
    pub origins: AllOrSome<HeaderValue>,
    /// The headers of requests. [`AllOrSome::All`] excludes credentials.
    pub headers: AllOrSome<HeaderName>,
    /// The headers of responses. [`AllOrSome::All`] excludes credentials.
    pub expose_headers: AllOrSome<HeaderName>,
    /// Whether browsers send credentials. They exclude [`AllOrSome::All`] for the origins.
    pub credentials: bool,
    /// How long browsers remember the answer to a preflight request.
    pub max_age: Option<Duration>,
}

/// All values, or some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllOrSome<T> {
    /// All values.
    All,
    /// These values.
    Some(Vec<T>),
}

/// Why a CORS rule is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CorsError {
    /// A list that must not be empty is empty.
    #[error("`{0}` is empty; {1}")]
    Empty(&'static str, &'static str),
    /// The plugin does not declare a route.
    #[error("the plugin does not declare the route `{0}`; name one of its routes, such as `GET /hello`")]
    UnknownRoute(String),
    /// A rule names an `OPTIONS` route.
    #[error("a rule cannot apply to the route `{0}`, because the plugin answers it itself; remove it")]
    OptionsRoute(String),
    /// Another rule applies to the same route.
    #[error("another rule applies to the route `{0}`; name the routes of both rules in `routes`")]
    SecondRule(Route),
    /// A text is not an origin.
    #[error(
        "`{0}` is not an origin; write a scheme and a host with an optional port, such as \"https://shop.example\""
    )]
    NotAnOrigin(String),
    /// An origin is not in the form that browsers send.
    #[error("browsers do not write an origin as `{0}`; write \"{1}\"")]
    OriginForm(String, String),
    /// The origin is `null`.
    #[error(
        "browsers send the origin `null` for every sandboxed page, including those of other sites; name an origin with a host"
    )]
    NullOrigin,
    /// An origin has a wildcard.
    #[error("the origin `{0}` contains a `*`; name each origin, or write \"*\" alone for all")]
    PartialOrigin(String),
    /// A list has a `*` next to other entries.
    #[error("`{0}` has a `*` next to other entries; it stands alone for all")]
    AllAndSome(&'static str),
    /// All origins or headers, with credentials.
    #[error("browsers refuse `*` in `{0}` together with credentials; name each entry, or remove `credentials`")]
    AllWithCredentials(&'static str),
    /// A text is not the name of a header.
    #[error("`{0}` in `{1}` is not the name of a header")]
    NotAHeader(String, &'static str),
}

impl CorsPolicy {
    /// Checks the rules of a sidecar against the routes of its plugin.
    ///
    /// # Errors
    /// The index of the first invalid rule, and what is wrong with it.
    pub(super) fn check(rules: &[CorsRule], declared: &[Route]) -> Result<Vec<Self>, (usize, CorsError)> {
        let mut policies: Vec<Self> = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let policy = Self::of(rule, declared).map_err(|error| (index, error))?;
            let others = policies.iter().flat_map(|other| &other.routes);
            if let Some(twice) = others.clone().find(|route| policy.routes.contains(route)) {
                return Err((index, CorsError::SecondRule(twice.clone())));
            }
            policies.push(policy);
        }
        Ok(policies)
    }

    fn of(rule: &CorsRule, declared: &[Route]) -> Result<Self, CorsError> {
        let policy = Self {
            routes: routes(rule.routes.as_deref(), declared)?,
            origins: all_or_some("origins", &rule.origins, origin)?,
            headers: all_or_some("headers", &rule.headers, |text| header("headers", text))?,
            expose_headers: all_or_some("expose_headers", &rule.expose_headers, |text| header("expose_headers", text))?,
            credentials: rule.credentials,
            max_age: rule.max_age,
        };
        if rule.origins.is_empty() {
            return Err(CorsError::Empty("origins", "name an origin, or write [\"*\"] for all"));
        }
        let lists = [
            ("origins", policy.origins == AllOrSome::All),
            ("headers", policy.headers == AllOrSome::All),
            ("expose_headers", policy.expose_headers == AllOrSome::All),
        ];
        match lists.into_iter().find(|(_, is_all)| *is_all && rule.credentials) {
            Some((key, _)) => Err(CorsError::AllWithCredentials(key)),
            None => Ok(policy),
        }
    }
}

/// The declared routes that a rule applies to.
fn routes(named: Option<&[String]>, declared: &[Route]) -> Result<Vec<Route>, CorsError> {
    let declared = || declared.iter().filter(|route| route.method != "OPTIONS");
    let Some(named) = named else { return Ok(declared().cloned().collect()) };
    if named.is_empty() {
        return Err(CorsError::Empty("routes", "remove it, so that the rule applies to all routes, or name a route"));
    }
    let mut routes = Vec::new();
    for text in named {
        let is_meant = |route: &&Route| match text.strip_prefix("* ") {
            Some(path) => route.path == path,
            None => route.to_string() == *text,
        };
        let before = routes.len();
        routes.extend(declared().filter(is_meant).cloned());
        if routes.len() == before {
            let is_options = text.starts_with("OPTIONS ");
            return Err(if is_options { CorsError::OptionsRoute } else { CorsError::UnknownRoute }(text.clone()));
        }
    }
    Ok(routes)
}

fn all_or_some<T>(
    key: &'static str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, CorsError>,
) -> Result<AllOrSome<T>, CorsError> {
    match texts {
        [only] if only == ANY => Ok(AllOrSome::All),
        _ if texts.iter().any(|text| text == ANY) => Err(CorsError::AllAndSome(key)),
        _ => texts.iter().map(|text| parse(text)).collect::<Result<_, _>>().map(AllOrSome::Some),
    }
}

/// An origin in the form of RFC 6454, section 6.2, which browsers send.
fn origin(text: &str) -> Result<HeaderValue, CorsError> {
    let shown = || text.escape_debug().to_string();
    match text {
        "null" => return Err(CorsError::NullOrigin),
        _ if text.contains('*') => return Err(CorsError::PartialOrigin(shown())),
        _ => {}
    }
    let url = Url::parse(text).ok().filter(|url| url.username().is_empty() && url.password().is_none());
    let normal = url.as_ref().and_then(|url| match (url.origin(), url.host_str().filter(|host| !host.is_empty())) {
        (origin @ Origin::Tuple(..), _) => Some(origin.ascii_serialization()),
        // Schemes of apps and of browser extensions.
        (Origin::Opaque(_), Some(host)) => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            Some(format!("{}://{host}{port}", url.scheme()))
        }
        (Origin::Opaque(_), None) => None,
    });
    let normal = normal.ok_or_else(|| CorsError::NotAnOrigin(shown()))?;
    if normal != text {
        return Err(CorsError::OriginForm(shown(), normal));
    }
    HeaderValue::try_from(text).map_err(|_| CorsError::NotAnOrigin(shown()))
}

fn header(key: &'static str, text: &str) -> Result<HeaderName, CorsError> {
    HeaderName::try_from(text).map_err(|_| CorsError::NotAHeader(text.escape_debug().to_string(), key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(text: &str) -> Route {
        let (method, path) = text.split_once(' ').unwrap();
        Route { method: method.to_owned(), path: path.to_owned() }
    }

    fn check(rules: &str) -> Result<Vec<CorsPolicy>, String> {
        #[derive(Deserialize)]
        struct File {
            cors: Vec<CorsRule>,
        }
        let declared = ["GET /orders/{id}", "POST /orders/{id}", "GET /hello", "OPTIONS /hello"].map(route);
        let file: File = toml::from_str(rules).map_err(|error| error.to_string())?;
        CorsPolicy::check(&file.cors, &declared).map_err(|(index, error)| format!("{index}: {error}"))
    }

    #[test]
    fn a_rule_applies_to_the_routes_that_it_names() {
        for (routes, expected) in [
            ("", &["GET /orders/{id}", "POST /orders/{id}", "GET /hello"][..]),
            ("routes = [\"GET /hello\"]", &["GET /hello"]),
            ("routes = [\"* /orders/{id}\"]", &["GET /orders/{id}", "POST /orders/{id}"]),
            ("routes = [\"* /hello\"]", &["GET /hello"]),
        ] {
            let policies = check(&format!("[[cors]]\norigins = [\"https://a.example\"]\n{routes}")).unwrap();
            let found: Vec<_> = policies[0].routes.iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{routes}");
        }
    }

    #[test]
    fn origins_are_those_that_browsers_send() {
        for origin in [
            "https://shop.example",
            "http://localhost:3000",
            "https://shop.example:8443",
            "http://[::1]:8080",
            "capacitor://localhost",
            "chrome-extension://abcdefgh",
        ] {
            let policies = check(&format!("[[cors]]\norigins = [\"{origin}\"]")).unwrap();
            assert_eq!(policies[0].origins, AllOrSome::Some(vec![HeaderValue::from_str(origin).unwrap()]));
        }
        assert_eq!(check("[[cors]]\norigins = [\"*\"]").unwrap()[0].origins, AllOrSome::All);
        for (origin, words) in [
            ("https://shop.example/", "write \"https://shop.example\""),
            ("https://shop.example/a", "write \"https://shop.example\""),
            ("HTTPS://Shop.example", "write \"https://shop.example\""),
            ("https://shop.example:443", "write \"https://shop.example\""),
            ("https://caf\u{e9}.example", "write \"https://xn--caf-dma.example\""),
            ("capacitor://localhost/", "write \"capacitor://localhost\""),
            ("https://ada@shop.example", "not an origin"),
            ("shop.example", "not an origin"),
            ("mailto:a@b", "not an origin"),
            ("", "not an origin"),
            ("null", "every sandboxed page"),
            ("https://*.shop.example", "contains a `*`"),
        ] {
            let refused = check(&format!("[[cors]]\norigins = [\"{origin}\"]")).unwrap_err();
            assert!(refused.starts_with("0: ") && refused.contains(words), "{origin}: {refused}");
        }
    }

    #[test]
    fn rules_that_browsers_refuse_or_that_have_no_effect_are_refused() {
        const SHOP: &str = "[[cors]]\norigins = [\"https://shop.example\"]\n";
        for (rules, words) in [
            ("[[cors]]\norigins = []".to_owned(), "0: `origins` is empty"),
            ("[[cors]]\norigins = [\"*\", \"https://a.example\"]".to_owned(), "0: `origins` has a `*`"),
            ("[[cors]]\norigins = [\"*\"]\ncredentials = true".to_owned(), "0: browsers refuse `*` in `origins`"),
            (format!("{SHOP}headers = [\"*\"]\ncredentials = true"), "`*` in `headers`"),
            (format!("{SHOP}expose_headers = [\"*\"]\ncredentials = true"), "`*` in `expose_headers`"),
            (format!("{SHOP}headers = [\"a b\"]"), "`a b` in `headers` is not the name of a header"),
            (format!("{SHOP}routes = []"), "0: `routes` is empty"),
            (format!("{SHOP}routes = [\"GET /none\"]"), "does not declare the route `GET /none`"),
            (format!("{SHOP}routes = [\"DELETE /hello\"]"), "does not declare the route `DELETE /hello`"),
            (format!("{SHOP}routes = [\"OPTIONS /hello\"]"), "the plugin answers it itself"),
            (format!("{SHOP}{SHOP}routes = [\"GET /hello\"]"), "1: another rule applies to the route `GET /hello`"),
            (format!("{SHOP}origin = \"a\""), "unknown field"),
            ("[[cors]]\n".to_owned(), "missing field"),
        ] {
            let refused = check(&rules).unwrap_err();
            assert!(refused.contains(words), "{rules}: {refused}");
        }
    }
}
