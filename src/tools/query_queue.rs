//! Serialises queries whose response filters overlap, first come first served.
//!
//! MQTT 3.1.1 has no correlation data: two queries that wait on one topic at the same time could each take the reply to
//! the other.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use mcpmqtt_protocol::topic::TopicFilter;

use crate::local::notify::Notify;

/// All queries, active and waiting, oldest first. Cheap to clone; clones share the queue.
#[derive(Debug, Clone, Default)]
pub(super) struct QueryQueue(Rc<Queries>);

#[derive(Debug, Default)]
struct Queries {
    queries: RefCell<VecDeque<Rc<QueuedQuery>>>,
    last: Cell<u64>,
}

#[derive(Debug)]
struct QueuedQuery {
    number: u64,
    filter: TopicFilter,
    /// Notified when an earlier query has ended.
    changed: Notify,
}

/// A query's position in the queue, given up when dropped.
pub(super) struct QueryTurn {
    query: Rc<QueuedQuery>,
    queue: QueryQueue,
}

impl QueryQueue {
    /// Adds a query to the end of the queue.
    pub(super) fn line_up(&self, filter: TopicFilter) -> QueryTurn {
        let number = self.0.last.get() + 1;
        self.0.last.set(number);
        let query = Rc::new(QueuedQuery {
            number,
            filter,
            changed: Notify::default(),
        });
        self.0.queries.borrow_mut().push_back(Rc::clone(&query));
        QueryTurn {
            query,
            queue: self.clone(),
        }
    }
}

impl QueryTurn {
    /// Waits until no earlier query could receive the reply to this one.
    pub(super) async fn come(&self) {
        let is_next = || {
            let queries = self.queue.0.queries.borrow();
            let mut earlier = queries
                .iter()
                .take_while(|it| it.number < self.query.number);
            !earlier.any(|it| it.filter.overlaps(&self.query.filter))
        };
        self.query.changed.until(is_next).await;
    }
}

impl Drop for QueryTurn {
    fn drop(&mut self) {
        let mut queries = self.queue.0.queries.borrow_mut();
        queries.retain(|it| it.number != self.query.number);
        for later in queries.iter().filter(|it| it.number > self.query.number) {
            if later.filter.overlaps(&self.query.filter) {
                later.changed.notify();
            }
        }
    }
}

impl fmt::Debug for QueryTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueryTurn({})", self.query.number)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use smol::future::{block_on, poll_once};

    use super::*;

    fn is_next(turn: &QueryTurn) -> bool {
        block_on(poll_once(turn.come())).is_some()
    }

    #[test]
    fn overlapping_filters_take_turns_in_order_and_others_do_not_wait() {
        let queue = QueryQueue::default();
        let filter = |text| TopicFilter::parse(text).unwrap();
        let first = queue.line_up(filter("r/+"));
        let second = queue.line_up(filter("r/a"));
        let third = queue.line_up(filter("r/b"));
        let other = queue.line_up(filter("s/a"));
        let fourth = queue.line_up(filter("r/a"));
        assert!(is_next(&first) && is_next(&other));
        assert!(!is_next(&second) && !is_next(&third) && !is_next(&fourth));
        drop(first);
        assert!(
            is_next(&second) && is_next(&third),
            "they do not overlap each other"
        );
        assert!(!is_next(&fourth));
        drop(second);
        assert!(is_next(&fourth));
    }
}
