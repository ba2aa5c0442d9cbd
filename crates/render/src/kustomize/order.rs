//! The order of the output: by kind unless the outermost kustomization says `fifo`.

use super::fields::{FIRST, LAST, rank, sort_text};
use super::resource::{Id, Resource};
use super::spec::{LegacySortOptions, SortOptions};

/// Sorts objects as asked.
pub(crate) fn sort(resources: &mut [Resource], options: Option<&SortOptions>) -> Result<(), String> {
    let listed = LegacySortOptions {
        order_first: FIRST.iter().map(|kind| (*kind).to_owned()).collect(),
        order_last: LAST.iter().map(|kind| (*kind).to_owned()).collect(),
    };
    let order = match options.map(|options| (options.order.as_str(), &options.legacy_sort_options)) {
        None | Some(("legacy", None)) => &listed,
        Some(("legacy", Some(own))) => own,
        Some(("fifo", None)) => return Ok(()),
        Some(("fifo", Some(_))) => return Err("legacySortOptions is for the order legacy only".to_owned()),
        Some((other, _)) => return Err(format!("order: {other:?} must be fifo or legacy")),
    };
    resources.sort_by_cached_key(|resource| {
        let id = resource.id();
        (rank(&id.gvk.kind, &order.order_first, &order.order_last), place(&id))
    });
    Ok(())
}

/// A real Namespace stands before what else is called so; the group, version and kind count before names.
fn place(id: &Id) -> (bool, String, String) {
    let is_other_namespace = id.gvk.kind == "Namespace" && !id.gvk.group.is_empty();
    let or = |text: &str, none: &str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
    (is_other_namespace, sort_text(&id.gvk), format!("{}|{}", or(&id.namespace, "~X"), or(&id.name, "~N")))
}
