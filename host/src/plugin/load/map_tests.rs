//! Values of the component model's type `map` are limited as lists are.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wasmtime::component::{Component, Linker};
use wasmtime::{Store, StoreContextMut};

use super::screening;
use crate::plugin::invocation::InstanceData;
use crate::plugin::invocation::guest_call::CallModel;
use crate::plugin::run::engine::{self, EngineConfig};
use crate::plugin::run::linked::give_time;

/// A component that passes a map of `$pairs` pairs through another component to the host.
const COMPONENT: &str = r#"(component
    (import "take" (func $take (param "map" (map u32 u32))))
    (component $inner
        (import "take" (func $take (param "map" (map u32 u32))))
        (core module $memory (memory (export "memory") 1024)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0)))
        (core instance $memory (instantiate $memory))
        (core func $take (canon lower (func $take) (memory $memory "memory")))
        (core module $code (import "" "take" (func $take (param i32 i32)))
            (func (export "pass") (param i32 i32) (call $take (local.get 0) (local.get 1))))
        (core instance $code (instantiate $code (with "" (instance (export "take" (func $take))))))
        (func (export "pass") (param "map" (map u32 u32))
            (canon lift (core func $code "pass") (memory $memory "memory") (realloc (func $memory "realloc")))))
    (component $outer
        (import "pass" (func $pass (param "map" (map u32 u32))))
        (core module $memory (memory (export "memory") 1024))
        (core instance $memory (instantiate $memory))
        (core func $pass (canon lower (func $pass) (memory $memory "memory")))
        (core module $code (import "" "pass" (func $pass (param i32 i32)))
            (func (export "run") (param $pairs i32) (call $pass (i32.const 0) (local.get $pairs))))
        (core instance $code (instantiate $code (with "" (instance (export "pass" (func $pass))))))
        (func (export "run") (param "pairs" u32) (canon lift (core func $code "run"))))
    (instance $inner (instantiate $inner (with "take" (func $take))))
    (instance $outer (instantiate $outer (with "pass" (func $inner "pass"))))
    (export "run" (func $outer "run")))"#;

#[test]
fn a_huge_map_fails_the_call_before_the_host_copies_it() {
    let bytes = wat::parse_str(COMPONENT).unwrap();
    screening::check(&bytes).unwrap();
    let config = EngineConfig {
        concurrency: 1,
        memory_bytes: 128 << 20,
        source_lines: false,
        wasi_0_3: true,
        labelled_imports: true,
    };
    let engine = engine::start(config, CallModel::Synchronous).unwrap();
    let component = Component::new(&engine, &bytes).unwrap();
    let taken = Arc::new(AtomicUsize::default());
    let count = Arc::clone(&taken);
    let mut linker = Linker::<InstanceData>::new(&engine);
    let take = move |_: StoreContextMut<'_, InstanceData>, (map,): (HashMap<u32, u32>,)| {
        count.fetch_add(map.len(), Ordering::Relaxed);
        Ok(())
    };
    linker.root().func_wrap("take", take).unwrap();
    let run = |pairs: u32| {
        let mut store = Store::new(&engine, InstanceData::new(256 << 20));
        store.limiter(|data| &mut data.meter);
        give_time(&mut store, Duration::from_secs(30));
        let instance = linker.instantiate(&mut store, &component)?;
        let run = instance.get_typed_func::<(u32,), ()>(&mut store, "run")?;
        run.call(&mut store, (pairs,))
    };
    run(2).unwrap();
    // All keys are the same.
    assert_eq!(taken.load(Ordering::Relaxed), 1);
    let refused = format!("{:#}", run(4_000_000).unwrap_err());
    assert!(refused.contains("fuel"), "{refused}");
    assert_eq!(taken.load(Ordering::Relaxed), 1);
}
