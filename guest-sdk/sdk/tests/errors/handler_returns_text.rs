use sandbus_sdk::prelude::*;

#[on_event("a.b")]
fn text(_: Event<Vec<u8>>) -> Result<(), String> {
    Ok(())
}

#[on_event("a.b")]
fn literal(_: Event<Vec<u8>>) -> Result<(), &'static str> {
    Ok(())
}

#[on_event("a.b")]
fn boxed(_: Event<Vec<u8>>) -> Result<(), Box<dyn std::error::Error>> {
    Ok(())
}

#[on_schedule("* * * * *")]
fn nothing(_: Tick) -> Result<(), ()> {
    Ok(())
}

fn main() {}
