//! Events on their way through a host: published in batches, and waited for until they are handled.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use sandbus_tests::Host;

use crate::load::post;

/// How many events a request has.
pub(crate) const BATCH: usize = 64;

/// An event that `bench-handler` handles, of some 500 bytes.
pub(crate) fn order(event_type: &str, id: &str) -> String {
    let note = "please leave it with the neighbours if nobody is there".repeat(3);
    let line = |article: &str| format!(r#"{{"article":"{article}","count":3,"cents":1999}}"#);
    let lines = ["a kettle of steel", "a teapot of clay", "a cup of porcelain", "a spoon"].map(line).join(",");
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/bench","type":"{event_type}","datacontenttype":"application/json","data":{{"id":"{id}","customer":"customer-1234567","note":"{note}","lines":[{lines}]}}}}"#
    )
}

/// A request that publishes several events.
pub(crate) fn batch(events: &[String]) -> Vec<u8> {
    post("/events", "application/cloudevents-batch+json", format!("[{}]", events.join(",")).as_bytes())
}

/// One connection to a host, which sends a request when the last one is answered.
pub(crate) struct Publisher {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Publisher {
    pub(crate) fn new(host: &Host) -> Self {
        let stream = TcpStream::connect(host.address()).expect("the host listens");
        stream.set_nodelay(true).expect("an option of a socket");
        Self { stream, answer: vec![0; 256 << 10] }
    }

    /// Sends a request, which must succeed.
    pub(crate) fn send(&mut self, request: &[u8]) {
        self.stream.write_all(request).expect("the host reads");
        let mut length = 0;
        loop {
            length += self.stream.read(&mut self.answer[length..]).expect("the host answers");
            let answer = &self.answer[..length];
            assert!(answer.starts_with(b"HTTP/1.1 20"), "{}", String::from_utf8_lossy(answer));
            if is_complete(answer) {
                return;
            }
        }
    }
}

/// Whether an answer has all the bytes that its head promises.
fn is_complete(answer: &[u8]) -> bool {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(head)) = response.parse(answer) else { return false };
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok());
    answer.len() >= head + length.expect("the host says how long its answers are")
}

/// Publishes orders of a type, and waits until the last one is handled. Returns how many a second there were.
pub(crate) fn handled_per_second(host: &Host, event_type: &str, count: usize) -> f64 {
    let run = fastrand::u64(..);
    let requests: Vec<_> = (0..count / BATCH)
        .map(|request| {
            let orders = (0..BATCH).map(|index| order(event_type, &format!("{run:x}-{request}-{index}")));
            batch(&orders.collect::<Vec<_>>())
        })
        .collect();
    let last = order(event_type, &format!("{run:x}-last"));
    let mut publisher = Publisher::new(host);
    let started = Instant::now();
    requests.iter().for_each(|request| publisher.send(request));
    publisher.send(&post("/events?reply=bench.invoice&timeout=60s", "application/cloudevents+json", last.as_bytes()));
    (count + 1) as f64 / started.elapsed().as_secs_f64()
}
