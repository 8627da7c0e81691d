//! What a stack is, and what it can report and take.

use std::collections::BTreeSet;
use std::fmt;

use super::words::Words;
use super::{Garbage, VERSION};

macro_rules! abilities {
    ($($(#[$doc:meta])+ $name:ident = $word:literal,)+) => {
        /// What a stack can report to replay, or take from it. What needs one that is missing is not checked, or not run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Ability { $($(#[$doc])+ $name,)+ }

        impl Ability {
            /// Every ability.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Its word.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }
        }
    };
}

abilities! {
    /// It reports the device's FIN.
    HalfClose = "half_close",
    /// It reports the end of a flow.
    Close = "close",
    /// It reports who ended a flow.
    By = "by",
    /// It reports how a flow ended.
    How = "how",
    /// After a flow's close nothing of it leaves the stack but bare acknowledgements and resets.
    Last = "last",
    /// It reads the names of DNS answers: for dials, and as records.
    Dns = "dns",
    /// It adds `rest` when nothing but the end of idle flows is waited for.
    Rest = "rest",
    /// It takes how many bytes the far side will take.
    Take = "take",
    /// It can be given datagrams of another source than the one dialed.
    From = "from",
    /// It takes a change of the path.
    Path = "path",
    /// It takes the loss of an address.
    Address = "address",
    /// It can be stopped.
    Stop = "stop",
}

/// Whose time a stack runs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Time {
    /// The time that replay gives.
    #[default]
    Virtual,
    /// The machine's: it waits at each `at` until that time has come.
    Real,
}

/// Which settings of a scenario a stack follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {
    /// Every one.
    All,
    /// Those named.
    Only(BTreeSet<String>),
}

impl Settings {
    /// Whether it follows this one.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

/// The first line of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Its name, one word.
    pub name: String,
    /// Its version, one word.
    pub version: String,
    /// Whose time it runs in.
    pub time: Time,
    /// How far times may be off, microseconds.
    pub tolerance: u64,
    /// Whether two runs of the same inputs give the same outputs.
    pub deterministic: bool,
    /// What it can report and take.
    pub can: BTreeSet<Ability>,
    /// The settings it follows.
    pub settings: Settings,
}

impl Hello {
    /// A stack in virtual time that reports nothing but frames, dials and bytes, and follows `mtu` alone.
    #[must_use]
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            time: Time::Virtual,
            tolerance: Self::TOLERANCE,
            deterministic: false,
            can: BTreeSet::new(),
            settings: Settings::Only(BTreeSet::from(["mtu".to_owned()])),
        }
    }

    /// How far times may be off by default, microseconds.
    pub const TOLERANCE: u64 = 6_000;

    /// Whether it has an ability.
    #[must_use]
    pub fn can(&self, ability: Ability) -> bool {
        self.can.contains(&ability)
    }

    pub(super) fn parse(mut words: Words<'_>) -> Result<Self, Garbage> {
        words.version()?;
        let mut hello = Self::new(words.word()?, words.word()?);
        while let Some(word) = words.next_word() {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| Garbage(format!("`{word}` is not KEY=VALUE")))?;
            let unknown = || Garbage(format!("`{value}` is no value of `{key}`"));
            let list = || value.split(',').filter(|word| !word.is_empty());
            match key {
                "time" => {
                    hello.time = match value {
                        "virtual" => Time::Virtual,
                        "real" => Time::Real,
                        _ => return Err(unknown()),
                    };
                }
                "tolerance" => hello.tolerance = value.parse().map_err(|_| unknown())?,
                "deterministic" => hello.deterministic = value.parse().map_err(|_| unknown())?,
                "can" => {
                    let ability = |word: &str| {
                        let known = Ability::ALL.iter().find(|ability| ability.word() == word);
                        known
                            .copied()
                            .ok_or_else(|| Garbage(format!("`{word}` is no ability")))
                    };
                    hello.can = list().map(ability).collect::<Result<_, _>>()?;
                }
                "settings" if value == "all" => hello.settings = Settings::All,
                "settings" => hello.settings = Settings::Only(list().map(str::to_owned).collect()),
                // A later version of the protocol may have more.
                _ => {}
            }
        }
        Ok(hello)
    }
}

impl fmt::Display for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            version,
            time,
            tolerance,
            deterministic,
            can,
            settings,
        } = self;
        let time = match time {
            Time::Virtual => "virtual",
            Time::Real => "real",
        };
        let can: Vec<&str> = can.iter().map(|ability| ability.word()).collect();
        let settings = match settings {
            Settings::All => "all".to_owned(),
            Settings::Only(names) => names.iter().cloned().collect::<Vec<_>>().join(","),
        };
        write!(
            f,
            "hello {VERSION} {name} {version} time={time} tolerance={tolerance} deterministic={deterministic} can={} \
             settings={settings}",
            can.join(",")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reply;

    #[test]
    fn a_hello_is_read_as_it_is_written() {
        let mut hello = Hello::new("smoltcp", "0.14.0");
        hello.can = BTreeSet::from([Ability::Close, Ability::Take]);
        hello.time = Time::Real;
        let line = hello.to_string();
        assert_eq!(line.parse(), Ok(Reply::Hello(hello)));
    }

    #[test]
    fn a_short_hello_says_little_and_a_long_one_may_say_what_is_not_known() {
        let hello = "hello 1 tiny 1.0 colour=blue".parse();
        assert_eq!(hello, Ok(Reply::Hello(Hello::new("tiny", "1.0"))));
    }

    #[test]
    fn a_hello_that_cannot_be_kept_is_refused() {
        let problem = |line: &str| line.parse::<Reply>().unwrap_err().0;
        assert_eq!(
            problem("hello 2 tiny 1.0"),
            "version 2 of the protocol; known is 1"
        );
        assert_eq!(problem("hello 1 tiny 1.0 can=fly"), "`fly` is no ability");
        assert_eq!(problem("hello 1 tiny"), "the line ends too early");
    }
}
