//! Stable sorting, compiled once for all types.
//!
//! The sorts of the standard library are compiled anew for each type and order, and take three to ten kilobytes each time.
//! Here a function that knows no type sorts places, and only what compares and what swaps is compiled for a type. What is
//! sorted for each of many messages or topics keeps the standard library's sort.

use std::cmp::Ordering;

/// Sorts as `slice::sort` does.
pub fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, T::cmp);
}

/// Sorts as `slice::sort_by_key` does.
pub fn sort_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    sort_by(items, |a, b| key(a).cmp(&key(b)));
}

/// Sorts as `slice::sort_by` does.
pub fn sort_by<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    if items.len() < 2 {
        return;
    }
    let mut destinations = destinations(items.len(), &|a, b| match (items.get(a), items.get(b)) {
        (Some(a), Some(b)) => compare(a, b),
        _ => Ordering::Equal,
    });
    arrange(&mut destinations, &mut |a, b| items.swap(a, b));
}

/// The place that each item goes to.
#[inline(never)]
fn destinations(length: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..length).collect();
    order.sort_by(|a, b| compare(*a, *b));
    let mut destinations = vec![0; length];
    for (destination, item) in order.into_iter().enumerate() {
        if let Some(place) = destinations.get_mut(item) {
            *place = destination;
        }
    }
    destinations
}

/// Moves each item to its place. Each swap brings at least one there.
#[inline(never)]
fn arrange(destinations: &mut [usize], swap: &mut dyn FnMut(usize, usize)) {
    for at in 0..destinations.len() {
        while let Some(destination) = destinations.get(at).copied().filter(|it| *it != at) {
            swap(at, destination);
            destinations.swap(at, destination);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sorts_as_the_standard_library_does() {
        let mut state = 1_u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8 % 9
        };
        for length in [0, 1, 2, 3, 19, 20, 21, 300] {
            let items: Vec<(u8, usize)> = (0..length).map(|n| (random(), n)).collect();
            let (mut ours, mut theirs) = (items.clone(), items.clone());
            sort_by_key(&mut ours, |(key, _)| std::cmp::Reverse(*key));
            theirs.sort_by_key(|(key, _)| std::cmp::Reverse(*key));
            assert_eq!(ours, theirs);
            sort(&mut ours);
            theirs.sort_unstable();
            assert_eq!(ours, theirs);
        }
    }
}
