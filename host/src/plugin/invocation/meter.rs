//! Accounts for the memory of an instance, and enforces its limit.

use wasmtime::ResourceLimiter;

/// How many table elements an instance may have. Function tables of large guests have some ten thousand.
const TABLE_ELEMENTS: usize = 100_000;

/// Accounts for memory as it grows, and records whether growth was refused.
#[derive(Debug)]
pub(crate) struct MemoryMeter {
    limit_bytes: usize,
    used_bytes: usize,
    pub(crate) was_refused: bool,
}

impl MemoryMeter {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, used_bytes: 0, was_refused: false }
    }

    /// The memory in use.
    pub(crate) fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// Accounts for bytes that the host holds for the instance, as part of the instance's memory.
    ///
    /// # Errors
    /// If the limit is exceeded, which ends the instance.
    pub(crate) fn account(&mut self, before_bytes: usize, after_bytes: usize) -> wasmtime::Result<()> {
        match self.memory_growing(before_bytes, after_bytes, None)? {
            true => Ok(()),
            false => {
                Err(wasmtime::Error::msg("the host holds more data for the instance than its memory limit allows"))
            }
        }
    }
}

impl ResourceLimiter for MemoryMeter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let used_bytes = self.used_bytes.saturating_sub(current).saturating_add(desired);
        let granted = used_bytes <= self.limit_bytes;
        if granted {
            self.used_bytes = used_bytes;
        } else {
            self.was_refused = true;
        }
        Ok(granted)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }
}
