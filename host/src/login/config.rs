//! Settings of the login.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::Role;

/// Settings of the login through an OpenID provider, `[access.oidc]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OidcConfig {
    /// The URL of the provider. Its metadata is below this URL, at `/.well-known/openid-configuration`.
    pub issuer: String,
    /// The name of this host at the provider.
    pub client_id: String,
    /// A file with the secret of this host at the provider. Public clients have none.
    #[serde(default)]
    pub client_secret_file: Option<PathBuf>,
    /// The URL at which browsers reach the admin interface, such as `https://sandbus.example.com`.
    pub external_url: String,
    /// The scopes that the host requests in addition to `openid`.
    #[serde(default = "default_scopes")]
    pub scopes: Vec<String>,
    /// The claim with the groups of a person.
    #[serde(default = "default_claim")]
    pub groups_claim: String,
    /// How long a login is valid.
    #[serde(default = "default_session", with = "crate::duration")]
    #[schemars(with = "crate::duration::DurationText")]
    pub session: Duration,
    /// The roles of groups. The first one that matches applies.
    pub roles: Vec<GroupRole>,
}

/// The role of a group.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupRole {
    /// The name of the group at the provider.
    pub group: String,
    /// The role.
    pub role: Role,
    /// The only plugin that the group may see and change. All plugins if there is none.
    #[serde(default)]
    pub plugin: Option<String>,
    /// Whether payloads are hidden.
    #[serde(default)]
    pub hide_payloads: bool,
}

fn default_scopes() -> Vec<String> {
    ["profile", "email"].map(str::to_owned).into()
}

fn default_claim() -> String {
    "groups".to_owned()
}

fn default_session() -> Duration {
    Duration::from_hours(8)
}

impl OidcConfig {
    /// The path of the callback on this host.
    pub const CALLBACK: &str = "/v1/login/callback";

    /// The URL of the callback.
    #[must_use]
    pub fn redirect_url(&self) -> String {
        format!("{}{}", self.external_url.trim_end_matches('/'), Self::CALLBACK)
    }

    /// Whether browsers reach the host by TLS, so that cookies may be restricted to TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.external_url.starts_with("https://")
    }

    /// The role of a person with these groups.
    #[must_use]
    pub fn role_of(&self, groups: &[String]) -> Option<&GroupRole> {
        self.roles.iter().find(|role| groups.contains(&role.group))
    }

    /// What no login could use, with its key.
    #[must_use]
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        for (key, url) in [("issuer", &self.issuer), ("external_url", &self.external_url)] {
            match url::Url::parse(url) {
                Ok(url) if url.scheme() == "https" => {}
                Ok(url) if url.scheme() == "http" && is_local(&url) => {}
                Ok(_) => {
                    let what = format!(
                        "access.oidc.{key} is not an https URL; only localhost and 127.0.0.1 may be without TLS"
                    );
                    faults.push(("access.oidc", what));
                }
                Err(error) => faults.push(("access.oidc", format!("access.oidc.{key} is not a URL: {error}"))),
            }
        }
        if self.roles.is_empty() {
            let what = "access.oidc.roles is empty, so nobody could log in; add { group = \"NAME\", role = \"view\" }";
            faults.push(("access.oidc", what.to_owned()));
        }
        let contradictory =
            |role: &&GroupRole| role.role == Role::Admin && (role.plugin.is_some() || role.hide_payloads);
        if let Some(role) = self.roles.iter().find(contradictory) {
            let what = format!(
                "the group `{}` in access.oidc.roles has the role admin, which cannot be restricted",
                role.group
            );
            faults.push(("access.oidc", what));
        }
        if self.session.is_zero() {
            faults.push(("access.oidc", "access.oidc.session is zero; write a duration such as \"8h\"".to_owned()));
        }
        faults
    }
}

fn is_local(url: &url::Url) -> bool {
    matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> OidcConfig {
        let base = "client_id = \"sandbus\"\n";
        toml::from_str(&format!("{base}{text}")).unwrap()
    }

    const URLS: &str = "issuer = \"https://login.example.com\"\nexternal_url = \"https://sandbus.example.com/\"\n";

    #[test]
    fn the_first_group_with_a_role_decides() {
        let config = config(&format!(
            "{URLS}roles = [{{ group = \"sre\", role = \"admin\" }}, {{ group = \"shop\", role = \"deploy\", plugin = \"shop\" }}]\n"
        ));
        let role = |groups: &[&str]| {
            let groups: Vec<_> = groups.iter().map(|group| (*group).to_owned()).collect();
            config.role_of(&groups).map(|role| role.role)
        };
        assert_eq!(role(&["shop", "sre"]), Some(Role::Admin));
        assert_eq!(role(&["shop"]), Some(Role::Deploy));
        assert_eq!(role(&["SRE", ""]), None);
        assert_eq!(role(&[]), None);
        assert_eq!(config.redirect_url(), "https://sandbus.example.com/v1/login/callback");
        assert!(config.faults().is_empty() && config.is_secure());
        assert_eq!((config.session, config.groups_claim.as_str()), (Duration::from_hours(8), "groups"));
    }

    #[test]
    fn settings_that_no_login_could_use_are_faults() {
        for (text, words) in [
            (format!("{URLS}roles = []\n"), "nobody could log in"),
            (format!("{URLS}session = \"0s\"\nroles = [{{ group = \"a\", role = \"view\" }}]\n"), "session is zero"),
            (
                format!("{URLS}roles = [{{ group = \"a\", role = \"admin\", plugin = \"b\" }}]\n"),
                "cannot be restricted",
            ),
            (
                "issuer = \"http://login.example.com\"\nexternal_url = \"http://localhost:1\"\nroles = [{ group = \"a\", role = \"view\" }]\n".to_owned(),
                "issuer is not an https URL",
            ),
            (
                "issuer = \"login\"\nexternal_url = \"http://localhost:1\"\nroles = [{ group = \"a\", role = \"view\" }]\n".to_owned(),
                "issuer is not a URL",
            ),
        ] {
            let faults = config(&text).faults();
            assert!(faults.len() == 1 && faults[0].1.contains(words), "{text}: {faults:?}");
        }
    }
}
