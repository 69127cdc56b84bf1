//! Standard error, which must not stop the threads that log: a pipe may be full, or a terminal paused. After [`start`],
//! one thread writes from a bounded queue, and texts that find no room are lost and counted. Before, and in commands
//! that run no host, texts are written at once.

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How many bytes the queue has room for.
const CAPACITY: usize = 4 << 20;
/// The size of an empty buffer that is kept.
const KEPT_BYTES: usize = 64 << 10;
/// How many bytes a pipe takes at once or not at all, so that lines of other writers do not interrupt them (pipe(7)).
const PIPE_BUF: usize = 4096;
/// How long the writer pauses if standard error is not ready and in non-blocking mode.
const RETRY_INTERVAL: Duration = Duration::from_millis(5);
/// How long a flush waits for a reader that reads nothing.
const STALL_LIMIT: Duration = Duration::from_secs(1);
/// How long a flush waits for a slow reader.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
/// How long a flush of a thread that should continue waits.
const BRIEF_LIMIT: Duration = Duration::from_millis(100);

/// The queue of this process, once it is started.
static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();

/// Texts that wait to be written.
#[derive(Debug, Default)]
struct Queue {
    pending: Mutex<Pending>,
    /// Signals that there are texts to write.
    filled: Condvar,
    /// Signals that the writer has written what it took.
    drained: Condvar,
    /// How many chunks were written.
    progress: AtomicU64,
}

#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    is_writing: bool,
    /// How many texts were lost and not yet reported.
    lost: u64,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a text if there is room.
    fn add(&self, text: &[u8]) {
        let mut pending = self.lock();
        // An empty queue takes a text of any length.
        if !pending.bytes.is_empty() && pending.bytes.len() + text.len() > CAPACITY {
            pending.lost += 1;
            return;
        }
        pending.bytes.extend_from_slice(text);
        self.filled.notify_one();
    }

    /// Writes texts and never returns. `report` is called with the number of lost texts.
    fn run(&self, mut sink: impl Write, report: impl Fn(u64)) {
        let mut bytes = Vec::new();
        loop {
            let mut pending = self.lock();
            pending.is_writing = false;
            self.drained.notify_all();
            while pending.bytes.is_empty() {
                pending = self.filled.wait(pending).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut pending.bytes, &mut bytes);
            pending.is_writing = true;
            let lost = std::mem::take(&mut pending.lost);
            drop(pending);
            if lost > 0 {
                // The queue is empty now, so the report has room, and stands where the lost texts would.
                report(lost);
            }
            for chunk in chunks(&bytes) {
                write(&mut sink, chunk);
                self.progress.fetch_add(1, Ordering::Relaxed);
            }
            bytes.clear();
            bytes.shrink_to(KEPT_BYTES);
        }
    }

    /// Waits until everything is written, but not longer than a limit, or than [`STALL_LIMIT`] without progress.
    fn flush(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let mut progress = self.progress.load(Ordering::Relaxed);
        let mut pending = self.lock();
        while !pending.bytes.is_empty() || pending.is_writing {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.drained.wait_timeout(pending, left.min(STALL_LIMIT));
            let (locked, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            pending = locked;
            let before = std::mem::replace(&mut progress, self.progress.load(Ordering::Relaxed));
            if timeout.timed_out() && progress == before {
                return;
            }
        }
    }
}

/// Splits texts into chunks that end with a line and that a pipe takes at once. Longer lines are split.
fn chunks(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let first = &bytes[..bytes.len().min(PIPE_BUF)];
        let end = first.iter().rposition(|byte| *byte == b'\n').map_or(first.len(), |newline| newline + 1);
        let (chunk, rest) = bytes.split_at(end);
        bytes = rest;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// Writes bytes. After an error such as a closed pipe they are lost, because the error cannot be reported.
fn write(sink: &mut impl Write, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match sink.write(bytes) {
            Ok(0) => return,
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::park_timeout(RETRY_INTERVAL),
            Err(_) => return,
        }
    }
}

/// Starts the thread that writes from now on. `report` is called with the number of lost texts.
///
/// # Errors
/// If the thread cannot be started.
pub(crate) fn start(report: impl Fn(u64) + Send + 'static) -> std::io::Result<()> {
    if QUEUE.get().is_some() {
        return Ok(());
    }
    let queue = Arc::new(Queue::default());
    let writer = Arc::clone(&queue);
    // The thread ends with the process.
    std::thread::Builder::new().name("stderr".to_owned()).spawn(move || writer.run(std::io::stderr(), report))?;
    QUEUE.get_or_init(|| queue);
    Ok(())
}

