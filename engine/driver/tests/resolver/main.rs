//! The cache around a lookup, in virtual time.

use core::time::Duration;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use engine::{Micros, QueryId, QueryKind, Resolution};
use engine_driver::resolver::{CachingResolver, Found, MockLookup, Resolver, ResolverLimits};
use engine_driver::{Clock, ManualClock};

/// A resolver whose time is set by hand and whose answers are kept.
struct Scene {
    resolver: CachingResolver<MockLookup>,
    lookup: MockLookup,
    clock: Arc<ManualClock>,
    answers: Arc<Mutex<Vec<(u64, Resolution)>>>,
}

impl Scene {
    fn new(limits: ResolverLimits) -> Self {
        Self::with(MockLookup::default(), limits)
    }

    fn with(lookup: MockLookup, limits: ResolverLimits) -> Self {
        let clock = Arc::new(ManualClock::new(Micros::from_secs(1)));
        let answers: Arc<Mutex<Vec<_>>> = Arc::default();
        let kept = Arc::clone(&answers);
        let resolver = CachingResolver::new(
            lookup.clone(),
            limits,
            Arc::clone(&clock) as Arc<dyn Clock>,
            move |query, resolution| {
                kept.lock()
                    .expect("free")
                    .push((query.to_bits(), resolution));
            },
        );
        Self {
            resolver,
            lookup,
            clock,
            answers,
        }
    }

    fn ask(&self, query: u64, name: &str, kind: QueryKind) {
        self.resolver.resolve(QueryId::from_bits(query), name, kind);
    }

    fn wait(&self, time: Duration) {
        self.clock.set(self.clock.now().plus(time));
    }

    fn answers(&self) -> Vec<(u64, Resolution)> {
        core::mem::take(&mut self.answers.lock().expect("free"))
    }
}

fn both() -> Found {
    Found::Addresses(vec![[192, 0, 2, 1].into(), v6()])
}

fn v6() -> IpAddr {
    "2001:db8::1".parse().expect("an address")
}

fn addresses(address: impl Into<IpAddr>, ttl: u32) -> Resolution {
    Resolution::Addresses {
        addresses: vec![address.into()],
        ttl,
    }
}

#[test]
fn one_lookup_answers_both_families() {
    let scene = Scene::new(ResolverLimits::default());
    scene.ask(1, "a.example", QueryKind::A);
    scene.ask(2, "a.example", QueryKind::Aaaa);
    assert_eq!(scene.answers(), []);
    assert!(scene.lookup.finish("a.example", both()));
    let wanted = [(1, addresses([192, 0, 2, 1], 60)), (2, addresses(v6(), 60))];
    assert_eq!(scene.answers(), wanted);
    assert_eq!(scene.lookup.asked(), ["a.example"]);
}

#[test]
fn what_was_found_is_kept_for_its_time_and_says_what_is_left_of_it() {
    let scene = Scene::new(ResolverLimits::default());
    scene.ask(1, "a.example", QueryKind::A);
    scene.lookup.finish("a.example", both());
    scene.answers();
    scene.wait(Duration::from_secs(59));
    scene.ask(2, "a.example", QueryKind::A);
    assert_eq!(scene.answers(), [(2, addresses([192, 0, 2, 1], 1))]);
    scene.wait(Duration::from_secs(1));
    scene.ask(3, "a.example", QueryKind::A);
    assert_eq!(scene.answers(), []);
    assert_eq!(scene.lookup.asked().len(), 2);
}

#[test]
fn that_there_is_no_such_name_is_kept_for_less_and_a_failure_not_at_all() {
    let scene = Scene::new(ResolverLimits::default());
    scene.ask(1, "none.example", QueryKind::A);
    scene.lookup.finish("none.example", Found::NotFound);
    scene.wait(Duration::from_secs(9));
    scene.ask(2, "none.example", QueryKind::Aaaa);
    assert_eq!(
        scene.answers(),
        [(1, Resolution::NotFound), (2, Resolution::NotFound)]
    );
    scene.wait(Duration::from_secs(1));
    scene.ask(3, "none.example", QueryKind::A);
    assert_eq!(scene.lookup.asked().len(), 2);
    scene.ask(4, "broken.example", QueryKind::A);
    scene.lookup.finish("broken.example", Found::Failed);
    assert_eq!(scene.answers(), [(4, Resolution::Failed)]);
    scene.ask(5, "broken.example", QueryKind::A);
    assert_eq!(scene.lookup.asked().len(), 4);
}

