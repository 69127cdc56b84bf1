//! A heap for guests without the SDK. Like the SDK's, it uses memory that exists from the start.

#[global_allocator]
static HEAP: talc::wasm::WasmArenaTalc = {
    static mut MEMORY: [u8; 1 << 20] = [0; 1 << 20];
    // SAFETY: nothing else names the memory.
    unsafe { talc::wasm::new_wasm_arena_allocator(&raw mut MEMORY) }
};
