//! Addresses for names, for a host that gives no hook of its own: intercepted queries
//! ([`Host::resolve`](crate::Host::resolve)) answered through the system's resolver.
//!
//! ```text
//!   Host::resolve ──> Resolver ── cached? ──────────────────────────────> answer ──> Mailbox::resolved
//!                        └─ under way? joins it : Lookup (a thread of its own) ──────────┘
//! ```
//! One lookup of a name gives both families, so a device's A and AAAA queries cost one. Answers go to a function, time
//! comes from a [`Clock`].

mod mock;
mod system;

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::{Micros, QueryId, QueryKind, Resolution};

use crate::clock::Clock;
use crate::turn::Mailbox;

pub use mock::MockLookup;
pub use system::SystemLookup;

/// Finds out addresses and hands them on by itself. It never blocks.
pub trait Resolver: Send + Sync {
    /// Find out the addresses of `name` for `query`. The answer may come before the call returns.
    fn resolve(&self, query: QueryId, name: &str, kind: QueryKind);

    /// Nobody wants the answer to `query` any more.
    fn cancel(&self, query: QueryId);

    /// Gives up what has taken too long. Returns when to call again, if anything is under way. Calling late only delays
    /// the failures: the device gets them by the engine's own timer.
    fn tick(&self) -> Option<Micros>;
}

/// What a lookup came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The name's addresses, of both families, in order of preference.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NotFound,
    /// It could not be found out.
    Failed,
}

/// Called once with the outcome of a lookup, from any thread.
pub type Done = Box<dyn FnOnce(Found) + Send>;

/// The part that may take its time.
pub trait Lookup: Send + Sync {
    /// Looks `name` up elsewhere than on this thread, and calls `done`. `false` if too much is under way: `done` is
    /// dropped.
    fn start(&self, name: &str, done: Done) -> bool;
}

/// Bounds of a [`CachingResolver`]. Zero is never, or none, as each field has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverLimits {
    /// How long a lookup may take; zero: as long as it takes, and the engine's own limit answers the device. Default 4 s, as that
    /// ([`resolve_timeout`](engine::Config::resolve_timeout)).
    pub timeout: Duration,
    /// How long addresses are kept: `getaddrinfo` does not say how long they hold. Zero: they are not kept. Default 60 s.
    pub ttl: Duration,
    /// How long it is remembered that there is no such name. Zero: it is not. Default 10 s.
    pub negative_ttl: Duration,
    /// Names kept; what expires first makes room. 0: none. Default 256.
    pub names: usize,
    /// Names that may be under way. 0: none, so that every query fails. Default 64.
    pub lookups: usize,
}

impl Default for ResolverLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(4),
            ttl: Duration::from_secs(60),
            negative_ttl: Duration::from_secs(10),
            names: 256,
            lookups: 64,
        }
    }
}

/// A [`Resolver`] with a cache, timeouts and bounds around a [`Lookup`].
///
/// ```no_run
/// use std::sync::Arc;
/// use engine_driver::{BootClock, Turn, resolver};
///
/// # let mut turn: Turn = unimplemented!();
/// let system = resolver::of_the_system(turn.mailbox(), Arc::new(BootClock::new()));
/// turn.set_resolver(Some(Arc::new(system)));
/// ```
pub struct CachingResolver<L> {
    lookup: L,
    shared: Arc<Shared>,
}

/// The system's resolver (`getaddrinfo`), behind a cache.
pub type SystemResolver = CachingResolver<SystemLookup>;

/// The system's resolver behind `mailbox`: what is asked for names that a host does not look up itself. It does not keep the
/// mailbox alive.
#[must_use]
pub fn of_the_system(mailbox: &Arc<Mailbox>, clock: Arc<dyn Clock>) -> SystemResolver {
    let mailbox = Arc::downgrade(mailbox);
    let limits = ResolverLimits::default();
    CachingResolver::new(
        SystemLookup::default(),
        limits,
        clock,
        move |query, found| {
            if let Some(mailbox) = mailbox.upgrade() {
                // Too late or too many: the engine's own limit has answered the device.
                let _ = mailbox.resolved(query, found);
            }
        },
    )
}

/// Where answers go.
type Answer = Box<dyn Fn(QueryId, Resolution) + Send + Sync>;

struct Shared {
    state: Mutex<State>,
    limits: ResolverLimits,
    clock: Arc<dyn Clock>,
    answer: Answer,
}

#[derive(Default)]
struct State {
    /// By name, with the time after which it is given up, if there is one.
    under_way: BTreeMap<String, Lookups>,
    cache: BTreeMap<String, (Micros, Found)>,
}

struct Lookups {
    until: Option<Micros>,
    waiting: Vec<(QueryId, QueryKind)>,
}

impl<L> fmt::Debug for CachingResolver<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachingResolver").finish_non_exhaustive()
    }
}

