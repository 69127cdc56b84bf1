//! Counts the memory of an instance, and holds it to its limit.

use wasmtime::ResourceLimiter;

/// How many table elements an instance may have: function tables of large guests have some ten thousand.
const TABLE_ELEMENTS: usize = 100_000;

/// Counts memory as it grows, and remembers whether more was asked for than is granted.
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

    /// What there is now.
    pub(crate) fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// Lets what the host keeps for the instance grow or shrink from so many bytes to others, as its memory.
    ///
    /// # Errors
    /// If it is more than is granted: the instance ends by it.
    pub(crate) fn account(&mut self, before_bytes: usize, after_bytes: usize) -> wasmtime::Result<()> {
        match self.memory_growing(before_bytes, after_bytes, None)? {
            true => Ok(()),
            false => Err(wasmtime::Error::msg("the host keeps more for the instance than its memory may have")),
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
