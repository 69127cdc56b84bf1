use sandbus_sdk::prelude::*;

#[route(GET, "users")]
fn without_slash() {}

#[route(GET, "/hello/:a")]
fn with_colon() {}

#[route(GET, "/hello?a=1")]
fn with_query() {}

#[route(GET, "/hello world")]
fn with_space() {}

#[route(GET, "/{a}/{a}")]
fn with_the_same_parameter() {}

fn main() {}
