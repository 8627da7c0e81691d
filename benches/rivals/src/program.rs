//! A stack behind the protocol of docs/STACK_PROTOCOL.md: what `replay-stack-netstack-smoltcp` and its like are made of.
//!
//! It runs in virtual time although the stacks do not know: the program has a `clock_gettime` of its own, which the linker
//! takes for libc's ([`virtual_time!`](crate::virtual_time)), so that `Instant`, tokio's timers and lwIP read the time that
//! replay says. It has an `epoll_wait` of its own too: when tokio calls it with a timeout, nothing is left to do at this
//! instant, and the timeout is when the next timer is due. There the protocol is spoken; nobody sleeps.
//!
//! Behind the stack stands what a user of it would write: on accept a dial, then `copy_bidirectional`.

use std::collections::BTreeSet;
use std::io::{self, BufRead as _};

use futures::{SinkExt as _, StreamExt as _};
use stack_protocol::{Ability, Hello, Request};

use crate::stacks::{Buffers, Kind, Settings, Stack};

pub mod clock;
mod relay;
mod session;

use session::SESSION;

/// Speaks for a stack until standard input ends.
///
/// # Errors
/// The first line is no `start`, or the stack does not start.
pub fn run(kind: Kind) -> io::Result<()> {
    let mut hello = Hello::new(kind.name(), kind.version());
    hello.can = BTreeSet::from([
        Ability::HalfClose,
        Ability::Close,
        Ability::By,
        Ability::How,
        Ability::Take,
    ]);
    let settings = Settings {
        mtu: 1_500,
        buffers: match kind {
            // Without it there is no MSS option.
            Kind::Ipstack => Buffers::Bytes(65_535),
            Kind::NetstackSmoltcp | Kind::Lwip => Buffers::Default,
        },
    };
    if kind == Kind::Lwip {
        hello.settings = stack_protocol::Settings::Only(BTreeSet::new());
    }
    if kind != Kind::Ipstack {
        hello.can.insert(Ability::From);
    }
    println!("{hello}");
    let settings = Settings {
        mtu: started()?.unwrap_or(settings.mtu),
        ..settings
    };
    let mut runtime = match kind {
        // It calls `block_in_place`.
        Kind::Ipstack => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(1);
            builder
        }
        Kind::NetstackSmoltcp | Kind::Lwip => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = runtime.enable_all().build()?;
    runtime.block_on(async {
        let stack = kind.start(settings, session::Link::default())?;
        // On a worker, also where there is only one: the loop must not be the runtime's main future.
        let serving = tokio::spawn(serve(stack));
        serving.await.map_err(io::Error::other)
    })
}

/// Reads the settings; what it says of the MTU.
fn started() -> io::Result<Option<usize>> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    match line.parse().map_err(io::Error::other)? {
        Request::Start(settings) => {
            let settings: serde_json::Value = serde_json::from_str(&settings)?;
            let mtu = settings["mtu"].as_u64();
            Ok(mtu.and_then(|mtu| usize::try_from(mtu).ok()))
        }
        other => Err(io::Error::other(format!("`{other}` before `start`"))),
    }
}

/// Accepts what the stack accepts, for ever.
async fn serve(stack: Stack) {
    let Stack {
        mut arrivals,
        datagrams,
    } = stack;
    if let Some((mut reader, mut writer)) = datagrams {
        tokio::spawn(async move {
            while let Some(datagram) = reader.next().await {
                SESSION
                    .lock()
                    .map(|mut session| session.datagram_came(datagram))
                    .ok();
            }
        });
        tokio::spawn(async move {
            loop {
                let datagram = session::next_datagram().await;
                // What the stack refuses is lost, as a datagram may be.
                let _ = writer.send(datagram).await;
            }
        });
    }
    while let Some(arrival) = arrivals.next().await {
        let flow = SESSION.lock().map(|mut session| session.accepted(&arrival));
        if let Ok(flow) = flow {
            match arrival.tcp {
                true => tokio::spawn(relay::stream(flow, arrival.stream)),
                false => tokio::spawn(relay::datagrams(flow, arrival.stream)),
            };
        }
    }
    std::future::pending::<()>().await;
}
