//! Measures the processor time of a thread.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Measures the processor time of the current thread from its start. Use it on one thread only.
#[derive(Clone, Copy, Debug)]
pub struct CpuTimer(Duration);

impl CpuTimer {
    /// Starts a timer.
    #[must_use]
    pub fn start() -> Self {
        Self(thread_time())
    }

    /// The processor time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        thread_time().saturating_sub(self.0)
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_thread_that_waits_uses_no_processor_time() {
        let (timer, started) = (CpuTimer::start(), Instant::now());
        let (_sender, nothing) = std::sync::mpsc::channel::<()>();
        assert!(nothing.recv_timeout(Duration::from_millis(50)).is_err());
        assert!(timer.elapsed() < started.elapsed() / 2);
        let used = timer.elapsed();
        let mut sum = 0_u64;
        while timer.elapsed() < used + Duration::from_millis(5) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(started.elapsed() >= Duration::from_millis(55), "{sum}");
    }
}
