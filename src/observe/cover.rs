//! The filters that are asked for at the broker.
//!
//! Several brokers send one copy of a message for each subscription that matches it, and MQTT 3.1.1 cannot tell a copy from
//! a second message. A [`Cover`] therefore holds no filter that another one covers, and says for which topics copies can
//! still come: those that two filters match of which neither covers the other.

use mcpmqtt_protocol::topic::TopicFilter;

/// The filters to subscribe to, so that everything wanted arrives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cover {
    filters: Vec<TopicFilter>,
    /// What two of the filters both match.
    overlaps: Vec<TopicFilter>,
}

/// What to send to the broker for one cover to become another.
///
/// `subscribe` goes first: then no topic is without a subscription in between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The filters to subscribe to.
    pub subscribe: Vec<TopicFilter>,
    /// The filters to unsubscribe from.
    pub unsubscribe: Vec<TopicFilter>,
}

impl Cover {
    /// The fewest of `wanted` that match every topic that `wanted` matches one by one, in their order.
    ///
    /// Of filters with the same meaning (`#` and `+/#`) the first one stays.
    pub fn plan(wanted: &[TopicFilter]) -> Self {
        let filters: Vec<TopicFilter> = wanted
            .iter()
            .enumerate()
            .filter(|(at, filter)| {
                !wanted.iter().enumerate().any(|(other_at, other)| {
                    other_at != *at
                        && other.covers(filter)
                        && (other_at < *at || !filter.covers(other))
                })
            })
            .map(|(_, filter)| filter.clone())
            .collect();
        let overlaps = filters
            .iter()
            .enumerate()
            .flat_map(|(at, one)| {
                let later = filters.iter().skip(at + 1);
                later.filter_map(|other| one.intersection(other))
            })
            .collect();
        Self { filters, overlaps }
    }

    /// The filters to subscribe to.
    pub fn filters(&self) -> &[TopicFilter] {
        &self.filters
    }

    /// What more than one of the filters matches, a filter for each pair. Empty when no copy can come.
    pub fn overlaps(&self) -> &[TopicFilter] {
        &self.overlaps
    }

    /// Whether a message of `topic` can arrive more than once.
    pub fn can_be_copied(&self, topic: &str) -> bool {
        self.overlaps.iter().any(|filter| filter.matches(topic))
    }

    /// Whether one of the filters matches `topic`.
    pub fn matches(&self, topic: &str) -> bool {
        self.filters.iter().any(|filter| filter.matches(topic))
    }

    /// What to ask the broker for so that `next` takes the place of this cover.
    pub fn change_to(&self, next: &Self) -> Change {
        let missing = |from: &Self, of: &Self| -> Vec<TopicFilter> {
            let gone = of.filters.iter().filter(|it| !from.filters.contains(it));
            gone.cloned().collect()
        };
        Change {
            subscribe: missing(self, next),
            unsubscribe: missing(next, self),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn filters(texts: &[&str]) -> Vec<TopicFilter> {
        texts
            .iter()
            .map(|text| TopicFilter::parse(text).unwrap())
            .collect()
    }

    #[test]
    fn filters_that_others_cover_are_dropped_and_overlaps_are_named() {
        for (wanted, kept, overlaps) in [
            (&[][..], &[][..], &[][..]),
            (&["a"], &["a"], &[]),
            (&["a", "a", "a"], &["a"], &[]),
            (&["a/b", "a/#", "a/+"], &["a/#"], &[]),
            (&["a", "a/#"], &["a/#"], &[]),
            (&["#", "+/#"], &["#"], &[]),
            (&["+/#", "#", "a"], &["+/#"], &[]),
            (&["#", "$SYS/#"], &["#", "$SYS/#"], &[]),
            (&["a/+", "b/+"], &["a/+", "b/+"], &[]),
            (&["a/+", "+/b"], &["a/+", "+/b"], &["a/b"]),
            (
                &["a/+/#", "+/b", "+/+/c", "a/b"],
                &["a/+/#", "+/b", "+/+/c"],
                &["a/b", "a/+/c"],
            ),
        ] {
            let cover = Cover::plan(&filters(wanted));
            assert_eq!(cover.filters(), filters(kept), "{wanted:?}");
            assert_eq!(cover.overlaps(), filters(overlaps), "{wanted:?}");
        }
    }

    #[test]
    fn every_topic_that_is_wanted_arrives_and_arrives_once_where_no_copy_is_announced() {
        let levels = ["a", "b", "+"];
        let mut pool = filters(&["#", "a/#", "+/b/#", "b/#"]);
        for one in levels {
            for two in levels {
                pool.extend(filters(&[&format!("{one}/{two}")]));
            }
        }
        let topics = ["a", "b", "a/a", "a/b", "b/a", "b/b", "a/b/c", "b/b/b", "c"];
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let wanted: Vec<_> = (0..random.usize(1..6))
                .filter_map(|_| pool.get(random.usize(..pool.len())).cloned())
                .collect();
            let cover = Cover::plan(&wanted);
            for topic in topics {
                let copies = cover.filters().iter().filter(|it| it.matches(topic));
                let copies = copies.count();
                assert_eq!(copies > 0, wanted.iter().any(|it| it.matches(topic)));
                assert_eq!(cover.matches(topic), copies > 0);
                assert_eq!(cover.can_be_copied(topic), copies > 1, "{wanted:?} {topic}");
            }
        }
    }

    #[test]
    fn a_change_subscribes_to_what_is_new_and_unsubscribes_from_what_is_gone() {
        let before = Cover::plan(&filters(&["a/b", "c"]));
        let after = Cover::plan(&filters(&["a/b", "a/#", "c"]));
        let change = before.change_to(&after);
        assert_eq!(change.subscribe, filters(&["a/#"]));
        assert_eq!(change.unsubscribe, filters(&["a/b"]));
        assert_eq!(after.change_to(&after), Change::default());
    }
}
