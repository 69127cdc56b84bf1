use sandbus_sdk::prelude::*;

#[on_event("a.b")]
fn größe(_: Event<Vec<u8>>) {}

#[on_event("a.b", name = "my orders")]
fn with_space(_: Event<Vec<u8>>) {}

#[on_event("a.b", name = "-orders")]
fn like_an_option(_: Event<Vec<u8>>) {}

#[on_event("a.b", name = "")]
fn empty(_: Event<Vec<u8>>) {}

#[on_schedule("* * * * *")]
fn täglich(_: Tick) {}

plugin! { name: "My_Plugin" }

fn main() {}
