//! Uses the standard interfaces as a language runtime does: prints, reads the clock, sleeps.

#![cfg(target_family = "wasm")]

use sandbus_sdk::prelude::*;
use wasip2::cli::{environment, stderr, stdout};
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::filesystem::preopens;
use wasip2::random::random;

#[derive(Event, Serialize, Deserialize)]
#[event(type = "standard.order")]
struct Order {
    deed: String,
}

#[on_event(retry(max_attempts = 1), timeout = "500ms")]
fn obey(order: Order) -> Result<()> {
    match order.deed.as_str() {
        "print" => {
            print(&stdout::get_stdout(), b"first line\nsecond ");
            print(&stdout::get_stdout(), b"line\n");
            print(&stderr::get_stderr(), b"a complaint without a line break");
        }
        "chatter" => {
            for _ in 0..100 {
                print(&stdout::get_stdout(), &[b'x'; 4_096]);
            }
        }
        "fail" => {
            print(&stderr::get_stderr(), b"Traceback (most recent call last):\n\x1b[31mValueError: seven\n");
            core::arch::wasm32::unreachable();
        }
        "doze" => monotonic_clock::subscribe_duration(20_000_000).block(),
        "oversleep" => monotonic_clock::subscribe_duration(3_600_000_000_000).block(),
        other => return Err(Failure::reject(format!("unknown deed {other}"))),
    }
    Ok(())
}

fn print(stream: &wasip2::io::streams::OutputStream, bytes: &[u8]) {
    drop(stream.blocking_write_and_flush(bytes));
}

#[derive(Serialize)]
struct Surroundings {
    variables: usize,
    arguments: usize,
    folders: usize,
    seconds: u64,
    random_bytes: usize,
}

#[route(GET, "/standard")]
fn surroundings() -> Json<Surroundings> {
    Json(Surroundings {
        variables: environment::get_environment().len(),
        arguments: environment::get_arguments().len(),
        folders: preopens::get_directories().len(),
        seconds: wall_clock::now().seconds,
        random_bytes: random::get_random_bytes(16).len(),
    })
}

plugin! {
    name: "standard",
    handlers: [obey],
    routes: [surroundings],
}
