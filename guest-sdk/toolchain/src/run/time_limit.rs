//! Runs programs that may not end: while a component is made, the plugin's own modules run.

use std::io::{self, Read};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Runs a command without input. None if it did not end within a time; it is killed then.
pub(crate) fn output_within(command: &mut Command, limit: Duration) -> io::Result<Option<Output>> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let deadline = Instant::now() + limit;
    let stdout = child.stdout.take().map(in_background);
    let stderr = child.stderr.take().map(in_background);
    let mut texts = [Vec::new(), Vec::new()];
    for (text, reader) in texts.iter_mut().zip([stdout, stderr]) {
        let Some(reader) = reader else { continue };
        match reader.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(read) => *text = read?,
            Err(RecvTimeoutError::Timeout) => {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("its output was not read")),
        }
    }
    // Its streams are closed, so it has ended or is about to.
    let status = child.wait()?;
    let [stdout, stderr] = texts;
    Ok(Some(Output { status, stdout, stderr }))
}

/// Reads a stream to its end in a thread, which ends with the stream.
fn in_background(mut stream: impl Read + Send + 'static) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes).map(|_| bytes);
        // After the limit nobody listens.
        drop(sender.send(read));
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Option<(String, String, Option<i32>)> {
        let output = output_within(Command::new("sh").args(["-c", script]), limit).unwrap()?;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Some((text(output.stdout), text(output.stderr), output.status.code()))
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        for script in ["while :; do :; done", "while :; do echo more; done", "exec sleep 600"] {
            assert_eq!(shell(script, Duration::from_millis(200)), None, "{script}");
        }
    }

    #[test]
    fn all_output_of_a_program_that_ends_is_returned() {
        let expected = ("one\n".to_owned(), "two\n".to_owned(), Some(3));
        assert_eq!(shell("echo one; echo two >&2; exit 3", Duration::from_mins(1)), Some(expected));
        let (much, ..) = shell("head -c 1000000 /dev/zero | tr '\\0' x", Duration::from_mins(1)).unwrap();
        assert_eq!(much.len(), 1_000_000);
    }
}
