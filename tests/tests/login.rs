//! Login through an OpenID provider, and sessions of pages.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use sandbus_tests::languages::tool;
use sandbus_tests::{Answer, Host, Setup, eventually, free_port, put};
use serde_json::{Value, json};

/// A provider on this machine, with people and their groups.
struct Provider {
    process: Child,
    url: String,
}

impl Drop for Provider {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Provider {
    fn start(further: &[&str]) -> Self {
        let port = free_port();
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", tool("oidc-provider-mock==0.3.4")).args(["-m", "oidc_provider_mock", "--port"]);
        command.arg(port.to_string()).args(further).stdout(Stdio::null()).stderr(Stdio::null());
        let provider = Self { process: command.spawn().unwrap(), url: format!("http://127.0.0.1:{port}") };
        eventually("the provider answers", || {
            sandbus_tests::agent().get(format!("{}/.well-known/openid-configuration", provider.url)).call().ok()
        });
        for (person, groups) in [("ada", json!(["sre"])), ("grace", json!(["shop"])), ("eve", json!(["others"]))] {
            let claims = json!({ "email": format!("{person}@example.com"), "groups": groups });
            let answer = sandbus_tests::agent()
                .put(format!("{}/users/{person}", provider.url))
                .content_type("application/json")
                .send(claims.to_string());
            assert!(answer.unwrap().status().is_success());
        }
        provider
    }
}

/// A host whose people log in through a provider. The host's address must be known before its start.
fn host(provider: &Provider, further: &str) -> Host {
    let setup = Setup::new().plugin("echo").plugin("ping");
    let secret = setup.path().join("oidc-secret");
    put(&secret, b"cl1ent-s3cret\n");
    let config = format!(
        "[access]\nrequire_tokens = true\n[access.oidc]\nissuer = \"{}\"\nclient_id = \"sandbus\"\nclient_secret_file = \"{}\"\nexternal_url = \"http://localhost:1\"\n{further}roles = [{{ group = \"sre\", role = \"admin\" }}, {{ group = \"shop\", role = \"deploy\", plugin = \"echo\" }}]\n",
        provider.url,
        secret.display()
    );
    setup.config(&config).start()
}

/// Sends a request as a browser does, without following redirects.
fn browse(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .allow_non_standard_methods(true)
        .build()
        .into();
    sandbus_tests::send(&agent, method, url, headers, body.as_bytes()).unwrap()
}

/// The value of a cookie that a response sets.
fn cookie(answer: &Answer, name: &str) -> Option<String> {
    let all = answer.headers.get("set-cookie")?;
    let at = all.find(&format!("{name}="))?;
    Some(all[at..].split(';').next()?.to_owned())
}

/// Begins a login, and lets a person log in at the provider. Returns the callback's path and the browser's cookie.
fn log_in_at_provider(host: &Host, person: &str, return_to: &str) -> (String, String) {
    let begun = browse("GET", &host.admin_url(&format!("/v1/login?return_to={return_to}")), &[], "");
    assert_eq!(begun.status, 303, "{begun:?}");
    let url = begun.headers["location"].clone();
    for part in [
        "response_type=code",
        "client_id=sandbus",
        "code_challenge_method=S256",
        "code_challenge=",
        "nonce=",
        "state=",
        "scope=openid",
    ] {
        assert!(url.contains(part), "{part}: {url}");
    }
    let browser = cookie(&begun, "sandbus_login").unwrap();
    let attributes = &begun.headers["set-cookie"];
    assert!(attributes.contains("HttpOnly") && attributes.contains("SameSite=Lax"), "{attributes}");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let approved = browse("POST", &url, &form, &format!("sub={person}"));
    assert!((300..400).contains(&approved.status), "{approved:?}");
    let callback = approved.headers["location"].clone();
    let path = callback.strip_prefix("http://localhost:1").unwrap().to_owned();
    (path, browser)
}

/// Logs a person in. Returns the response to the callback.
fn log_in(host: &Host, person: &str) -> Answer {
    let (path, browser) = log_in_at_provider(host, person, "/dead-letters");
    let from_provider =
        [("cookie", browser.as_str()), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    browse("GET", &host.admin_url(&path), &from_provider, "")
}

fn role(host: &Host, session: &str) -> Value {
    host.send("GET", &host.admin_url("/v1/access"), &[("cookie", session)], b"").json()
}

#[test]
fn groups_decide_what_a_person_may_do() {
    let provider = Provider::start(&[]);
    let host = host(&provider, "");
    let ada = log_in(&host, "ada");
    assert_eq!((ada.status, ada.headers["location"].as_str()), (303, "/dead-letters"), "{ada:?}");
    let ada = cookie(&ada, "sandbus_session").unwrap();
    assert_eq!(
        (&role(&host, &ada)["role"], &role(&host, &ada)["token"]["name"]),
        (&json!("admin"), &json!("ada@example.com"))
    );
    let grace = cookie(&log_in(&host, "grace"), "sandbus_session").unwrap();
    assert_eq!((&role(&host, &grace)["role"], &role(&host, &grace)["plugin"]), (&json!("deploy"), &json!("echo")));
    let get = |session: &str, path: &str| host.send("GET", &host.admin_url(path), &[("cookie", session)], b"").status;
    assert_eq!((get(&grace, "/v1/plugins/echo"), get(&grace, "/v1/plugins/ping")), (200, 403));
    let eve = log_in(&host, "eve");
    assert_eq!((eve.status, eve.problem().as_str()), (403, "no-role"));
    assert!(eve.body.contains("eve@example.com"), "{}", eve.body);
    // A login is a token: it is listed and audited, and can be revoked.
    let tokens = host.send("GET", &host.admin_url("/v1/tokens"), &[("cookie", &ada)], b"").json();
    let of_grace =
        tokens["tokens"].as_array().unwrap().iter().find(|token| token["name"] == "grace@example.com").unwrap();
    assert!(of_grace["expires_at"].is_string(), "{of_grace}");
    let audit = host.send("GET", &host.admin_url("/v1/audit"), &[("cookie", &ada)], b"").body;
    assert!(audit.contains("complete_login") && audit.contains("login of grace@example.com"), "{audit}");
    for secret in ["cl1ent-s3cret", "code=", "sbt_"] {
        assert!(!audit.contains(secret), "{secret}: {audit}");
    }
    let id = of_grace["id"].as_str().unwrap();
    let own_page = [("cookie", ada.as_str()), ("sec-fetch-site", "same-origin")];
    assert_eq!(host.send("DELETE", &host.admin_url(&format!("/v1/tokens/{id}")), &own_page, b"").status, 204);
    assert_eq!(get(&grace, "/v1/plugins/echo"), 401);
    // Logging out ends the login, also for a copy of the cookie.
    let logged_out = host.send("DELETE", &host.admin_url("/v1/session"), &own_page, b"");
    assert_eq!(logged_out.status, 204);
    assert!(logged_out.headers["set-cookie"].contains("Max-Age=0"));
    assert_eq!(get(&ada, "/v1/plugins"), 401);
    assert!(!host.log().contains("cl1ent-s3cret"));
}

#[test]
fn a_login_ends_once_and_in_the_browser_that_began_it() {
    let provider = Provider::start(&[]);
    let host = host(&provider, "");
    let callback = |path: &str, cookie: &str| browse("GET", &host.admin_url(path), &[("cookie", cookie)], "");
    let refused = |answer: Answer| {
        assert_eq!((answer.status, answer.problem().as_str()), (400, "login-failed"));
        assert!(cookie(&answer, "sandbus_session").is_none());
    };
    let (path, browser) = log_in_at_provider(&host, "ada", "/");
    let (_, other) = log_in_at_provider(&host, "eve", "/");
    // Another browser, such as that of a victim who follows an attacker's link.
    refused(callback(&path, &other));
    // That ended the other login, and not this one.
    assert_eq!(callback(&path, &browser).status, 303);
    refused(callback(&path, &browser));
    let (path, browser) = log_in_at_provider(&host, "ada", "/");
    refused(callback(&path, ""));
    refused(callback("/v1/login/callback?code=a&state=b", &browser));
    refused(callback("/v1/login/callback?code=a", &browser));
    refused(callback("/v1/login/callback", &browser));
    let (path, browser) = log_in_at_provider(&host, "ada", "//evil.example");
    let completed = callback(&path, &browser);
    assert_eq!((completed.status, completed.headers["location"].as_str()), (303, "/"));
    refused(callback(&path, &browser));
    // A code that the provider did not issue.
    let begun = browse("GET", &host.admin_url("/v1/login"), &[], "");
    let browser = cookie(&begun, "sandbus_login").unwrap();
    let state = begun.headers["location"].split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let forged = callback(&format!("/v1/login/callback?code=forged&state={state}"), &browser);
    assert_eq!((forged.status, forged.problem().as_str()), (502, "login-failed"));
    let begun = browse("GET", &host.admin_url("/v1/login"), &[], "");
    let browser = cookie(&begun, "sandbus_login").unwrap();
    let state = begun.headers["location"].split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let denied = callback(&format!("/v1/login/callback?error=access_denied&state={state}"), &browser);
    assert_eq!((denied.status, denied.problem().as_str()), (403, "login-failed"));
    assert!(denied.body.contains("access_denied"));
}

#[test]
fn a_session_is_used_by_pages_of_the_host_only() {
    let provider = Provider::start(&[]);
    let host = host(&provider, "");
    let ada = cookie(&log_in(&host, "ada"), "sandbus_session").unwrap();
    let drain = |headers: &[(&str, &str)]| host.send("POST", &host.admin_url("/v1/plugins/echo/drain"), headers, b"");
    let authority = host.admin_url("");
    for (headers, expected) in [
        (vec![("cookie", ada.as_str())], 403),
        (vec![("cookie", ada.as_str()), ("sec-fetch-site", "cross-site")], 403),
        (vec![("cookie", ada.as_str()), ("sec-fetch-site", "same-site")], 403),
        (vec![("cookie", ada.as_str()), ("origin", "https://evil.example")], 403),
        (vec![("cookie", ada.as_str()), ("origin", authority.as_str())], 200),
        (vec![("cookie", ada.as_str()), ("sec-fetch-site", "same-origin")], 200),
        (vec![("cookie", "sandbus_session=sbt_00000000_x"), ("sec-fetch-site", "same-origin")], 401),
        (vec![("cookie", "sandbus_session="), ("sec-fetch-site", "same-origin")], 401),
    ] {
        let answer = drain(&headers);
        let is_expected = answer.status == expected || expected == 200 && answer.status < 300;
        assert!(is_expected, "{headers:?}: {answer:?}");
    }
    // A token becomes a session, which scripts of the page cannot read.
    let data = host.path().join("data");
    let created = host.cli(&["token", "create", "--json", "--role", "view", "--data", data.to_str().unwrap()]);
    let created: Value = serde_json::from_slice(&created.stdout).unwrap();
    let bearer = format!("Bearer {}", created["secret"].as_str().unwrap());
    let answer = host.send("POST", &host.admin_url("/v1/session"), &[("authorization", &bearer)], b"");
    assert_eq!(answer.status, 204, "{answer:?}");
    let session = cookie(&answer, "sandbus_session").unwrap();
    assert!(answer.headers["set-cookie"].contains("HttpOnly"));
    assert_eq!(role(&host, &session)["role"], "view");
    let own_page = [("cookie", session.as_str()), ("sec-fetch-site", "same-origin")];
    assert_eq!(host.send("DELETE", &host.admin_url("/v1/session"), &own_page, b"").status, 204);
    assert_eq!(role(&host, &session)["role"], "view", "the token itself is not a login");
}

#[test]
fn a_login_expires() {
    let provider = Provider::start(&[]);
    let host = host(&provider, "session = \"1s\"\n");
    let ada = cookie(&log_in(&host, "ada"), "sandbus_session").unwrap();
    let status = || host.send("GET", &host.admin_url("/v1/plugins"), &[("cookie", &ada)], b"").status;
    eventually("the login has expired", || (status() == 401).then_some(()));
}

#[test]
fn a_provider_that_fails_is_an_error_and_no_login() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}", silent.local_addr().unwrap());
    drop(silent);
    let config = format!(
        "[access.oidc]\nissuer = \"{issuer}\"\nclient_id = \"sandbus\"\nexternal_url = \"http://localhost:1\"\nroles = [{{ group = \"a\", role = \"view\" }}]\n"
    );
    let host = Setup::new().config(&config).start();
    let answer = browse("GET", &host.admin_url("/v1/login"), &[], "");
    assert_eq!((answer.status, answer.problem().as_str()), (502, "login-failed"));
    assert!(answer.body.contains(&issuer), "{}", answer.body);
    let without = Setup::new().start();
    let answer = browse("GET", &without.admin_url("/v1/login"), &[], "");
    assert_eq!((answer.status, answer.problem().as_str()), (404, "login-off"));
    let refused = Setup::new().config(&config.replace(&issuer, "http://login.example.com")).start_refused();
    assert!(refused.contains("access.oidc.issuer is not an https URL"), "{refused}");
}
