//! The OpenAPI document of the admin API: it is the one in `docs/openapi.json`, and says what the host does.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use sandbus_tests::languages::root;
use sandbus_tests::{Host, Setup};
use serde_json::Value;

const METHODS: [&str; 5] = ["get", "post", "put", "delete", "patch"];

/// The operations of a document: method, path, description.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let all = paths.flat_map(|(path, item)| {
        let item = item.as_object().unwrap().clone();
        item.into_iter().map(move |(method, operation)| (method, path.clone(), operation))
    });
    all.collect()
}

fn document(host: &Host) -> Value {
    host.admin("/openapi.json")
}

/// Replaces the parameters of a path by names of nothing.
fn filled(path: &str) -> String {
    path.replace("{number}", "1").replace(['{', '}'], "_")
}

#[test]
fn the_document_in_docs_is_the_one_that_the_host_serves() {
    let host = Setup::new().start();
    let served = serde_json::to_string_pretty(&document(&host)).unwrap() + "\n";
    let file = root().join("docs/openapi.json");
    if std::env::var_os("SANDBUS_BLESS").is_some() {
        std::fs::write(&file, served).unwrap();
        return;
    }
    let checked_in = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(checked_in == served, "docs/openapi.json is out of date; run `cargo xtask openapi` and commit the file");
}

#[test]
fn every_operation_is_described() {
    let host = Setup::new().start();
    let document = document(&host);
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let named = format!("{method} {path}");
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{named} has no id"));
        assert!(ids.insert(id.to_owned()), "{named} has the id of another operation");
        assert!(operation["summary"].is_string() && operation["tags"].is_array(), "{named}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let schema = &parameter["schema"];
            assert!(parameter["description"].is_string() && schema.is_object(), "{named}: {parameter}");
            let types = schema["type"].to_string();
            let is_signed = ["number", "like", "sample"].contains(&parameter["name"].as_str().unwrap());
            let is_unsigned = types.contains("integer") && !is_signed;
            assert!(!is_unsigned || schema["minimum"].is_number(), "{named}: {parameter} has no bounds");
        }
        for (status, response) in operation["responses"].as_object().unwrap() {
            let response = response["$ref"].as_str().map_or(response, |name| {
                document.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{named} {status}: {name}"))
            });
            if status.parse::<u16>().unwrap() >= 400 {
                let schema = &response["content"]["application/problem+json"]["schema"];
                let codes = &schema["allOf"][1]["properties"]["code"]["enum"];
                assert!(response["description"].is_string(), "{named} {status}");
                assert!(codes.as_array().is_some_and(|codes| !codes.is_empty()), "{named} {status}: {response}");
            } else if !["204", "303"].contains(&status.as_str()) {
                assert!(response["content"].is_object(), "{named} {status}");
            }
        }
    }
}

/// No documented operation is missing in the host, and no other method is there.
#[test]
fn exactly_the_documented_operations_exist() {
    let host = Setup::new().start();
    let document = document(&host);
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            // The stream refuses this id. Otherwise its response would not end.
            let headers = [("last-event-id", "unknown")];
            let answer = host.send(&method.to_uppercase(), &host.admin_url(&filled(path)), &headers, b"");
            let is_missing = answer.status == 405 || answer.body.contains("the admin interface has no path");
            assert_eq!(is_missing, item[method].is_null(), "{method} {path}: {} {}", answer.status, answer.body);
        }
    }
}

/// Handlers that are documented but have no route, and routes that are not documented. The macro `routes!` adds both.
#[test]
fn every_handler_has_a_route_and_every_route_is_documented() {
    let host = Setup::new().start();
    let mut handlers = 0;
    let mut folders = vec![root().join("host/src/admin")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            handlers += source.matches("#[utoipa::path(").count();
            // The probe listener is not part of the API.
            let is_api = !path.ends_with("probe.rs");
            assert!(!is_api || !source.contains(".route("), "{} adds a route without `routes!`", path.display());
        }
    }
    assert_eq!(operations(&document(&host)).len(), handlers, "a handler with `#[utoipa::path]` has no route");
}
