//! Chooses which events of cause trees are shown if there are too many.

use std::collections::HashMap;

/// The events that are shown, by their index.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// The shown events, in order.
    pub(super) chosen: Vec<usize>,
    /// The number of omitted events.
    pub(super) omitted: u64,
    /// The number of omitted events by their closest shown ancestor.
    pub(super) omitted_below: HashMap<usize, u64>,
}

/// Selects events. The requested one and its ancestors are always selected; then its descendants, and then other
/// events, in order.
///
/// `causes` has the cause of each event, by index. A cause has a smaller index than the events that it led to. Every
/// shown event is shown with its cause.
pub(super) fn select(causes: &[Option<usize>], asked: Option<usize>, limit: usize) -> Selection {
    let mut is_chosen = vec![false; causes.len()];
    let mut count = 0;
    let mut next = asked;
    while let Some(index) = next {
        (is_chosen[index], count) = (true, count + 1);
        next = causes[index];
    }
    if let Some(asked) = asked {
        let mut is_below = vec![false; causes.len()];
        for index in asked + 1..causes.len() {
            is_below[index] = causes[index].is_some_and(|cause| cause == asked || is_below[cause]);
            if is_below[index] && count < limit {
                (is_chosen[index], count) = (true, count + 1);
            }
        }
    }
    for chosen in &mut is_chosen {
        if !*chosen && count < limit {
            (*chosen, count) = (true, count + 1);
        }
    }
    let mut selection = Selection::default();
    // The closest shown event above each one, or itself.
    let mut closest: Vec<Option<usize>> = Vec::with_capacity(causes.len());
    for (index, cause) in causes.iter().enumerate() {
        if is_chosen[index] {
            selection.chosen.push(index);
            closest.push(Some(index));
            continue;
        }
        let above = cause.and_then(|cause| closest[cause]);
        selection.omitted += 1;
        if let Some(above) = above {
            *selection.omitted_below.entry(above).or_default() += 1;
        }
        closest.push(above);
    }
    selection
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of 600 events in which each one led to the next three.
    fn wide() -> Vec<Option<usize>> {
        (0..600).map(|index: usize| index.checked_sub(1).map(|before| before / 3)).collect()
    }

    /// Two trees: the first event of each led to all others of the tree.
    fn flat(first: usize, second: usize) -> Vec<Option<usize>> {
        let tree = |offset: usize, size: usize| (0..size).map(move |index| (index > 0).then_some(offset));
        tree(0, first).chain(tree(first, second)).collect()
    }

    fn chain(length: usize) -> Vec<Option<usize>> {
        (0..length).map(|index: usize| index.checked_sub(1)).collect()
    }

    #[test]
    fn the_asked_event_its_causes_and_what_it_led_to_come_first() {
        // The events, the requested one, the limit, some events that are shown, some that are not, and the number of
        // omitted ones.
        type Case = (Vec<Option<usize>>, Option<usize>, usize, Vec<usize>, Vec<usize>, u64);
        let cases: Vec<Case> = vec![
            (wide(), None, 1_000, vec![0, 599], vec![], 0),
            (wide(), None, 200, vec![0, 199], vec![200, 599], 400),
            // The last event, with its causes 199, 66, 21, 6, 1 and 0.
            (wide(), Some(599), 200, vec![599, 199, 66, 21, 6, 1, 0, 197], vec![198, 598], 400),
            (wide(), Some(599), 1, vec![599, 199, 66, 21, 6, 1, 0], vec![2, 598], 593),
            // What 150 led to comes before what is older.
            (wide(), Some(150), 8, vec![150, 49, 16, 5, 1, 0, 451, 452], vec![453, 2], 592),
            (flat(500, 101), Some(600), 200, vec![600, 500, 0, 197], vec![198, 501], 401),
            (chain(500), Some(499), 200, vec![0, 250, 499], vec![], 0),
            (chain(500), Some(0), 200, vec![0, 199], vec![200], 300),
            (Vec::new(), None, 200, vec![], vec![], 0),
        ];
        for (number, (causes, asked, limit, shown, hidden, omitted)) in cases.into_iter().enumerate() {
            let selection = select(&causes, asked, limit);
            let is_shown = |index: &usize| selection.chosen.contains(index);
            assert!(shown.iter().all(is_shown), "{number}: {:?}", selection.chosen);
            assert!(!hidden.iter().any(is_shown), "{number}: {:?}", selection.chosen);
            assert_eq!(selection.omitted, omitted, "{number}");
            assert_eq!(selection.chosen.len() as u64 + omitted, causes.len() as u64, "{number}");
            assert!(selection.chosen.is_sorted(), "{number}");
            for index in &selection.chosen {
                assert!(causes[*index].is_none_or(|cause| is_shown(&cause)), "{number}: {index} without its cause");
            }
        }
    }

    #[test]
    fn omitted_events_are_counted_below_the_closest_shown_one() {
        let selection = select(&flat(500, 101), Some(600), 200);
        // All of the second tree except its first event and the requested one.
        assert_eq!(selection.omitted_below, [(0, 302), (500, 99)].into());
        let selection = select(&chain(500), Some(0), 200);
        assert_eq!(selection.omitted_below, [(199, 300)].into());
        // Trees of which nothing is shown.
        let selection = select(&[None, None, Some(1), None], None, 1);
        assert_eq!((selection.omitted, selection.omitted_below.len()), (3, 0));
    }
}
