//! What happens while nobody asks: changes, told to those who want to hear of them.
//!
//! Promises: a subscriber hears exactly the kinds and resources it asked for; a stream that does not keep
//! up is ended, never left with a gap it cannot know of; a resource is watched once however many
//! listen to it, and no longer than somebody does,
//! at the expense of one who does.
//! Does not: coalesce; who signals decides how often.

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

/// Through this handlers tell that something changed. Cheap to clone; the clone in the
/// [`Catalog`](crate::mcp::catalog::Catalog) is the one that reaches the clients.
#[derive(Clone, Debug)]
pub struct Notifier(Rc<Hub>);

/// Keeps a resource watched until it is dropped.
pub struct WatchGuard(#[expect(dead_code, reason = "held, not read")] Box<dyn Any>);

/// How a resource is watched.
pub struct Watcher {
    /// Whether this caller may watch this URI: asked for each one who subscribes.
    permits: Permits,
    /// Starts to watch, once for all who subscribe.
    start: Start,
}

/// Whether this caller may watch this URI.
type Permits = Box<dyn Fn(&str, &Caller) -> Result<(), ReadError>>;

/// Starts to watch the resource of this URI; what it yields is kept for as long as somebody listens.
type Start = Box<dyn Fn(String) -> BoxedLocal<Result<WatchGuard, ReadError>>>;

/// A resource that somebody listens to.
pub(in crate::mcp) struct WatchedResource {
    uri: Rc<str>,
    watch: OnceCell<WatchGuard>,
    /// Why nobody can listen to it any more.
    over: RefCell<Option<ReadError>>,
    /// Of the first of those who listen; a resource that never changes needs none.
    place: RefCell<Option<Place>>,
    /// Who listens, in the order in which they came.
    listeners: RefCell<Vec<Caller>>,
}

/// That a caller listens to a resource, until dropped.
pub(in crate::mcp) struct Listening {
    watched: Rc<WatchedResource>,
    caller: Caller,
}

#[derive(Debug)]
struct Hub {
    subscribers: RefCell<Vec<Weak<Subscriber>>>,
    watched: RefCell<HashMap<Rc<str>, Weak<WatchedResource>>>,
    places: Places,
    closed: Cell<bool>,
}

impl Notifier {
    /// A notifier without listeners, which has at most so many resources watched at the same time.
    #[must_use]
    pub fn new(watches: Places) -> Notifier {
        Notifier(Rc::new(Hub {
            subscribers: RefCell::default(),
            watched: RefCell::default(),
            places: watches,
            closed: Cell::new(false),
        }))
    }

    /// The list of tools is another one now.
    pub fn tools_changed(&self) {
        self.list_changed("notifications/tools/list_changed", |lists| lists.tools);
    }

    /// The list of prompts is another one now.
    pub fn prompts_changed(&self) {
        self.list_changed("notifications/prompts/list_changed", |lists| lists.prompts);
    }

    /// The list of resources or of templates is another one now.
    pub fn resources_changed(&self) {
        self.list_changed("notifications/resources/list_changed", |lists| {
            lists.resources
        });
    }

    /// This resource has other contents now; `uri` as it was given to its watcher.
    pub fn resource_updated(&self, uri: &str) {
        let wants = |subscriber: &Subscriber| subscriber.resources.borrow().contains_key(uri);
        self.tell(wants, "notifications/resources/updated", Some(uri));
    }

    /// Lets callers hear no more of the resources that are withdrawn from them, until they subscribe anew and their
    /// watcher permits it. A `subscriptions/listen` stream that loses one ends, so that its client can ask what is left
    /// to it.
    pub fn withdraw(&self, is_withdrawn: impl Fn(&str, &Caller) -> bool) {
        let mut gone = Vec::new();
        self.0.watched.borrow_mut().retain(|uri, watched| {
            let Some(watched) = watched.upgrade() else {
                return false;
            };
            let mut left = watched.listeners.borrow().clone();
            left.retain(|caller| !is_withdrawn(uri, caller));
            if left.is_empty() {
                gone.push(Rc::clone(&watched));
            }
            !left.is_empty()
        });
        let text = "it may not be read any more";
        self.end_watches(&gone, &ReadError::Refused(text.into()));
        self.end_those_without(|listening| is_withdrawn(&listening.watched.uri, &listening.caller));
    }

    /// This resource cannot be watched any more, for this reason. Whoever listens to it is told of a change, as the
    /// way to the reason is to read it; then it is as after [`withdraw`](Notifier::withdraw).
    pub fn lost(&self, uri: &str, why: &str) {
        let gone = self.0.watched.borrow_mut().remove(uri);
        if let Some(watched) = gone.and_then(|gone| gone.upgrade()) {
            self.resource_updated(uri);
            self.end_watches(&[watched], &ReadError::Failed(why.to_owned()));
        }
    }

    fn end_watches(&self, gone: &[Rc<WatchedResource>], why: &ReadError) {
        for watched in gone {
            watched.over.replace(Some(why.clone()));
        }
        self.end_those_without(|listening| listening.watched.over.borrow().is_some());
    }

    fn end_those_without(&self, is_lost: impl Fn(&Listening) -> bool) {
        for subscriber in self.subscribers() {
            if subscriber.drop_those(&is_lost) {
                subscriber.end();
            }
        }
    }

    /// From now on the subscriber hears; once, however often it is added.
    pub(in crate::mcp) fn add(&self, subscriber: &Rc<Subscriber>) {
        if self.0.closed.get() {
            return subscriber.end();
        }
        let mut subscribers = self.0.subscribers.borrow_mut();
        subscribers
            .retain(|known| known.strong_count() > 0 && !known.ptr_eq(&Rc::downgrade(subscriber)));
        subscribers.push(Rc::downgrade(subscriber));
    }

    /// How many `subscriptions/listen` streams are open.
    pub(in crate::mcp) fn streams(&self) -> usize {
        let subscribers = self.0.subscribers.borrow();
        let open = subscribers.iter().filter_map(Weak::upgrade);
        open.filter(|subscriber| subscriber.tag.is_some()).count()
    }

    /// Ends every `subscriptions/listen` stream, now and for good.
    pub(in crate::mcp) fn close(&self) {
        self.0.closed.set(true);
        for subscriber in self.subscribers() {
            subscriber.end();
        }
    }

    /// Has the resource watched, by its watcher unless somebody else's serves already.
    ///
    /// # Errors
    /// The watcher's, or when so many are watched that there is no place for one of this caller's.
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
            // The permission may have been withdrawn while the watch was set up.
            (watcher.permits)(uri, caller)?;
        }
        let over = watched.over.borrow().clone();
        over.map_or(Ok(listening), Err)
    }

    /// What others can join from now on.
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
            over: RefCell::default(),
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

    /// A copy: a sink that is told something may lead back here.
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
        self.listeners.borrow_mut().push(caller.clone());
        Listening {
            watched: Rc::clone(self),
            caller: caller.clone(),
        }
    }
}

