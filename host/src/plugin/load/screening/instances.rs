//! Counts the instances that a component makes. Nested components multiply the count: if each of ten levels
//! instantiates the next one ten times, a kilobyte makes 10,000,000,000 instances, and the compiler expands each of
//! them.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef, Encoding,
    Instance, Parser, Payload,
};

use super::ScreeningError;

/// How many instances of modules and components a component may make. Other limits allow fewer instances of
/// modules.
pub(super) const LIMIT: u64 = 1_000;
/// The count of a component that is not defined in the file: it may make any number of instances.
const UNKNOWN: u64 = u64::MAX;

/// A module or component that is being read.
#[derive(Default)]
struct Scope {
    is_component: bool,
    /// How many instances it makes, including those that its instances make.
    instances: u64,
    /// The counts of the components in its index space.
    components: Vec<u64>,
}

/// The scopes that are being read, the outermost first.
type Scopes = Vec<Scope>;

/// Checks that a valid component makes a limited number of instances.
pub(super) fn check(component: &[u8]) -> Result<(), ScreeningError> {
    let mut scopes = Scopes::new();
    for payload in Parser::new(0).parse_all(component).map_while(Result::ok) {
        match payload {
            Payload::Version { encoding, .. } => {
                scopes.push(Scope { is_component: encoding == Encoding::Component, ..Scope::default() });
            }
            Payload::End(_) => {
                let Some(ended) = scopes.pop() else { break };
                if ended.instances > LIMIT {
                    return Err(ScreeningError::TooManyInstances);
                }
                if ended.is_component {
                    define(&mut scopes, ended.instances);
                }
            }
            section => read_section(section, &mut scopes),
        }
    }
    Ok(())
}

/// Counts the instances of a section of the innermost component, and adds components to its index space.
fn read_section(section: Payload<'_>, scopes: &mut Scopes) {
    match section {
        Payload::InstanceSection(instances) => {
            for instance in instances.into_iter().flatten() {
                if matches!(instance, Instance::Instantiate { .. }) {
                    count_instance(scopes, 0);
                }
            }
        }
        Payload::ComponentInstanceSection(instances) => {
            for instance in instances.into_iter().flatten() {
                if let ComponentInstance::Instantiate { component_index, .. } = instance {
                    let inner = instances_of(scopes, 0, component_index);
                    count_instance(scopes, inner);
                }
            }
        }
        Payload::ComponentAliasSection(aliases) => {
            for alias in aliases.into_iter().flatten() {
                match alias {
                    ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
                        let instances = instances_of(scopes, count, index);
                        define(scopes, instances);
                    }
                    ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => {
                        define(scopes, UNKNOWN);
                    }
                    _ => {}
                }
            }
        }
        Payload::ComponentImportSection(imports) => {
            for import in imports.into_iter().flatten() {
                if matches!(import.ty, ComponentTypeRef::Component(_)) {
                    define(scopes, UNKNOWN);
                }
            }
        }
        Payload::ComponentExportSection(exports) => {
            for export in exports.into_iter().flatten() {
                if export.kind == ComponentExternalKind::Component {
                    let instances = instances_of(scopes, 0, export.index);
                    define(scopes, instances);
                }
            }
        }
        _ => {}
    }
}

/// Adds an instance to the innermost component, and the `inner` instances that it makes.
fn count_instance(scopes: &mut Scopes, inner: u64) {
    if let Some(scope) = scopes.last_mut() {
        scope.instances = scope.instances.saturating_add(1).saturating_add(inner);
    }
}

/// Adds a component to the index space of the innermost component.
fn define(scopes: &mut Scopes, instances: u64) {
    if let Some(scope) = scopes.last_mut() {
        scope.components.push(instances);
    }
}

/// The count of a component in the index space of the scope that is `outward` levels above the innermost one.
fn instances_of(scopes: &Scopes, outward: u32, index: u32) -> u64 {
    let scope = scopes.iter().rev().nth(outward as usize);
    scope.and_then(|scope| scope.components.get(index as usize)).copied().unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use crate::plugin::load::screening::check;

    /// A component with `levels` of components, each of which instantiates the one below it several times.
    fn nested(levels: usize, times: usize) -> String {
        let mut text = "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
        for level in 1..=levels {
            let below = level - 1;
            let instances = "(instance (instantiate $below))".repeat(times);
            text += &format!("(component $c{level} (alias outer 1 $c{below} (component $below)) {instances})");
        }
        format!("(component {text} (instance (instantiate $c{levels})))")
    }

    /// A component that instantiates `$c` as often, in a scope with other text.
    fn repeated(text: &str, times: usize) -> String {
        format!("(component {text} {})", "(instance (instantiate $c))".repeat(times))
    }

    #[test]
    fn instances_are_counted_through_all_levels() {
        let exported_twice = "(component $a) (export $b \"b\" (component $a)) (export $c \"c\" (component $b))";
        let aliased_twice = "(component $a) (alias outer 0 $a (component $b)) (alias outer 0 $b (component $c))";
        let from_instance = "(component $a (component $b) (export \"b\" (component $b)))
            (instance $i (instantiate $a)) (alias export $i \"b\" (component $c))";
        for (text, is_accepted) in [
            (nested(1, 1), true),
            (nested(90, 1), true),
            (nested(3, 7), true),
            (nested(3, 10), false),
            (nested(9, 10), false),
            (nested(40, 100), false),
            (format!("(component (core module $m) {})", "(core instance (instantiate $m))".repeat(999)), true),
            (repeated("(component $c)", 1_000), true),
            (repeated("(component $c)", 1_001), false),
            (repeated("(component $c (core module $m) (core instance (instantiate $m)))", 500), true),
            (repeated("(component $c (core module $m) (core instance (instantiate $m)))", 501), false),
            (repeated("(core module) (core type (module)) (type (component)) (component $c)", 1), true),
            (repeated("(import \"c\" (component $c))", 0), true),
            (repeated("(import \"c\" (component $c))", 1), false),
            (repeated(from_instance, 0), true),
            (repeated(from_instance, 1), false),
            (repeated(exported_twice, 1), true),
            (repeated(aliased_twice, 1), true),
        ] {
            let bytes = wat::parse_str(&text).unwrap();
            let shown: String = text.chars().take(200).collect();
            assert_eq!(check(&bytes).is_ok(), is_accepted, "{shown}");
        }
    }
}
