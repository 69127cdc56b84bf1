//! Tests that no invocation sees what another one left behind.
//!
//! The pool resets only those parts of an instance's memory and tables that the kernel reports as touched, which makes
//! a new instance for each event cheap. Here instances write to random parts of their memory, tables and globals, end
//! in every way, and are followed by others in the same slots. Each must find the same state as an instance that
//! was never in a pool.

use proptest::collection::vec;
use proptest::prelude::*;
use wasmtime::component::{Component, Instance, Linker};
use wasmtime::{Config, Engine, Result, Store, Trap};

use super::engine::{EngineConfig, settings};

/// A memory that is larger than what the pool keeps resident, a table, a global, and data that lies apart.
const GUEST: &str = r#"
(component
  (core module $guest
    (memory 20 64)
    (table $table 4096 funcref)
    (global $global (mut i64) (i64.const 7))
    (elem (i32.const 10) func $entry)
    (data (i32.const 100) "what every instance begins with")
    (data (i32.const 200001) "and this lies on a page of its own")
    (func $entry (export "entry"))
    (func (export "write") (param $at i32) (param $value i32)
      (i32.store8 (local.get $at) (local.get $value)))
    (func (export "fill") (param $at i32) (param $value i32) (param $size i32)
      (memory.fill (local.get $at) (local.get $value) (local.get $size)))
    (func (export "grow") (param $pages i32)
      (drop (memory.grow (local.get $pages))))
    (func (export "set-table") (param $at i32)
      (table.set $table (local.get $at) (ref.func $entry)))
    (func (export "set-global") (param $value i64)
      (global.set $global (local.get $value)))
    (func (export "trap") unreachable)
    (func (export "spin") (loop $on (br $on)))
    ;; FNV-1a over the memory's words, its size, the table's entries and the global.
    (func (export "digest") (result i64)
      (local $at i32) (local $end i32) (local $sum i64)
      (local.set $sum (i64.const 0xcbf29ce484222325))
      (local.set $end (i32.mul (memory.size) (i32.const 65536)))
      (loop $words
        (local.set $sum (i64.mul
          (i64.xor (local.get $sum) (i64.load (local.get $at)))
          (i64.const 0x100000001b3)))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $words (i32.lt_u (local.get $at) (local.get $end))))
      (local.set $at (i32.const 0))
      (loop $entries
        (local.set $sum (i64.mul
          (i64.xor (local.get $sum) (i64.extend_i32_u (ref.is_null (table.get $table (local.get $at)))))
          (i64.const 0x100000001b3)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $entries (i32.lt_u (local.get $at) (i32.const 4096))))
      (i64.xor (local.get $sum) (i64.add (global.get $global) (i64.extend_i32_u (memory.size)))))
  )
  (core instance $guest (instantiate $guest))
  (func (export "write") (param "at" u32) (param "value" u32) (canon lift (core func $guest "write")))
  (func (export "fill") (param "at" u32) (param "value" u32) (param "size" u32) (canon lift (core func $guest "fill")))
  (func (export "grow") (param "pages" u32) (canon lift (core func $guest "grow")))
  (func (export "set-table") (param "at" u32) (canon lift (core func $guest "set-table")))
  (func (export "set-global") (param "value" s64) (canon lift (core func $guest "set-global")))
  (func (export "trap") (canon lift (core func $guest "trap")))
  (func (export "spin") (canon lift (core func $guest "spin")))
  (func (export "digest") (result s64) (canon lift (core func $guest "digest")))
)"#;

/// The initial size of the memory, in bytes.
const SIZE: u32 = 20 << 16;

/// A change that an instance makes to its own state.
#[derive(Clone, Debug)]
enum Action {
    Write(u32),
    Fill(u32, u32),
    SetTable(u32),
    SetGlobal,
}

/// How an instance ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Returns,
    Traps,
    RunsOutOfTime,
}

