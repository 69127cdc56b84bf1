//! Clients that keep a host busy and record its responses.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use sandbus_tests::{Answer, pause_for};
use serde_json::{Value, json};

use crate::client_record::{Acknowledged, ClientRecord, Sent};
use crate::host::{Client, Target};

/// The source of the events.
const SOURCE: &str = "/torture";

/// The repeated work of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Posts entries, alone and in batches, some of them twice.
    Ledger,
    /// Posts numbered entries of a few subjects.
    Ordered,
    /// Registers users with a plugin.
    Registrations,
    /// Posts jobs whose handler fails at first.
    Flaky,
}

/// The clients during most faults.
pub(crate) const MIXED: [Work; 4] = [Work::Ledger, Work::Ledger, Work::Ordered, Work::Registrations];

/// A load on a host.
#[derive(Debug)]
pub(crate) struct Load<'a> {
    pub(crate) target: &'a Target,
    pub(crate) client_record: &'a ClientRecord,
    pub(crate) clients: &'a [Work],
    /// The pause of each client after a response.
    pub(crate) rest: Duration,
    pub(crate) seed: u64,
}

/// Stops the clients when it is dropped, even by a panic.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<'a> Load<'a> {
    /// The mixed load without pauses.
    pub(crate) fn mixed(target: &'a Target, client_record: &'a ClientRecord, seed: u64) -> Self {
        Self { target, client_record, clients: &MIXED, rest: Duration::ZERO, seed }
    }

    /// Runs an action while the clients work. `mark` is called at each success.
    pub(crate) fn during<T>(&self, mark: &(dyn Fn() -> u64 + Sync), action: impl FnOnce() -> T) -> T {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for (index, work) in self.clients.iter().enumerate() {
                let stop = &stop;
                let mut worker = Worker {
                    client: self.target.client(),
                    client_record: self.client_record,
                    index,
                    mark,
                    rng: Rng::with_seed(self.seed.wrapping_add(index as u64)),
                };
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) && worker.step(*work) {
                        if !self.rest.is_zero() {
                            pause_for(self.rest);
                        }
                    }
                });
            }
            let _stop = Stop(&stop);
            action()
        })
    }

    /// Runs the clients until a number of further events are acknowledged, or until a timeout.
    pub(crate) fn until_acknowledged(&self, count: u64, patience: Duration) {
        let goal = self.client_record.acknowledged() + count;
        self.during(&|| 0, || wait_for(self.client_record, goal, patience));
    }
}

/// Waits until a total number of events are acknowledged. Returns false after a timeout.
pub(crate) fn wait_for(client_record: &ClientRecord, goal: u64, patience: Duration) -> bool {
    let started = Instant::now();
    while client_record.acknowledged() < goal {
        if started.elapsed() > patience {
            return false;
        }
        pause_for(Duration::from_millis(1));
    }
    true
}

struct Worker<'a> {
    client: Client,
    client_record: &'a ClientRecord,
    index: usize,
    mark: &'a (dyn Fn() -> u64 + Sync),
    rng: Rng,
}

impl Worker<'_> {
    /// Sends one request. Returns whether there was a response.
    fn step(&mut self, work: Work) -> bool {
        match work {
            Work::Ledger => {
                let count = if self.rng.u8(0..8) == 0 { self.rng.usize(2..12) } else { 1 };
                let events = (0..count).map(|_| self.ledger_entry()).collect();
                self.publish(events)
            }
            Work::Ordered => {
                let subject = format!("{}-{}", self.index, self.rng.u8(0..4));
                let data = json!(self.client_record.number());
                self.publish(vec![Sent { event_type: "ordered.entry", subject: Some(subject), data }])
            }
            Work::Flaky => {
                let data = json!(self.client_record.number());
                self.publish(vec![Sent { event_type: "flaky.job", subject: None, data }])
            }
            Work::Registrations => self.register(),
        }
    }

    fn ledger_entry(&mut self) -> Sent {
        let length = self.rng.usize(0..600);
        let text: String = std::iter::repeat_with(|| self.rng.alphanumeric()).take(length).collect();
        Sent { event_type: "ledger.entry", subject: None, data: json!({ "text": text }) }
    }

    fn publish(&mut self, events: Vec<Sent>) -> bool {
        let events: Vec<_> =
            events.into_iter().map(|event| (format!("e{}", self.client_record.number()), event)).collect();
        self.client_record.traffic().sent.extend(events.iter().cloned());
        let body: Vec<_> = events.iter().map(|(id, event)| cloud_event(id, event)).collect();
        let body = match <[Value; 1]>::try_from(body) {
            Ok([one]) => (one, "application/cloudevents+json"),
            Err(many) => (Value::from(many), "application/cloudevents-batch+json"),
        };
        let ids: Vec<_> = events.into_iter().map(|(id, _)| id).collect();
        let answered = self.deliver(&body, &ids);
        // Like a producer that does not know whether an event was stored, it sends some events again.
        if answered && self.rng.u8(0..16) == 0 { self.deliver(&body, &ids) } else { answered }
    }

    fn deliver(&self, (body, content_type): &(Value, &str), ids: &[String]) -> bool {
        let began = Instant::now();
        let answer = self.client.post("/events", content_type, body);
        let mark = (self.mark)();
        self.record(&answer, ids, |_| {
            ids.iter().map(|id| Acknowledged { id: id.clone(), email: None, began, mark }).collect()
        })
    }

    fn register(&self) -> bool {
        let email = format!("user{}@example.com", self.client_record.number());
        self.client_record.traffic().users.insert(email.clone());
        let began = Instant::now();
        let body = json!({ "name": "Ada", "email": email });
        let answer = self.client.post("/register", "application/json", &body);
        let mark = (self.mark)();
        self.record(&answer, &[], |answer| {
            let answer: Value = serde_json::from_str(&answer.body).unwrap_or_default();
            let id = answer["event_id"].as_str().unwrap_or_default().to_owned();
            vec![Acknowledged { id, email: Some(email.clone()), began, mark }]
        })
    }

    /// Records a response. Returns whether there was one.
    fn record(
        &self,
        answer: &anyhow::Result<Answer>,
        ids: &[String],
        read: impl FnOnce(&Answer) -> Vec<Acknowledged>,
    ) -> bool {
        match answer {
            Ok(answer) if (200..300).contains(&answer.status) => self.client_record.acknowledge(read(answer)),
            Ok(answer) => {
                let problem: Value = serde_json::from_str(&answer.body).unwrap_or_default();
                let code = format!("{} {}", answer.status, problem["code"].as_str().unwrap_or("without a code"));
                let mut traffic = self.client_record.traffic();
                *traffic.refused.entry(code).or_default() += 1;
                // After other failures of the store, nobody knows whether the events are stored.
                if answer.status == 507 {
                    traffic.refused_ids.extend(ids.iter().cloned());
                }
                drop(traffic);
                pause_for(Duration::from_millis(2));
            }
            Err(_) => {
                self.client_record.traffic().unanswered += 1;
                return false;
            }
        }
        true
    }
}

fn cloud_event(id: &str, event: &Sent) -> Value {
    let mut value = json!({
        "specversion": "1.0", "id": id, "source": SOURCE, "type": event.event_type, "data": event.data,
    });
    if let Some(subject) = &event.subject {
        value["subject"] = json!(subject);
    }
    value
}
