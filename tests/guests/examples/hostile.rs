//! Tries to harm the host.

use sandbus_sdk::prelude::*;

#[derive(Event, Serialize, Deserialize)]
#[event(type = "hostile.order")]
struct Order {
    deed: String,
}

#[on_event(retry(max_attempts = 1), timeout = "300ms")]
fn obey(order: Order) -> Result<()> {
    act(&order.deed)
}

#[route(POST, "/hostile/{deed}")]
fn request(request: Request) -> Result<(), Problem> {
    Ok(act(request.param("deed")?)?)
}

#[route(GET, "/hostile/headers")]
fn headers() -> Result<Response, Problem> {
    Message::raw("hostile.flood", "text/plain", Vec::new()).publish()?;
    let headers = vec![("bad header".to_owned(), "a\r\nb".to_owned())];
    Ok(Response { status: 200, headers, body: Vec::new() })
}

#[route(GET, "/hostile/status")]
fn status() -> Response {
    Response { status: 77, headers: Vec::new(), body: Vec::new() }
}

#[allow(clippy::panic, reason = "one of the deeds")]
fn act(deed: &str) -> Result<()> {
    match deed {
        "trap" => panic!("as ordered"),
        "spin" => loop {
            std::hint::black_box(0);
        },
        "eat" => {
            let mut eaten = Vec::new();
            loop {
                eaten.push(vec![1_u8; 1 << 20]);
                std::hint::black_box(&eaten);
            }
        }
        "recurse" => {
            std::hint::black_box(recurse(1));
            Ok(())
        }
        "flood" => {
            for number in 0..1_000_000 {
                Message::raw("hostile.flood", "text/plain", number.to_string().into_bytes()).publish()?;
            }
            Ok(())
        }
        "misfit" => {
            Message::raw("hostile.flood", "text/plain", Vec::new()).subject("").publish()?;
            Ok(())
        }
        "forbidden" => {
            Message::raw("user.registered", "text/plain", Vec::new()).publish()?;
            Ok(())
        }
        "hoard" => {
            for number in 0.. {
                state::set_bytes(&format!("hoard/{number}"), vec![0; 1 << 20])?;
            }
            Ok(())
        }
        "chatter" => {
            for number in 0..100_000 {
                info!("chatter {number} {}", "\u{1b}[31m".repeat(10));
            }
            Ok(())
        }
        other => Err(Failure::reject(format!("unknown deed {other}"))),
    }
}

#[allow(unconditional_recursion, reason = "one of the deeds")]
fn recurse(depth: u64) -> u64 {
    let local = std::hint::black_box([depth; 64]);
    recurse(depth + 1) + local[0]
}

plugin! {
    name: "hostile",
    handlers: [obey],
    routes: [request, headers, status],
    publishes: ["hostile.flood"],
}
