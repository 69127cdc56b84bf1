//! The dependencies between modules, level by level.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::source::{Crate, ModPath};

/// A dependency on a sibling module. Nested modules count as parts of the siblings.
#[derive(Debug)]
pub(crate) struct Dependency {
    /// The file with the dependency.
    pub(crate) file: String,
    /// The item that it names, from the crate's root.
    pub(crate) item: String,
}

/// The dependencies between the modules inside one module, by their names.
pub(crate) type Level = BTreeMap<(String, String), Dependency>;

/// The levels of a crate, by the containing module.
pub(crate) type Levels = BTreeMap<ModPath, Level>;

/// The dependencies between sibling modules, by the containing module. A module and its nested modules count as one, so
/// they may use each other.
pub(crate) fn levels(source: &Crate) -> Levels {
    let mut levels = Levels::new();
    for (from, module) in &source.modules {
        for item in &module.names {
            let to = source.owner(item);
            let common = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
            let (Some(user), Some(used)) = (from.get(common), to.get(common)) else { continue };
            let uses = || Dependency { file: module.file.display().to_string(), item: item.join("::") };
            let level = levels.entry(from[..common].to_vec()).or_default();
            level.entry((user.clone(), used.clone())).or_insert_with(uses);
        }
    }
    levels
}

/// A shortest cycle for each group of modules that all depend on one another.
pub(crate) fn cycles(level: &Level) -> Vec<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut cycles = Vec::new();
    for (from, _) in level.keys() {
        if seen.contains(from) {
            continue;
        }
        if let Some(cycle) = shortest_cycle(level, from) {
            seen.extend(cycle.iter().cloned());
            cycles.push(cycle);
        }
    }
    cycles
}

/// The shortest path from a module back to itself.
fn shortest_cycle(level: &Level, start: &str) -> Option<Vec<String>> {
    let mut ways = VecDeque::from([vec![start]]);
    let mut reached = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for (_, used) in level.keys().filter(|(user, _)| way.last() == Some(&user.as_str())) {
            if used == start {
                return Some(way.into_iter().map(str::to_owned).collect());
            }
            if reached.insert(used.as_str()) {
                ways.push_back([&way[..], &[used]].concat());
            }
        }
    }
    None
}