#[test]
fn a_lookup_that_takes_too_long_fails_and_its_result_is_still_kept() {
    let scene = Scene::new(ResolverLimits::default());
    scene.ask(1, "slow.example", QueryKind::A);
    assert_eq!(scene.resolver.tick(), Some(Micros::from_secs(5)));
    scene.wait(Duration::from_micros(3_999_999));
    scene.resolver.tick();
    assert_eq!(scene.answers(), []);
    scene.wait(Duration::from_micros(1));
    assert_eq!(scene.resolver.tick(), None);
    assert_eq!(scene.answers(), [(1, Resolution::Failed)]);
    assert!(scene.lookup.finish("slow.example", both()));
    assert_eq!(scene.answers(), [], "nobody hears twice");
    scene.ask(2, "slow.example", QueryKind::A);
    assert_eq!(scene.answers(), [(2, addresses([192, 0, 2, 1], 60))]);
}

#[test]
fn a_query_called_off_gets_no_answer() {
    let scene = Scene::new(ResolverLimits::default());
    scene.ask(1, "a.example", QueryKind::A);
    scene.ask(2, "a.example", QueryKind::A);
    scene.resolver.cancel(QueryId::from_bits(1));
    scene.lookup.finish("a.example", both());
    assert_eq!(scene.answers(), [(2, addresses([192, 0, 2, 1], 60))]);
}

#[test]
fn lookups_and_names_are_bounded() {
    let scene = Scene::new(ResolverLimits {
        names: 2,
        lookups: 3,
        ..ResolverLimits::default()
    });
    for (query, name) in [
        (1, "a.example"),
        (2, "b.example"),
        (3, "c.example"),
        (4, "d.example"),
    ] {
        scene.ask(query, name, QueryKind::A);
    }
    assert_eq!(scene.answers(), [(4, Resolution::Failed)]);
    for name in ["a.example", "b.example", "c.example"] {
        scene.lookup.finish(name, both());
        scene.wait(Duration::from_secs(1));
    }
    scene.answers();
    // The one that expires first had to go.
    for (query, name) in [(5, "b.example"), (6, "c.example")] {
        scene.ask(query, name, QueryKind::A);
    }
    assert_eq!(scene.answers().len(), 2);
    scene.ask(7, "a.example", QueryKind::A);
    assert_eq!(scene.answers(), []);
}

#[test]
fn a_lookup_that_cannot_begin_is_a_failure_at_once() {
    let scene = Scene::with(MockLookup::full(), ResolverLimits::default());
    scene.ask(1, "a.example", QueryKind::A);
    assert_eq!(scene.answers(), [(1, Resolution::Failed)]);
    assert_eq!(scene.resolver.tick(), None);
}

#[test]
fn without_a_timeout_a_lookup_takes_as_long_as_it_takes() {
    let scene = Scene::new(ResolverLimits {
        timeout: Duration::ZERO,
        ..ResolverLimits::default()
    });
    scene.ask(1, "a.example", QueryKind::A);
    scene.wait(Duration::from_secs(3600));
    assert_eq!(scene.resolver.tick(), None);
    assert_eq!(scene.answers(), []);
    assert!(scene.lookup.finish("a.example", both()));
    assert_eq!(scene.answers(), [(1, addresses([192, 0, 2, 1], 60))]);
}

#[test]
fn no_lookups_at_a_time_are_none_at_all() {
    let scene = Scene::new(ResolverLimits {
        lookups: 0,
        ..ResolverLimits::default()
    });
    scene.ask(1, "a.example", QueryKind::A);
    assert_eq!(scene.answers(), [(1, Resolution::Failed)]);
}
