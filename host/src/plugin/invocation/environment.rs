//! The environment of an invocation: the clock, random numbers, and outgoing requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

use crate::clock::{Clock, Timestamp};
use crate::event::Event;
use crate::otlp::Tracer;
use crate::outbound::Outbound;
use crate::recorded_response::ResponseMemory;

/// The largest number of random bytes per call. More would let a guest fill the host's memory.
pub(crate) const RANDOM_LIMIT_BYTES: u64 = 64 << 10;

/// The environment of a plugin's invocations.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// The time of day.
    pub clock: Clock,
    /// Sends the requests that plugins are allowed to make.
    pub outbound: Outbound,
    /// The memory for recorded responses of other services, if the host keeps them.
    pub response_memory: Option<ResponseMemory>,
    /// Traces the requests of handlers.
    pub tracer: Tracer,
    pub(crate) randomness: Randomness,
}

impl Environment {
    /// An environment with the system's random numbers.
    #[must_use]
    pub fn new(clock: Clock, outbound: Outbound) -> Self {
        Self { clock, outbound, ..Self::default() }
    }

    /// This environment, in which the responses of other services are recorded.
    #[must_use]
    pub fn recording_responses(self, response_memory: Option<ResponseMemory>) -> Self {
        Self { response_memory, ..self }
    }

    /// This environment, in which the requests of handlers are traced.
    #[must_use]
    pub fn traced_by(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// An environment for a scenario: random numbers differ between invocations and are the same each time that the
    /// scenario runs.
    #[must_use]
    pub fn for_scenario(clock: Clock, outbound: Outbound) -> Self {
        Self { clock, outbound, randomness: Randomness::Scenario(Arc::default()), ..Self::default() }
    }

    /// The environment of the next invocation.
    pub(crate) fn for_invocation(&self) -> Self {
        let randomness = match &self.randomness {
            Randomness::Scenario(for_invocation) => next_seeded(for_invocation),
            other => other.clone(),
        };
        Self { randomness, ..self.clone() }
    }

    /// A reproducible environment for handling an event in a canary.
    pub(crate) fn for_canary(now: Timestamp, event: &Event) -> Self {
        let seed = Sha256::new().chain_update(&event.source).chain_update([0]).chain_update(&event.id).finalize();
        let randomness = Randomness::Seeded { seed: seed.into(), drawn: 0 };
        Self { clock: Clock::manual(now), outbound: Outbound::Denied, randomness, ..Self::default() }
    }
}

/// The source of random bytes.
#[derive(Clone, Debug, Default)]
pub(crate) enum Randomness {
    /// The operating system.
    #[default]
    System,
    /// A seed, which yields the same bytes each time.
    Seeded { seed: [u8; 32], drawn: u64 },
    /// A seed for each invocation, derived from the number of earlier ones.
    Scenario(Arc<AtomicU64>),
}

/// The random numbers of a scenario's next invocation.
fn next_seeded(for_invocation: &AtomicU64) -> Randomness {
    let number = for_invocation.fetch_add(1, Ordering::Relaxed);
    let seed = Sha256::new().chain_update("scenario").chain_update(number.to_le_bytes()).finalize();
    Randomness::Seeded { seed: seed.into(), drawn: 0 }
}

impl Randomness {
    /// Fills a buffer with random bytes.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        match self {
            Self::System => getrandom::fill(bytes),
            Self::Seeded { seed, drawn } => {
                for part in bytes.chunks_mut(32) {
                    let block = Sha256::new().chain_update(*seed).chain_update(drawn.to_le_bytes()).finalize();
                    part.copy_from_slice(&block[..part.len()]);
                    *drawn += 1;
                }
                Ok(())
            }
            Self::Scenario(for_invocation) => next_seeded(for_invocation).fill(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(randomness: &mut Randomness) -> [u8; 48] {
        let mut bytes = [0; 48];
        randomness.fill(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn random_numbers_repeat_in_a_canary_and_only_there() {
        let event = |id: &str| Event { id: id.to_owned(), source: "/a".to_owned(), ..Event::default() };
        let environment = |id| Environment::for_canary(Timestamp(5), &event(id));
        let (mut one, mut same, mut other) =
            (environment("1").randomness, environment("1").randomness, environment("2").randomness);
        let first = drawn(&mut one);
        assert_eq!(first, drawn(&mut same));
        assert_ne!(first, drawn(&mut one));
        assert_ne!(first, drawn(&mut other));
        assert_ne!(drawn(&mut Randomness::System), drawn(&mut Randomness::System));
    }

    #[test]
    fn random_numbers_differ_within_a_scenario_and_repeat_in_the_next_run() {
        let play = || {
            let environment = Environment::for_scenario(Clock::System, Outbound::Denied);
            [(); 3].map(|()| drawn(&mut environment.for_invocation().randomness))
        };
        let [first, second, third] = play();
        assert!(first != second && second != third && first != third);
        assert_eq!(play(), [first, second, third]);
    }
}