/// The actions of one instance.
#[derive(Clone, Debug)]
struct Lifetime {
    /// By how many pages its memory grows first.
    grows: u32,
    actions: Vec<Action>,
    end: End,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (0..SIZE).prop_map(Action::Write),
        1 => (0..SIZE, 1..SIZE).prop_map(|(at, size)| Action::Fill(at, size.min(SIZE - at))),
        2 => (0..4_096_u32).prop_map(Action::SetTable),
        1 => Just(Action::SetGlobal),
    ]
}

fn lifetime() -> impl Strategy<Value = Lifetime> {
    let end = prop_oneof![6 => Just(End::Returns), 2 => Just(End::Traps), 1 => Just(End::RunsOutOfTime)];
    (prop_oneof![2 => Just(0), 1 => 1..44_u32], vec(action(), 0..200), end).prop_map(|(grows, actions, end)| Lifetime {
        grows,
        actions,
        end,
    })
}

struct TestInstance {
    store: Store<()>,
    instance: Instance,
}

impl TestInstance {
    fn new(engine: &Engine, component: &Component) -> Self {
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = Linker::new(engine).instantiate(&mut store, component).unwrap();
        Self { store, instance }
    }

    fn call<P, R>(&mut self, name: &str, parameters: P) -> Result<R>
    where
        P: wasmtime::component::ComponentNamedList + wasmtime::component::Lower,
        R: wasmtime::component::ComponentNamedList + wasmtime::component::Lift,
    {
        self.instance.get_typed_func::<P, R>(&mut self.store, name)?.call(&mut self.store, parameters)
    }

    /// The digest of its state, once its memory has grown.
    fn digest(&mut self, grows: u32) -> i64 {
        self.call::<_, ()>("grow", (grows,)).unwrap();
        self.call::<_, (i64,)>("digest", ()).unwrap().0
    }

    fn perform(&mut self, action: &Action) {
        match *action {
            Action::Write(at) => self.call::<_, ()>("write", (at, 0x5a_u32)),
            Action::Fill(at, size) => self.call("fill", (at, 0xa5_u32, size)),
            Action::SetTable(at) => self.call("set-table", (at,)),
            Action::SetGlobal => self.call("set-global", (-1_i64,)),
        }
        .unwrap();
    }

    fn end(mut self, end: End) {
        match end {
            End::Returns => {}
            End::Traps => {
                let trap = self.call::<_, ()>("trap", ()).unwrap_err();
                assert_eq!(trap.downcast_ref(), Some(&Trap::UnreachableCodeReached));
            }
            End::RunsOutOfTime => {
                self.store.set_epoch_deadline(0);
                let trap = self.call::<_, ()>("spin", ()).unwrap_err();
                assert_eq!(trap.downcast_ref(), Some(&Trap::Interrupt));
            }
        }
    }
}

fn component(engine: &Engine) -> Component {
    Component::new(engine, wat::parse_str(GUEST).unwrap()).unwrap()
}

/// The digests of instances that were never in a pool, by the growth of their memory.
fn fresh_digests() -> Vec<i64> {
    let engine = Engine::new(&Config::new()).unwrap();
    let component = component(&engine);
    (0..=44).map(|grows| TestInstance::new(&engine, &component).digest(grows)).collect()
}

#[test]
fn no_invocation_sees_what_another_one_left() {
    let config = EngineConfig {
        concurrency: 1,
        memory_bytes: 64 << 16,
        source_lines: false,
        wasi_0_3: true,
        labelled_imports: true,
    };
    let engine = Engine::new(&settings(config)).unwrap();
    let component = component(&engine);
    let fresh_digests = fresh_digests();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(64));
    let result = runner.run(&vec(lifetime(), 1..12), |lifetimes| {
        for Lifetime { grows, actions, end } in lifetimes {
            let mut live = TestInstance::new(&engine, &component);
            let found = live.digest(grows);
            prop_assert_eq!(found, fresh_digests[usize::try_from(grows).unwrap()], "memory grown by {} pages", grows);
            actions.iter().for_each(|action| live.perform(action));
            live.end(end);
        }
        Ok(())
    });
    result.unwrap();
}
