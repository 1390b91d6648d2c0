//! The subscriptions: plain filters, shared subscriptions, and the program's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use mqttrs::QoS;

use super::session::ClientId;
use crate::topic::{FilterTree, SubscribeFilter, TopicFilter};

#[derive(Default)]
pub(super) struct Subscriptions {
    tree: FilterTree<Subscriber>,
    /// Shared subscriptions by their full string, group and filter.
    groups: BTreeMap<Arc<str>, Group>,
}

enum Subscriber {
    Client(ClientId, QoS),
    Group(Arc<str>),
    Local,
}

/// The members of one shared subscription; one member gets each message.
#[derive(Default)]
struct Group {
    members: Vec<(ClientId, QoS)>,
    next: usize,
}

/// The recipients of one message.
#[derive(Default)]
pub(super) struct Recipients {
    /// The highest QoS of each client's matching filters ([MQTT-3.3.5-1]).
    pub(super) clients: BTreeMap<ClientId, QoS>,
    pub(super) local: bool,
}

impl Subscriptions {
    /// Adds a filter; the client must not have it already.
    pub(super) fn add(&mut self, client: &ClientId, filter: &SubscribeFilter, qos: QoS) {
        if filter.group().is_none() {
            let subscriber = Subscriber::Client(client.clone(), qos);
            return self.tree.insert(filter.filter(), subscriber);
        }
        if !self.groups.contains_key(filter.as_str()) {
            let key: Arc<str> = filter.as_str().into();
            self.groups.insert(key.clone(), Group::default());
            self.tree.insert(filter.filter(), Subscriber::Group(key));
        }
        if let Some(group) = self.groups.get_mut(filter.as_str()) {
            group.members.push((client.clone(), qos));
        }
    }

    pub(super) fn remove(&mut self, client: &ClientId, filter: &SubscribeFilter) {
        let wire = filter.as_str();
        if filter.group().is_none() {
            self.tree.remove(
                filter.filter(),
                |s| matches!(s, Subscriber::Client(name, _) if name == client),
            );
            return;
        }
        let Some(group) = self.groups.get_mut(wire) else {
            return;
        };
        group.members.retain(|(name, _)| name != client);
        if group.members.is_empty() {
            self.groups.remove(wire);
            self.tree.remove(
                filter.filter(),
                |s| matches!(s, Subscriber::Group(key) if &**key == wire),
            );
        }
    }

    pub(super) fn add_local(&mut self, filter: &TopicFilter) {
        self.tree.insert(filter, Subscriber::Local);
    }

    /// The recipients of a message to `topic`. In a group, the next connected member in turn gets the message, or else
    /// the next member (MQTT 5.0 §4.8.2 leaves the choice to the server).
    pub(super) fn recipients(
        &mut self,
        topic: &str,
        is_connected: impl Fn(&ClientId) -> bool,
    ) -> Recipients {
        let mut recipients = Recipients::default();
        let Self { tree, groups } = self;
        tree.for_each_match(topic, &mut |subscriber| match subscriber {
            Subscriber::Client(client, qos) => recipients.add(client, *qos),
            Subscriber::Group(key) => {
                let chosen = groups.get_mut(key).and_then(|g| g.choose(&is_connected));
                if let Some((client, qos)) = chosen {
                    recipients.add(client, *qos);
                }
            }
            Subscriber::Local => recipients.local = true,
        });
        recipients
    }
}

impl Recipients {
    fn add(&mut self, client: &ClientId, qos: QoS) {
        match self.clients.get_mut(client) {
            Some(highest) if *highest as u8 >= qos as u8 => {}
            Some(highest) => *highest = qos,
            None => {
                self.clients.insert(client.clone(), qos);
            }
        }
    }
}

impl Group {
    fn choose(&mut self, is_connected: impl Fn(&ClientId) -> bool) -> Option<&(ClientId, QoS)> {
        let count = self.members.len();
        let in_turn = || (self.next..self.next + count).map(|n| n % count);
        let connected = |n: &usize| self.members.get(*n).is_some_and(|(c, _)| is_connected(c));
        let chosen = in_turn().find(connected).or_else(|| in_turn().next())?;
        self.next = (chosen + 1) % count;
        self.members.get(chosen)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn nothing_is_left_of_filters_that_nobody_has_any_more() {
        let mut subscriptions = Subscriptions::default();
        let clients: [ClientId; 2] = ["a".into(), "b".into()];
        let filters = ["x/+", "$share/g/x/+", "$share/h/x/+"];
        let filters = filters.map(|filter| SubscribeFilter::parse(filter).unwrap());
        for client in &clients {
            for filter in &filters {
                subscriptions.add(client, filter, QoS::AtMostOnce);
            }
        }
        assert_eq!(subscriptions.tree.len(), 4);
        for client in &clients {
            for filter in &filters {
                subscriptions.remove(client, filter);
                subscriptions.remove(client, filter);
            }
        }
        assert!(subscriptions.tree.is_empty() && subscriptions.groups.is_empty());
    }
}
