//! The guest's heap. It begins in memory that every instance has from the start: growing memory and giving
//! it back are calls into the kernel, and most handlers never need more than this.

#![allow(unsafe_code, reason = "an allocator hands out raw memory")]

use core::alloc::Layout;
use core::arch::wasm32::memory_grow;

use talc::base::Talc;
use talc::base::binning::Binning;
use talc::cell::TalcSyncCell;
use talc::source::Source;
use talc::wasm::WasmBinning;

/// How large a heap is without growing. Pages that are not touched cost nothing.
const RESERVE_BYTES: usize = 1 << 20;
const PAGE_BYTES: usize = 64 << 10;
/// What the allocator keeps for itself of a region, at most.
const OVERHEAD_BYTES: usize = 4 << 10;

static mut RESERVE: [u8; RESERVE_BYTES] = [0; RESERVE_BYTES];

#[global_allocator]
static HEAP: TalcSyncCell<Reserve, WasmBinning> = TalcSyncCell::new_wasm(Reserve { claimed: false });

/// Gives the allocator the reserve first, and grows memory after that.
#[derive(Debug)]
struct Reserve {
    claimed: bool,
}

// SAFETY: it allocates nothing by itself.
unsafe impl Source for Reserve {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        if !talc.source.claimed {
            talc.source.claimed = true;
            // SAFETY: nothing else names the reserve, and it is claimed once.
            return unsafe { talc.claim((&raw mut RESERVE).cast(), RESERVE_BYTES) }.map(drop).ok_or(());
        }
        let needed = layout.size().saturating_add(layout.align()).saturating_add(OVERHEAD_BYTES);
        let pages = needed.div_ceil(PAGE_BYTES);
        let before = memory_grow::<0>(pages);
        if before == usize::MAX {
            return Err(());
        }
        // SAFETY: the pages have just been made, and nothing else knows of them.
        unsafe { talc.claim((before * PAGE_BYTES) as *mut u8, pages * PAGE_BYTES) }.map(drop).ok_or(())
    }
}
