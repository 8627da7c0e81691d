//! The engine between a device that sends anything and a dialer that does anything, in virtual time.
//!
//! What is held: exactly one close for each dial and nothing of a flow outside of the two; streams arrive as they were
//! sent; every frame is sound and within the MTU; the laws of the counters; no deadline that has come is left after it
//! was acted upon; after `stop`, and after enough silence, nothing is open; a second run, which is looked at all the
//! while, gives the same outputs.

pub(crate) mod device;
mod far;
pub(crate) mod input;
mod judge;
mod settings;
mod world;

use arbitrary::{Arbitrary, Unstructured};
use engine::Micros;

use input::{Plan, Step, Time};
use world::World;

/// Steps of one input that count.
const STEPS: usize = 256;

/// Body of the target `engine`.
pub fn engine(data: &[u8]) {
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    let first = play(&plan, false);
    let second = play(&plan, true);
    assert_eq!(first, second, "two runs of one input differ");
}

/// Plays the plan and says what came out: a hash of every output.
fn play(plan: &Plan, watched: bool) -> Option<u64> {
    let mut world = World::new(&plan.settings, watched)?;
    for step in plan.steps.iter().take(STEPS) {
        match step {
            Step::Frames(frames) => world.frames(frames),
            Step::Dialer(flow, act) => world.dialer(*flow, act),
            Step::Time(time) => world.wait(*time),
            Step::Path => world.path(),
            Step::AddressLost(v6) => world.address_lost(*v6),
            Step::Stop => world.stop(),
            Step::Open(tuple) => world.open(*tuple),
            Step::Talk(tuple, up, down) => world.talk(*tuple, *up, *down),
            Step::Shut(tuple, device_first) => world.shut(*tuple, *device_first),
        }
    }
    if plan.ends_in_silence {
        world.silence();
    } else {
        world.stop();
    }
    Some(world.outputs())
}

impl Time {
    /// The time after it; `due` is the engine's next deadline.
    fn after(self, now: Micros, due: Option<Micros>) -> Micros {
        let plus = |micros: u64| Micros(now.0.saturating_add(micros));
        match self {
            Self::Micros(micros) => plus(micros.into()),
            Self::Millis(millis) => plus(u64::from(millis) * 1_000),
            Self::Seconds(seconds) => plus(u64::from(seconds) * 1_000_000),
            Self::Hours(hours) => plus(u64::from(hours) * 3_600_000_000),
            Self::Due => due.map_or(now, |due| due.max(now)),
            Self::Back(millis) => Micros(now.0.saturating_sub(u64::from(millis) * 1_000).max(1)),
            Self::Start => Micros(1),
            Self::Far => plus(u64::MAX >> 4),
        }
    }
}