/// Whoever listens no more must not pay for those who still do.
impl Drop for Listening {
    fn drop(&mut self) {
        let WatchedResource {
            place, listeners, ..
        } = &*self.watched;
        let mut listeners = listeners.borrow_mut();
        let own = self.caller.id();
        let is_own = |it: &Caller| it.id() == own;
        if let Some(at) = listeners.iter().position(is_own) {
            listeners.remove(at);
        }
        let mut place = place.borrow_mut();
        let paid = place.as_mut().filter(|it| it.caller() == own);
        if let (Some(place), Some(next)) = (paid, listeners.first()) {
            if !listeners.iter().any(is_own) {
                place.pass_to(next.id());
            }
        }
    }
}

impl Watcher {
    /// A watcher of what everybody may watch.
    pub fn new(
        start: impl Fn(String) -> BoxedLocal<Result<WatchGuard, ReadError>> + 'static,
    ) -> Watcher {
        Watcher {
            permits: Box::new(|_, _| Ok(())),
            start: Box::new(start),
        }
    }

    /// Has `permits` decide who may watch which URI: for each one who subscribes, before and after the watch is set up.
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
    /// Holds whatever does the watching, such as a task; it is dropped when nobody listens any more.
    pub fn new(guard: impl Any) -> WatchGuard {
        WatchGuard(Box::new(guard))
    }
}

/// For a program with one caller; who has several says how much there is to share out.
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

/// Of a watched resource, which is kept for as long as somebody listens.
const MAX_URI_BYTES: usize = 2048;
/// Resources that are watched at the same time, unless somebody says otherwise.
const WATCHES: usize = 1024;