impl<L: Lookup> CachingResolver<L> {
    /// A resolver that hands its answers to `answer`, from whatever thread finds them: usually to
    /// [`Mailbox::resolved`](crate::Mailbox::resolved).
    pub fn new(
        lookup: L,
        limits: ResolverLimits,
        clock: Arc<dyn Clock>,
        answer: impl Fn(QueryId, Resolution) + Send + Sync + 'static,
    ) -> Self {
        Self {
            lookup,
            shared: Arc::new(Shared {
                state: Mutex::default(),
                limits,
                clock,
                answer: Box::new(answer),
            }),
        }
    }

    /// The lookup behind the cache.
    pub fn lookup(&self) -> &L {
        &self.lookup
    }
}

impl<L: Lookup> Resolver for CachingResolver<L> {
    fn resolve(&self, query: QueryId, name: &str, kind: QueryKind) {
        self.tick();
        let shared = &self.shared;
        let now = shared.clock.now();
        let mut state = shared.state();
        if let Some((until, found)) = state.cache.get(name).filter(|(until, _)| *until > now) {
            let resolution = resolution(found, kind, until.since(now));
            drop(state);
            return (shared.answer)(query, resolution);
        }
        if let Some(lookups) = state.under_way.get_mut(name) {
            lookups.waiting.push((query, kind));
            return;
        }
        if state.under_way.len() >= shared.limits.lookups {
            drop(state);
            return (shared.answer)(query, Resolution::Failed);
        }
        let timeout = shared.limits.timeout;
        let lookups = Lookups {
            until: (!timeout.is_zero()).then(|| now.plus(timeout)),
            waiting: vec![(query, kind)],
        };
        state.under_way.insert(name.to_owned(), lookups);
        // The lookup may be done at once, on this very thread.
        drop(state);
        let (whole, asked) = (Arc::clone(shared), name.to_owned());
        let started = self
            .lookup
            .start(name, Box::new(move |found| whole.done(&asked, found)));
        if !started {
            shared.done(name, Found::Failed);
        }
    }

    fn cancel(&self, query: QueryId) {
        let mut state = self.shared.state();
        // The lookup goes on: its result is worth keeping.
        for lookups in state.under_way.values_mut() {
            lookups.waiting.retain(|(waiting, _)| *waiting != query);
        }
    }

    fn tick(&self) -> Option<Micros> {
        let now = self.shared.clock.now();
        let mut state = self.shared.state();
        let late: Vec<String> = state
            .under_way
            .iter()
            .filter(|(_, lookups)| lookups.until.is_some_and(|until| until <= now))
            .map(|(name, _)| name.clone())
            .collect();
        let mut failed = Vec::new();
        for name in late {
            failed.extend(state.under_way.remove(&name));
        }
        let next = state
            .under_way
            .values()
            .filter_map(|lookups| lookups.until)
            .min();
        drop(state);
        for (query, _) in failed.into_iter().flat_map(|lookups| lookups.waiting) {
            (self.shared.answer)(query, Resolution::Failed);
        }
        next
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked while it held the lock left nothing half-done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lookup has ended, in time or not: what it found is kept either way.
    fn done(&self, name: &str, found: Found) {
        let now = self.clock.now();
        let keep = match found {
            Found::Addresses(_) => self.limits.ttl,
            Found::NotFound => self.limits.negative_ttl,
            Found::Failed => Duration::ZERO,
        };
        let mut state = self.state();
        if keep > Duration::ZERO && self.limits.names > 0 {
            state.make_room(now, self.limits.names);
            let entry = (now.plus(keep), found.clone());
            state.cache.insert(name.to_owned(), entry);
        }
        let waiting = state.under_way.remove(name).map(|lookups| lookups.waiting);
        drop(state);
        for (query, kind) in waiting.into_iter().flatten() {
            (self.answer)(query, resolution(&found, kind, keep));
        }
    }
}

impl State {
    fn make_room(&mut self, now: Micros, limit: usize) {
        self.cache.retain(|_, (until, _)| *until > now);
        while self.cache.len() >= limit {
            let first = self.cache.iter().min_by_key(|(_, (until, _))| *until);
            let Some(name) = first.map(|(name, _)| name.clone()) else {
                return;
            };
            self.cache.remove(&name);
        }
    }
}

fn resolution(found: &Found, kind: QueryKind, holds: Duration) -> Resolution {
    match found {
        Found::Addresses(addresses) => Resolution::Addresses {
            addresses: addresses
                .iter()
                .copied()
                .filter(|address| kind.holds(*address))
                .collect(),
            ttl: u32::try_from(holds.as_secs()).unwrap_or(u32::MAX),
        },
        Found::NotFound => Resolution::NotFound,
        Found::Failed => Resolution::Failed,
    }
}