/// Writes a text.
pub(crate) fn print(text: &str) {
    Stderr.write_all(text.as_bytes()).unwrap_or_default();
}

/// Waits until all texts are written, unless nobody reads them.
pub(crate) fn flush() {
    flush_within(FLUSH_LIMIT);
}

/// Waits for a moment, so that all texts are written if they are read.
pub(crate) fn flush_briefly() {
    flush_within(BRIEF_LIMIT);
}

fn flush_within(limit: Duration) {
    if let Some(queue) = QUEUE.get() {
        queue.flush(limit);
    }
}

/// Flushes, and ends the process.
pub(crate) fn exit(code: i32) -> ! {
    flush();
    std::process::exit(code)
}

/// Standard error as a writer. Each call is a whole text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        match QUEUE.get() {
            Some(queue) => queue.add(text),
            None => write(&mut std::io::stderr(), text),
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A pipe that is full until `room` comes.
    struct Full {
        entered: Sender<()>,
        room: Option<Receiver<()>>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if let Some(room) = self.room.take() {
                let _ = self.entered.send(());
                // The test has ended if the sender is gone.
                room.recv().map_err(|_| ErrorKind::BrokenPipe)?;
            }
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn texts_keep_their_order_and_lost_ones_are_reported_in_their_place() {
        let queue = Arc::new(Queue::default());
        let ((entered, waiting), (free, room)) = (channel(), channel());
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = Full { entered, room: Some(room), written: Arc::clone(&written) };
        let (writer, reporter) = (Arc::clone(&queue), Arc::clone(&queue));
        std::thread::spawn(move || writer.run(sink, |lost| reporter.add(format!("{lost} lost\n").as_bytes())));

        queue.add(b"first\n");
        waiting.recv().unwrap();
        // From here on nobody reads, and nobody waits for it.
        let line = |number: u8| [vec![b'0' + number; CAPACITY / 4 - 1], b"\n".to_vec()].concat();
        for number in 0..7 {
            queue.add(&line(number));
        }
        queue.flush(Duration::from_millis(1));
        assert_eq!(queue.lock().bytes.len(), CAPACITY);
        free.send(()).unwrap();
        drain(&queue);
        queue.add(b"last\n");
        drain(&queue);
        let lines = [b"first\n".to_vec(), line(0), line(1), line(2), line(3), b"3 lost\nlast\n".to_vec()].concat();
        assert!(*written.lock().unwrap() == lines);
        let pending = queue.lock();
        assert!(pending.bytes.capacity() <= KEPT_BYTES && pending.lost == 0);
    }

    /// Waits until everything is written, even if the machine is so busy that a flush gives up.
    fn drain(queue: &Queue) {
        let is_busy = || {
            let pending = queue.lock();
            !pending.bytes.is_empty() || pending.is_writing
        };
        while is_busy() {
            queue.flush(FLUSH_LIMIT);
        }
    }

    #[test]
    fn chunks_end_with_a_line_and_fit_into_a_pipe() {
        let long = "x".repeat(PIPE_BUF + 1);
        for text in
            [String::new(), "a\n".to_owned(), "no end".to_owned(), "ab\n".repeat(5_000), format!("a\n{long}\nb\n")]
        {
            let split: Vec<&[u8]> = chunks(text.as_bytes()).collect();
            assert_eq!(split.concat(), text.as_bytes());
            assert!(split.iter().all(|chunk| chunk.len() <= PIPE_BUF));
            let is_partial = |chunk: &&&[u8]| !chunk.ends_with(b"\n");
            assert_eq!(split.iter().filter(is_partial).count(), usize::from(text.contains(&long) || text == "no end"));
        }
    }

    #[test]
    fn a_temporary_error_loses_nothing() {
        struct Busy(Vec<u8>, u32);
        impl Write for Busy {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.1 += 1;
                match self.1 % 3 {
                    0 => Err(ErrorKind::Interrupted.into()),
                    1 => Err(ErrorKind::WouldBlock.into()),
                    _ => self.0.write(&bytes[..1]),
                }
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut busy = Busy(Vec::new(), 0);
        write(&mut busy, b"abc\n");
        assert_eq!(busy.0, b"abc\n");
    }
}
