//! The system's resolver on threads of its own: `getaddrinfo` blocks, and cannot be called off.

use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::net::ToSocketAddrs as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{Done, Found, Lookup};

/// Threads at most. A lookup that hangs holds one of them until the system gives up.
const THREADS: usize = 4;

/// Lookups that may wait for a thread.
const WAITING: usize = 64;

/// How long a thread stays without work.
const LINGER: Duration = Duration::from_secs(10);

/// Looks names up with `getaddrinfo`, both families at once. Threads come when they are needed and go when they are
/// not; when this value is dropped, what waits is dropped as well.
#[derive(Default)]
pub struct SystemLookup {
    pool: Arc<Pool>,
}

#[derive(Default)]
struct Pool {
    jobs: Mutex<Jobs>,
    more: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<(String, Done)>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl core::fmt::Debug for SystemLookup {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SystemLookup").finish_non_exhaustive()
    }
}

impl Lookup for SystemLookup {
    fn start(&self, name: &str, done: Done) -> bool {
        let mut jobs = self.pool.jobs();
        if jobs.waiting.len() >= WAITING {
            return false;
        }
        if jobs.idle <= jobs.waiting.len() && jobs.threads < THREADS {
            let pool = Arc::clone(&self.pool);
            let thread = thread::Builder::new().name("resolver".to_owned());
            let started = thread.spawn(move || pool.work()).is_ok();
            jobs.threads += usize::from(started);
            if jobs.threads == 0 {
                return false;
            }
        }
        jobs.waiting.push_back((name.to_owned(), done));
        drop(jobs);
        self.pool.more.notify_one();
        true
    }
}

impl Drop for SystemLookup {
    fn drop(&mut self) {
        let mut jobs = self.pool.jobs();
        jobs.closed = true;
        let dropped = core::mem::take(&mut jobs.waiting);
        drop(jobs);
        drop(dropped);
        self.pool.more.notify_all();
    }
}

impl Pool {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut jobs = self.jobs();
        loop {
            if let Some((name, done)) = jobs.waiting.pop_front() {
                drop(jobs);
                done(look_up(&name));
                jobs = self.jobs();
                continue;
            }
            jobs.idle += 1;
            let waited = self
                .more
                .wait_timeout_while(jobs, LINGER, |jobs| jobs.waiting.is_empty() && !jobs.closed);
            jobs = waited.unwrap_or_else(PoisonError::into_inner).0;
            jobs.idle -= 1;
            if jobs.waiting.is_empty() {
                jobs.threads -= 1;
                return;
            }
        }
    }
}

fn look_up(name: &str) -> Found {
    // The dot keeps the search list of resolv.conf out of it: the device has asked for a whole name.
    let whole = if name.contains('.') {
        format!("{name}.")
    } else {
        name.to_owned()
    };
    match (whole.as_str(), 0).to_socket_addrs() {
        Ok(addresses) => {
            let mut found = Vec::new();
            for address in addresses.map(|address| address.ip()) {
                if !found.contains(&address) {
                    found.push(address);
                }
            }
            Found::Addresses(found)
        }
        Err(error) => judge(&error),
    }
}

/// What a failure of the system means. The standard library keeps only the text of `EAI_NONAME` and
/// `EAI_NODATA`: those of glibc, musl and Apple. Any other text is a failure, which makes the device ask elsewhere.
fn judge(error: &io::Error) -> Found {
    let text = error.to_string();
    let has = |known: &[&str]| known.iter().any(|known| text.contains(known));
    if has(&[
        "Name or service not known",
        "Name does not resolve",
        "nodename nor servname",
    ]) {
        return Found::NotFound;
    }
    if has(&["No address associated with", "Name has no usable address"]) {
        return Found::Addresses(Vec::new());
    }
    Found::Failed
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn the_systems_words_are_understood() {
        let found = |text: &str| judge(&io::Error::other(text.to_owned()));
        let name = "failed to lookup address information: Name or service not known";
        assert_eq!(found(name), Found::NotFound);
        let apple =
            "failed to lookup address information: nodename nor servname provided, or not known";
        assert_eq!(found(apple), Found::NotFound);
        let nodata = "failed to lookup address information: No address associated with hostname";
        assert_eq!(found(nodata), Found::Addresses(Vec::new()));
        assert_eq!(found("Temporary failure in name resolution"), Found::Failed);
    }

    #[test]
    fn the_local_host_is_found_without_a_network() {
        let lookup = SystemLookup::default();
        let (sender, receiver) = mpsc::channel();
        assert!(lookup.start(
            "localhost",
            Box::new(move |found| sender.send(found).expect("a receiver"))
        ));
        let Found::Addresses(addresses) = receiver.recv().expect("an answer") else {
            panic!("localhost was not found");
        };
        assert!(addresses.iter().all(|address| address.is_loopback()));
        assert!(!addresses.is_empty());
    }

    #[test]
    fn more_lookups_than_can_wait_are_refused() {
        let lookup = SystemLookup::default();
        // Every thread is busy with a lookup whose end is not taken.
        let gate = Arc::new(Mutex::new(()));
        let busy = gate.lock().expect("free");
        let mut refused = 0;
        for _ in 0..THREADS + WAITING + 10 {
            let gate = Arc::clone(&gate);
            let started = lookup.start("localhost", Box::new(move |_| drop(gate.lock())));
            refused += usize::from(!started);
        }
        assert!((10..=10 + THREADS).contains(&refused), "{refused} refused");
        drop(busy);
    }
}
