//! The mock resolver: answers intercepted queries as the scenario says.

use engine::{QueryId, QueryKind, Resolution};

use crate::scenario::{self, DialerScript, ResolverResult};
use crate::simulation::world::{Task, World};
use crate::stack::Input;

/// The resolver's rules, and the answers on their way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolver {
    rules: Vec<scenario::ResolverRule>,
    answers: Vec<Option<(QueryId, Resolution)>>,
}

impl Resolver {
    pub(crate) fn new(dialer: &DialerScript) -> Self {
        Self {
            rules: dialer.resolver.clone(),
            answers: Vec::new(),
        }
    }

    /// What a query is answered with, and after how long; `None` if it never is. A name without a rule fails.
    fn choose(&self, name: &str, kind: QueryKind) -> Option<(Resolution, u64)> {
        let rule = self.rules.iter().find(|rule| {
            (rule.name == "*" || rule.name == name)
                && rule.kind.is_none_or(|wanted| engine_kind(wanted) == kind)
        });
        let Some(rule) = rule else {
            return Some((Resolution::Failed, 0));
        };
        let resolution = match rule.result {
            ResolverResult::Addresses => Resolution::Addresses {
                addresses: rule.addresses.clone(),
                ttl: rule.ttl.unwrap_or(60),
            },
            ResolverResult::NotFound => Resolution::NotFound,
            ResolverResult::Failed => Resolution::Failed,
            ResolverResult::Never => return None,
        };
        Some((resolution, rule.after.map_or(0, |after| after.as_micros())))
    }
}

const fn engine_kind(kind: scenario::QueryKind) -> QueryKind {
    match kind {
        scenario::QueryKind::A => QueryKind::A,
        scenario::QueryKind::Aaaa => QueryKind::Aaaa,
    }
}

impl World<'_> {
    /// The engine asks for a name: the answer becomes an input of its own.
    pub(crate) fn asked(&mut self, query: QueryId, name: &str, kind: QueryKind) {
        if let Some((resolution, after)) = self.resolver.choose(name, kind) {
            self.resolver.answers.push(Some((query, resolution)));
            let task = Task::Resolve(self.resolver.answers.len() - 1);
            self.schedule(self.now.saturating_add(after), task);
        }
    }

    pub(crate) fn resolve(&mut self, index: usize) {
        let Some((query, resolution)) = self.resolver.answers.get_mut(index).and_then(Option::take)
        else {
            return;
        };
        self.give(Input::Resolved(query, resolution));
        self.step("resolution");
    }
}
