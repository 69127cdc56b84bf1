//! The guest's heap. It starts in memory that each instance has from the beginning. Growing memory and returning it
//! needs system calls, which most handlers never cause.

#![allow(unsafe_code, reason = "an allocator hands out raw memory")]

use core::alloc::Layout;
use core::arch::wasm32::memory_grow;

use talc::base::Talc;
use talc::base::binning::Binning;
use talc::cell::TalcSyncCell;
use talc::source::Source;
use talc::wasm::WasmBinning;

/// The size of the heap before memory grows. Untouched pages cost nothing.
const RESERVE_BYTES: usize = 1 << 20;
const PAGE_BYTES: usize = 64 << 10;
/// The most bytes of a region that the allocator uses itself.
const OVERHEAD_BYTES: usize = 4 << 10;

static mut RESERVE: [u8; RESERVE_BYTES] = [0; RESERVE_BYTES];

#[global_allocator]
static HEAP: TalcSyncCell<Reserve, WasmBinning> = TalcSyncCell::new_wasm(Reserve { claimed: false });

/// Provides the reserve first, and then grows memory.
#[derive(Debug)]
struct Reserve {
    claimed: bool,
}

// SAFETY: `acquire` does not allocate.
unsafe impl Source for Reserve {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        if !talc.source.claimed {
            talc.source.claimed = true;
            // SAFETY: nothing else refers to the reserve, and it is claimed once.
            return unsafe { talc.claim((&raw mut RESERVE).cast(), RESERVE_BYTES) }.map(drop).ok_or(());
        }
        let needed = layout.size().saturating_add(layout.align()).saturating_add(OVERHEAD_BYTES);
        let pages = needed.div_ceil(PAGE_BYTES);
        let before = memory_grow::<0>(pages);
        if before == usize::MAX {
            return Err(());
        }
        // SAFETY: the pages are new, and nothing else refers to them.
        unsafe { talc.claim((before * PAGE_BYTES) as *mut u8, pages * PAGE_BYTES) }.map(drop).ok_or(())
    }
}
