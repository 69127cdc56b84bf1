//! `docs/configuration.md` has every key and flag, with its default.

use std::collections::BTreeSet;

use clap::Args as _;

use super::*;
use crate::documented::{blocks, fields_of, titled, with_commented_keys};
use crate::ingress::producers::ProducerRule;
use crate::plugin::{
    CanaryRule, CorsRule, Grants, ImportRules, LimitOverrides, RollbackRule, Sidecar, SubscriptionOverrides,
};
use crate::subscription::RetryPolicy;

const PAGE: &str = include_str!("../../../docs/configuration.md");

fn load(text: &str) -> Config {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let overrides = Overrides { config: Some(file.path().to_owned()), ..Overrides::default() };
    Config { origins: Origins::default(), ..Config::load(&overrides).unwrap() }
}

fn table(text: &str) -> toml::Table {
    toml::from_str(text).unwrap()
}

/// The keys of a table at a path such as `subscriptions.x`, in a block and in the tables that explain them.
fn check_keys(block: &str, path: &str, expected: &BTreeSet<String>) {
    let mut table = table(block);
    for part in path.split('.').filter(|part| !part.is_empty()) {
        table = table[part].as_table().unwrap_or_else(|| panic!("{path} is not a table")).clone();
    }
    let keys: BTreeSet<String> = table.keys().cloned().collect();
    assert_eq!(keys, *expected, "the keys of [{path}]");
    let is_section = |value: &toml::Value| {
        value.is_table() || value.as_array().is_some_and(|items| items.iter().any(toml::Value::is_table))
    };
    for key in expected.iter().filter(|key| !is_section(&table[*key])) {
        assert!(PAGE.contains(&format!("| `{key}` |")), "no table explains `{key}` of [{path}]");
    }
}

#[test]
fn every_key_of_sandbus_toml_is_documented_with_its_default() {
    let block = titled(PAGE, "sandbus.toml");
    assert_eq!(load(&block), load(""));
    let all = with_commented_keys(&block);
    assert!(load(&all).bus.retain_for.is_some(), "keys without a default are read");
    check_keys(&all, "", &fields_of::<File>());
    check_keys(&all, "admin", &fields_of::<AdminConfig>());
    check_keys(&all, "probe", &fields_of::<ProbeConfig>());
    check_keys(&all, "cluster", &fields_of::<ClusterConfig>());
    check_keys(&all, "ingress", &fields_of::<IngressConfig>());
    check_keys(&all, "http", &fields_of::<HttpLimits>());
    check_keys(&all, "bus", &fields_of::<BusConfig>());
    check_keys(&all, "sandbox", &fields_of::<SandboxConfig>());
    check_keys(&all, "ledger", &fields_of::<LedgerConfig>());
    check_keys(&all, "access", &fields_of::<AccessConfig>());
    check_keys(&all, "outbound", &fields_of::<OutboundConfig>());
    check_keys(&all, "secrets", &fields_of::<SecretsConfig>());
}

#[test]
fn the_keys_of_tls_are_documented() {
    let block = blocks(PAGE).into_iter().find(|block| block.text.starts_with("[ingress.tls]")).unwrap().text;
    let config = load(&block);
    assert!(config.ingress_tls.is_some() && config.admin_tls.is_some(), "{block}");
    check_keys(&block, "ingress.tls", &fields_of::<TlsConfig>());
}

#[test]
fn the_keys_of_the_login_are_documented() {
    let block = blocks(PAGE).into_iter().find(|block| block.text.starts_with("[access.oidc]")).unwrap().text;
    assert!(load(&block).access.oidc.is_some(), "{block}");
    check_keys(&block, "access.oidc", &fields_of::<OidcConfig>());
}

#[test]
fn the_keys_of_producers_are_documented() {
    let producers = blocks(PAGE).into_iter().find(|block| block.text.starts_with("[[ingress.events]]")).unwrap().text;
    assert!(matches!(load(&producers).events, EventsRule::Producers(_)));
    let keys = table(&producers)["ingress"]["events"][0].as_table().unwrap().keys().cloned().collect();
    assert_eq!(fields_of::<ProducerRule>(), keys);
    fields_of::<ProducerRule>().iter().for_each(|key| assert!(PAGE.contains(&format!("| `{key}` |")), "{key}"));
}

#[test]
fn every_key_of_a_sidecar_is_documented() {
    let block = titled(PAGE, "sidecar.toml");
    Sidecar::parse(&block).unwrap();
    let all = with_commented_keys(&block);
    let sidecar = Sidecar::parse(&all).unwrap();
    check_keys(&all, "", &fields_of::<Sidecar>());
    check_keys(&all, "limits", &fields_of::<LimitOverrides>());
    check_keys(&all, "grants", &fields_of::<Grants>());
    check_keys(&all, "canary", &fields_of::<CanaryRule>());
    check_keys(&all, "rollback", &fields_of::<RollbackRule>());
    check_keys(&all, "subscriptions.user_registered", &fields_of::<SubscriptionOverrides>());
    let imports = table(&all)["imports"].as_table().unwrap().clone();
    let keys = imports.values().flat_map(|rules| rules.as_table().unwrap().keys().cloned()).collect();
    assert_eq!(fields_of::<ImportRules>(), keys);
    fields_of::<ImportRules>().iter().for_each(|key| assert!(PAGE.contains(&format!("| `{key}` |")), "{key}"));
    assert_eq!(fields_of::<CorsRule>(), table(&all)["cors"][0].as_table().unwrap().keys().cloned().collect());
    fields_of::<CorsRule>().iter().for_each(|key| assert!(PAGE.contains(&format!("| `{key}` |")), "{key}"));
    // These two tables show the defaults.
    assert_eq!((sidecar.canary, sidecar.rollback), (Some(CanaryRule::default()), Some(RollbackRule::default())));
}

#[test]
fn the_defaults_of_retries_are_documented() {
    let mut rules = String::from("[subscriptions.x]\n");
    for key in ["max_attempts", "initial_delay", "backoff_multiplier", "max_delay", "jitter"] {
        let row = PAGE.split_once(&format!("| `{key}` | declared, else `")).unwrap_or_else(|| panic!("{key}")).1;
        rules += &format!("{key} = {}\n", row.split_once('`').unwrap().0);
    }
    let sidecar = Sidecar::parse(&rules).unwrap();
    let other = RetryPolicy { max_delay: Duration::from_secs(1), ..RetryPolicy::default() };
    assert_eq!(sidecar.subscriptions["x"].retry(other).unwrap(), RetryPolicy::default());
}

#[test]
fn every_flag_and_variable_is_documented() {
    let command = Overrides::augment_args(clap::Command::new("sandbus"));
    for argument in command.get_arguments() {
        let flag = argument.get_long().unwrap();
        let variable = argument.get_env().and_then(|name| name.to_str()).unwrap();
        assert!(PAGE.contains(&format!("| `--{flag}` | `{variable}` |")), "--{flag} and {variable}");
    }
}
