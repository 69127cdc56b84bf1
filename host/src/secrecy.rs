//! How values that contain secrets are shown.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};

use serde::Deserialize;
use url::Url;

/// The text shown in place of a secret.
const HIDDEN: &str = "***";

/// A URL without its secrets: the user name, the password, the values of query parameters and the fragment. Webhook
/// tokens occur in all of these.
#[must_use]
pub fn address(address: &str) -> String {
    let Ok(mut url) = Url::parse(address) else {
        let shown = address.split(['?', '#', '@']).next().unwrap_or_default();
        return if shown.len() == address.len() { address.to_owned() } else { HIDDEN.to_owned() };
    };
    // URLs without a host have no user name and no password.
    if !url.username().is_empty() {
        let _ = url.set_username(HIDDEN);
    }
    if url.password().is_some() {
        let _ = url.set_password(Some(HIDDEN));
    }
    let query = url.query().map(|query| {
        let parameter = |parameter: &str| match parameter.split_once('=') {
            Some((name, _)) => format!("{name}={HIDDEN}"),
            None => HIDDEN.to_owned(),
        };
        query.split('&').map(parameter).collect::<Vec<_>>().join("&")
    });
    url.set_query(query.as_deref());
    if url.fragment().is_some() {
        url.set_fragment(Some(HIDDEN));
    }
    url.into()
}

/// The debug output of a secret.
struct Hidden;

impl fmt::Debug for Hidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(HIDDEN)
    }
}

/// Values by name, some of them secret. They are readable, but debug output hides them.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Values(BTreeMap<String, String>);

impl Deref for Values {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Values {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl From<BTreeMap<String, String>> for Values {
    fn from(values: BTreeMap<String, String>) -> Self {
        Self(values)
    }
}

impl FromIterator<(String, String)> for Values {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl IntoIterator for Values {
    type Item = (String, String);
    type IntoIter = std::collections::btree_map::IntoIter<String, String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.0.keys().map(|name| (name, Hidden))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        for (whole, shown) in [
            ("https://hooks.example.com/a/b", "https://hooks.example.com/a/b"),
            ("https://hooks.example.com/?token=s3cret", "https://hooks.example.com/?token=***"),
            ("https://hooks.example.com/a?x=s3cret&s3cret&y=", "https://hooks.example.com/a?x=***&***&y=***"),
            ("https://ada:s3cret@hooks.example.com/", "https://***:***@hooks.example.com/"),
            ("https://s3cret@hooks.example.com/", "https://***@hooks.example.com/"),
            ("https://:s3cret@hooks.example.com:8443/", "https://:***@hooks.example.com:8443/"),
            ("http://[::1]:9000/a#s3cret", "http://[::1]:9000/a#***"),
            ("//ada:s3cret@host", "***"),
            ("hooks.example.com?s3cret", "***"),
            ("no address", "no address"),
            ("", ""),
        ] {
            assert_eq!(address(whole), shown);
        }
    }

    #[test]
    fn values_are_not_shown() {
        let values = Values::from(BTreeMap::from([("token".to_owned(), "s3cret".to_owned())]));
        assert_eq!(values["token"], "s3cret");
        assert_eq!(format!("{values:?}"), "{\"token\": ***}");
    }
}
