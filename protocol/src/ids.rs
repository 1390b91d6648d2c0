//! Packet identifiers: one space over PUBLISH, SUBSCRIBE and UNSUBSCRIBE ([MQTT-2.3.1-2]).

use mqttrs::Pid;

/// A set of packet identifiers, one bit each.
pub(super) struct IdSet {
    words: Vec<u64>,
    len: usize,
}

impl IdSet {
    pub(super) fn new() -> Self {
        Self {
            words: vec![0; WORDS],
            len: 0,
        }
    }

    /// Adds `id`; false when it was there.
    pub(super) fn insert(&mut self, id: u16) -> bool {
        let (word, bit) = place(id);
        match self.words.get_mut(word) {
            Some(w) if *w & bit == 0 => {
                *w |= bit;
                self.len += 1;
                true
            }
            _ => false,
        }
    }

    /// Removes `id`; false when it was not there.
    pub(super) fn remove(&mut self, id: u16) -> bool {
        let (word, bit) = place(id);
        match self.words.get_mut(word) {
            Some(w) if *w & bit != 0 => {
                *w &= !bit;
                self.len -= 1;
                true
            }
            _ => false,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn clear(&mut self) {
        self.words.fill(0);
        self.len = 0;
    }
}

/// Allocates identifiers that are not in use, in turn, never 0 ([MQTT-2.3.1-1]).
pub(super) struct PacketIds {
    live: IdSet,
    last: u16,
}

impl PacketIds {
    pub(super) fn new() -> Self {
        Self {
            live: IdSet::new(),
            last: 0,
        }
    }

    /// The next free identifier after the last one given, or `None` when all 65,535 are live.
    pub(super) fn allocate(&mut self) -> Option<Pid> {
        if self.live.len() >= usize::from(u16::MAX) {
            return None;
        }
        let mut id = self.last;
        loop {
            id = id.checked_add(1).unwrap_or(1);
            if self.live.insert(id) {
                self.last = id;
                return Pid::try_from(id).ok();
            }
        }
    }

    /// Frees `id`: only after its PUBACK, PUBCOMP, SUBACK or UNSUBACK ([MQTT-2.3.1-3]), or with
    /// the session.
    pub(super) fn release(&mut self, id: Pid) {
        self.live.remove(id.get());
    }

    pub(super) fn live(&self) -> usize {
        self.live.len()
    }
}

fn place(id: u16) -> (usize, u64) {
    (usize::from(id >> 6), 1 << (id & 63))
}

const WORDS: usize = 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ids_are_never_zero_never_live_twice_and_wrap_after_65535() {
        let mut ids = PacketIds::new();
        for expected in 1..=u16::MAX {
            assert_eq!(ids.allocate().unwrap().get(), expected);
        }
        assert_eq!(ids.allocate(), None, "all are live");
        ids.release(Pid::try_from(40_000).unwrap());
        assert_eq!(ids.allocate().unwrap().get(), 40_000);
        ids.release(Pid::try_from(5).unwrap());
        ids.release(Pid::try_from(65_535).unwrap());
        assert_eq!(
            ids.allocate().unwrap().get(),
            65_535,
            "in turn, from the last one on"
        );
        assert_eq!(ids.allocate().unwrap().get(), 5);
        assert_eq!(ids.live(), 65_535);
    }
}
