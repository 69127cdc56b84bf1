//! Imports that a component has given a label of its own, so that it can import one interface several times. The name
//! of such an import is the label, and an annotation has the name of the interface (`implements` of the component
//! model).

use std::sync::Arc;

use wasmtime::component::{Component, Linker};

use super::draft_interfaces::{
    BatchDraft, Cursors, link_atomics, link_batch, link_config, link_contract_atomics, link_logging, link_store,
};
use crate::plugin::invocation::InstanceData;
use crate::plugin::manifest::labelled_imports::{LabelledImport, LabelledKind};

/// The labelled imports of a component that this host can link.
pub(in crate::plugin) fn imports_of(component: &Component) -> Vec<LabelledImport> {
    let component_type = component.component_type();
    let imports = component_type.imports(component.engine());
    imports.filter_map(|(label, import)| LabelledImport::new(label, import.implements?)).collect()
}

/// Links labelled imports. Their settings are looked up at each call.
pub(super) fn link(
    linker: &mut Linker<InstanceData>,
    imports: &[LabelledImport],
    draft: BatchDraft,
) -> wasmtime::Result<()> {
    for LabelledImport { label, interface, kind } in imports {
        let instance = &mut linker.instance(label)?;
        let label = Some(Arc::from(label.as_str()));
        let is_of_contract = interface.ends_with("-draft2");
        match kind {
            LabelledKind::Bucket if is_of_contract => link_store(instance, Cursors::Keys, label)?,
            LabelledKind::Bucket => link_store(instance, Cursors::Numbers, label)?,
            LabelledKind::BucketFunctions if interface.contains("/batch@") => {
                // The later draft has only the later name.
                link_batch(instance, if is_of_contract { draft } else { BatchDraft::Earlier })?;
            }
            LabelledKind::BucketFunctions if is_of_contract => link_contract_atomics(instance)?,
            LabelledKind::BucketFunctions => link_atomics(instance)?,
            LabelledKind::Config => link_config(instance, label)?,
            LabelledKind::Logging => link_logging(instance, label)?,
        }
    }
    Ok(())
}
