//! Lets queries whose response filters overlap take turns, first come first served.
//!
//! MQTT 3.1.1 has no correlation data: two queries that wait on one topic at once could each take
//! the other's reply.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use mcpmqtt_protocol::topic::TopicFilter;

/// All queries under way and in line, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Rc<RefCell<Line>>);

#[derive(Debug, Default)]
struct Line {
    places: VecDeque<Place>,
    last: u64,
}

#[derive(Debug)]
struct Place {
    number: u64,
    filter: TopicFilter,
    waker: Option<Waker>,
}

/// A place in the line, given up when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    number: u64,
    turns: Turns,
}

impl Turns {
    /// Takes a place in the line.
    pub(super) fn line_up(&self, filter: TopicFilter) -> Turn {
        let mut line = self.0.borrow_mut();
        line.last += 1;
        let number = line.last;
        line.places.push_back(Place {
            number,
            filter,
            waker: None,
        });
        Turn {
            number,
            turns: self.clone(),
        }
    }
}

impl Turn {
    /// Waits until no earlier query could be given this one's reply.
    pub(super) async fn come(&self) {
        poll_fn(|cx| {
            let mut line = self.turns.0.borrow_mut();
            if line.is_next(self.number) {
                return Poll::Ready(());
            }
            if let Some(place) = line
                .places
                .iter_mut()
                .find(|place| place.number == self.number)
            {
                place.waker = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}

impl Line {
    fn is_next(&self, number: u64) -> bool {
        let Some(own) = self.places.iter().find(|place| place.number == number) else {
            return true;
        };
        let earlier = self.places.iter().take_while(|place| place.number < number);
        !earlier
            .into_iter()
            .any(|place| place.filter.overlaps(&own.filter))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut line = self.turns.0.borrow_mut();
        let Some(at) = line
            .places
            .iter()
            .position(|place| place.number == self.number)
        else {
            return;
        };
        let Some(left) = line.places.remove(at) else {
            return;
        };
        for place in line.places.iter_mut().skip(at) {
            if place.filter.overlaps(&left.filter) {
                if let Some(waker) = place.waker.take() {
                    waker.wake();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use smol::future::{block_on, poll_once};

    use super::*;

    fn is_next(turn: &Turn) -> bool {
        block_on(poll_once(turn.come())).is_some()
    }

    #[test]
    fn overlapping_filters_take_turns_in_order_and_others_do_not_wait() {
        let turns = Turns::default();
        let filter = |text| TopicFilter::parse(text).unwrap();
        let first = turns.line_up(filter("r/+"));
        let second = turns.line_up(filter("r/a"));
        let third = turns.line_up(filter("r/b"));
        let other = turns.line_up(filter("s/a"));
        let fourth = turns.line_up(filter("r/a"));
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
