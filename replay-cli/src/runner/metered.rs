//! The engine with its heap counted.

use std::ops::{Deref, DerefMut};

use engine::{Config, ConfigError, Engine, Micros, Output};

use crate::heap::{self, AtWork};

/// An engine whose allocations are counted while it works.
#[derive(Debug)]
pub(crate) struct Metered(Engine);

/// The engine at work.
#[derive(Debug)]
pub(crate) struct Working<'a> {
    engine: &'a mut Engine,
    _counting: AtWork,
}

impl Metered {
    pub(crate) fn new(config: Config) -> Result<Self, ConfigError> {
        heap::reset();
        let _counting = AtWork::begin();
        Engine::new(config).map(Self)
    }

    pub(crate) fn at_work(&mut self) -> Working<'_> {
        Working {
            engine: &mut self.0,
            _counting: AtWork::begin(),
        }
    }

    pub(crate) fn poll_output(&mut self, now: Micros) -> Option<Output<'_>> {
        let _counting = AtWork::begin();
        self.0.poll_output(now)
    }
}

impl Deref for Metered {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.0
    }
}

impl Deref for Working<'_> {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        self.engine
    }
}

impl DerefMut for Working<'_> {
    fn deref_mut(&mut self) -> &mut Engine {
        self.engine
    }
}
