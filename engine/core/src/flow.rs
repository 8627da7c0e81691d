//! Flows of any transport: tuple and handle, the table of them, room for more, and timers.

pub(crate) mod hash;
pub(crate) mod key;
pub(crate) mod room;
pub(crate) mod table;
pub(crate) mod timer;
