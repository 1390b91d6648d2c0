//! Change notifications and their subscribers.
//!
//! Promises: a subscriber gets exactly the kinds and resources that it asked for; a stream that does not keep up is
//! ended, so that it never has an unnoticed gap; a resource is watched once for all its subscribers, as long as it has
//! one, and the watch counts against the share of one of them.
//! Does not: coalesce notifications; the watcher decides how often it notifies.

mod read_error;
mod subscriber;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::{Rc, Weak};

use smol::future::BoxedLocal;
use smol::lock::OnceCell;

pub use self::read_error::ReadError;
pub(in crate::mcp) use self::subscriber::{Lists, SUBSCRIPTION_ID, Subscriber};
use super::caller::Caller;
use super::places::{Place, Places};

/// Reports changes to the subscribed clients. Cheap to clone; the notifier in the
/// [`Catalog`](crate::mcp::catalog::Catalog) and its clones reach the clients.
#[derive(Clone, Debug)]
pub struct Notifier(Rc<Hub>);

/// Keeps a resource watched; dropping the guard ends the watch.
pub struct WatchGuard(#[expect(dead_code, reason = "held, not read")] Box<dyn Any>);

/// The functions that permit and start the watch of a resource.
pub struct Watcher {
    /// Decides for every subscriber whether it may watch the URI.
    permits: Permits,
    /// Starts the watch, once for all subscribers.
    start: Start,
}

type Permits = Box<dyn Fn(&str, &Caller) -> Result<(), ReadError>>;

/// Starts to watch the resource with this URI; the guard is kept as long as the resource has a subscriber.
type Start = Box<dyn Fn(String) -> BoxedLocal<Result<WatchGuard, ReadError>>>;

/// A resource with at least one subscriber.
pub(in crate::mcp) struct WatchedResource {
    uri: Rc<str>,
    watch: OnceCell<WatchGuard>,
    /// The place of the first subscriber. A resource that never changes takes none.
    place: RefCell<Option<Place>>,
    /// The subscribers in the order of their subscriptions.
    listeners: RefCell<Vec<Rc<Listener>>>,
}

/// One subscriber of a watched resource.
struct Listener {
    caller: Caller,
    /// Set when the subscription is over: the reason.
    over: RefCell<Option<ReadError>>,
}

/// A caller's subscription to a resource, until dropped.
pub(in crate::mcp) struct Listening {
    watched: Rc<WatchedResource>,
    listener: Rc<Listener>,
}

#[derive(Debug)]
struct Hub {
    subscribers: RefCell<Vec<Weak<Subscriber>>>,
    watched: RefCell<HashMap<Rc<str>, Weak<WatchedResource>>>,
    places: Places,
    closed: Cell<bool>,
}

impl Notifier {
    /// A notifier without subscribers; `watches` limits how many resources are watched at once.
    #[must_use]
    pub fn new(watches: Places) -> Notifier {
        Notifier(Rc::new(Hub {
            subscribers: RefCell::default(),
            watched: RefCell::default(),
            places: watches,
            closed: Cell::new(false),
        }))
    }

    /// Notifies subscribers that the list of tools has changed.
    pub fn tools_changed(&self) {
        self.list_changed("notifications/tools/list_changed", |lists| lists.tools);
    }

    /// Notifies subscribers that the list of prompts has changed.
    pub fn prompts_changed(&self) {
        self.list_changed("notifications/prompts/list_changed", |lists| lists.prompts);
    }

    /// Notifies subscribers that the list of resources or templates has changed.
    pub fn resources_changed(&self) {
        self.list_changed("notifications/resources/list_changed", |lists| {
            lists.resources
        });
    }

    /// Notifies subscribers that a resource has changed; `uri` is the URI that its watcher got.
    pub fn resource_updated(&self, uri: &str) {
        let wants = |subscriber: &Subscriber| subscriber.resources.borrow().contains_key(uri);
        self.tell(wants, "notifications/resources/updated", Some(uri));
    }

    /// Ends subscriptions to the resources that `is_withdrawn` names for a caller, until the caller subscribes again
    /// and the watcher permits it. A `subscriptions/listen` stream that loses a resource ends, so that its client can
    /// ask which resources it may still watch.
    pub fn withdraw(&self, is_withdrawn: impl Fn(&str, &Caller) -> bool) {
        let why = ReadError::Refused("it may not be read any more".into());
        self.0.watched.borrow_mut().retain(|uri, watched| {
            let Some(watched) = watched.upgrade() else {
                return false;
            };
            watched.end(&why, |caller| is_withdrawn(uri, caller));
            watched.has_listeners()
        });
        self.drop_ended();
    }

    /// Ends the watch of a resource for the reason `why`. Subscribers get a change notification, because reading the
    /// resource returns the reason; otherwise the effect is that of [`withdraw`](Notifier::withdraw).
    pub fn lost(&self, uri: &str, why: &str) {
        let gone = self.0.watched.borrow_mut().remove(uri);
        if let Some(watched) = gone.and_then(|gone| gone.upgrade()) {
            self.resource_updated(uri);
            watched.end(&ReadError::Failed(why.to_owned()), |_| true);
            self.drop_ended();
        }
    }

    fn drop_ended(&self) {
        for subscriber in self.subscribers() {
            if subscriber.drop_ended() {
                subscriber.end();
            }
        }
    }

    /// Adds a subscriber; adding it again has no effect.
    pub(in crate::mcp) fn add(&self, subscriber: &Rc<Subscriber>) {
        if self.0.closed.get() {
            return subscriber.end();
        }
        let mut subscribers = self.0.subscribers.borrow_mut();
        subscribers
            .retain(|known| known.strong_count() > 0 && !known.ptr_eq(&Rc::downgrade(subscriber)));
        subscribers.push(Rc::downgrade(subscriber));
    }

    /// The number of open `subscriptions/listen` streams.
    pub(in crate::mcp) fn streams(&self) -> usize {
        let subscribers = self.0.subscribers.borrow();
        let open = subscribers.iter().filter_map(Weak::upgrade);
        open.filter(|subscriber| subscriber.tag.is_some()).count()
    }

    /// Ends every `subscriptions/listen` stream and accepts no more.
    pub(in crate::mcp) fn close(&self) {
        self.0.closed.set(true);
        for subscriber in self.subscribers() {
            subscriber.end();
        }
    }

    /// Watches a resource, or joins the watch that another caller has started.
    ///
    /// # Errors
    /// The watcher's error, or the error that the caller has no place left for a watch.
    pub(in crate::mcp) async fn watch(
        &self,
        uri: &str,
        watcher: Option<&Watcher>,
        caller: &Caller,
    ) -> Result<Listening, ReadError> {
        if let Some(watcher) = watcher {
            (watcher.permits)(uri, caller)?;
        }
        let known = self.0.watched.borrow().get(uri).and_then(Weak::upgrade);
        let watched = match known {
            Some(known) => known,
            None => self.begin(uri, watcher.map(|_| caller))?,
        };
        let listening = watched.listened_to_by(caller);
        if let Some(watcher) = watcher {
            watched
                .watch
                .get_or_try_init(|| (watcher.start)(uri.to_owned()))
                .await?;
        }
        // The subscription may have ended while the watch was set up.
        let over = listening.listener.over.borrow().clone();
        over.map_or(Ok(listening), Err)
    }

    /// Starts a watch that other callers can join.
    fn begin(&self, uri: &str, caller: Option<&Caller>) -> Result<Rc<WatchedResource>, ReadError> {
        if uri.len() > MAX_URI_BYTES {
            let text = format!(
                "no watch was set up: the URI has {} bytes, and one that is watched at most {MAX_URI_BYTES}; \
                 read it when its value is needed",
                uri.len()
            );
            return Err(ReadError::Refused(text));
        }
        let place = caller
            .map(|caller| self.0.places.enter(caller.id()))
            .transpose();
        let place = place.map_err(|full| {
            let text = format!(
                "no watch was set up: of the resources that can be watched at the same time (`limits.watches`), {full}; \
                 unsubscribe from one, or read it when its value is needed"
            );
            ReadError::Failed(text)
        })?;
        let watched = Rc::new(WatchedResource {
            uri: uri.into(),
            watch: OnceCell::new(),
            place: RefCell::new(place),
            listeners: RefCell::default(),
        });
        let mut all = self.0.watched.borrow_mut();
        all.retain(|_, watched| watched.strong_count() > 0);
        all.insert(watched.uri.clone(), Rc::downgrade(&watched));
        Ok(watched)
    }

    fn list_changed(&self, method: &str, which: fn(Lists) -> bool) {
        self.tell(|subscriber| which(subscriber.lists.get()), method, None);
    }

    fn tell(&self, wants: impl Fn(&Subscriber) -> bool, method: &str, uri: Option<&str>) {
        for subscriber in self.subscribers() {
            if !subscriber.ended.get() && wants(&subscriber) {
                subscriber.tell(method, uri);
            }
        }
    }

    /// Copies the list, because a sink may call back into this hub.
    fn subscribers(&self) -> Vec<Rc<Subscriber>> {
        self.0
            .subscribers
            .borrow()
            .iter()
            .filter_map(Weak::upgrade)
            .collect()
    }
}

impl WatchedResource {
    fn listened_to_by(self: &Rc<Self>, caller: &Caller) -> Listening {
        let listener = Rc::new(Listener {
            caller: caller.clone(),
            over: RefCell::default(),
        });
        self.listeners.borrow_mut().push(Rc::clone(&listener));
        Listening {
            watched: Rc::clone(self),
            listener,
        }
    }

    /// Ends the subscriptions of these callers for the reason `why`.
    fn end(&self, why: &ReadError, whose: impl Fn(&Caller) -> bool) {
        for listener in &*self.listeners.borrow() {
            if whose(&listener.caller) {
                listener.over.replace(Some(why.clone()));
            }
        }
    }

    /// Whether a subscription has not ended.
    fn has_listeners(&self) -> bool {
        let listeners = self.listeners.borrow();
        listeners.iter().any(|it| it.over.borrow().is_none())
    }
}

impl Listening {
    fn is_over(&self) -> bool {
        self.listener.over.borrow().is_some()
    }
}

/// A caller that unsubscribed must not pay for the watch that others still use: its place passes to the next
/// subscriber.
impl Drop for Listening {
    fn drop(&mut self) {
        let WatchedResource {
            place, listeners, ..
        } = &*self.watched;
        let mut listeners = listeners.borrow_mut();
        listeners.retain(|it| !Rc::ptr_eq(it, &self.listener));
        let own = self.listener.caller.id();
        let mut place = place.borrow_mut();
        let paid = place.as_mut().filter(|it| it.caller() == own);
        if let (Some(place), Some(next)) = (paid, listeners.first()) {
            if !listeners.iter().any(|it| it.caller.id() == own) {
                place.pass_to(next.caller.id());
            }
        }
    }
}

impl Watcher {
    /// A watcher for a resource that every caller may watch.
    pub fn new(
        start: impl Fn(String) -> BoxedLocal<Result<WatchGuard, ReadError>> + 'static,
    ) -> Watcher {
        Watcher {
            permits: Box::new(|_, _| Ok(())),
            start: Box::new(start),
        }
    }

    /// Sets the function that decides who may watch which URI. It is asked for every subscriber.
    #[must_use]
    pub fn permitting(
        self,
        permits: impl Fn(&str, &Caller) -> Result<(), ReadError> + 'static,
    ) -> Watcher {
        let permits = Box::new(permits);
        Watcher { permits, ..self }
    }
}

impl WatchGuard {
    /// Holds what keeps the watch going, such as a task; it is dropped with the last subscriber.
    pub fn new(guard: impl Any) -> WatchGuard {
        WatchGuard(Box::new(guard))
    }
}

/// A notifier for a program with a single caller. A program with several callers passes shared places to
/// [`Notifier::new`].
impl Default for Notifier {
    fn default() -> Notifier {
        Notifier::new(Places::alone(WATCHES))
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watcher")
    }
}

impl fmt::Debug for WatchGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WatchGuard")
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listening")
    }
}

/// The length limit of a watched resource's URI, which is stored as long as the watch lasts.
const MAX_URI_BYTES: usize = 2048;
/// The default limit on resources watched at the same time.
const WATCHES: usize = 1024;
