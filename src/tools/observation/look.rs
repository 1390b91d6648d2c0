//! A look at filters, while they are subscribed to and read.

use std::rc::Rc;

use mcpmqtt_protocol::topic::TopicFilter;

use super::ObservationState;

/// Somebody looks at filters: what is watched for it is used as long as this lives, and what comes is kept.
#[derive(Debug)]
pub(in crate::tools) struct Look {
    state: Rc<ObservationState>,
    filters: Vec<TopicFilter>,
}

impl Look {
    pub(super) fn at(state: &Rc<ObservationState>, filters: Vec<TopicFilter>) -> Look {
        state.looks.borrow_mut().extend(filters.iter().cloned());
        Look {
            state: Rc::clone(state),
            filters,
        }
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        let mut looks = self.state.looks.borrow_mut();
        let mut are_watched = true;
        for filter in &self.filters {
            let place = looks.iter().position(|it| it == filter);
            place.map(|place| looks.swap_remove(place));
            are_watched &= self.state.is_covered(filter, false);
        }
        drop(looks);
        if !are_watched {
            self.state.forget_unwatched();
        }
    }
}
