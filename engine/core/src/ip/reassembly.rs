//! Puts fragmented datagrams together again, ahead of everything that looks at ports.
//!
//! Whatever the device sends, memory stays within [`Limits`] and honest datagrams get
//! through: the oldest state makes room for the newest, and no fragment can change a byte
//! that another one brought.
//!
//! ```text
//!             first of its  +-----------------------+
//! fragment -- datagram ---->| incomplete: pieces,   |-- last gap closed --> the whole datagram
//!                           | gaps between them     |-- overlap, conflict -> condemned
//!                           +-----------------------+-- deadline ---------> expired
//!                                                    '- room needed ------> evicted
//! condemned: keeps no bytes, refuses the rest of its fragments until its deadline
//! ```

mod datagram;

use crate::api::time::Micros;
use crate::ip::build::{Addresses, IPV6_HEADER_LEN};
use crate::ip::fragment::{FRAGMENT_HEADER_LEN, FragmentInfo, HeaderChain, Link};
use crate::ip::icmp::Problem;
use core::time::Duration;
use datagram::{Datagram, rebuild};

/// What reassembly may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Datagrams under reassembly at a time; 0 switches reassembly off.
    pub datagrams: usize,
    /// Bytes of memory for all of them, bookkeeping included. Below about 100 KiB the
    /// longest datagrams cannot be reassembled. The last completed datagram, at most
    /// 64 KiB, comes on top.
    pub bytes: usize,
    /// Fragments of one datagram. 65,535 bytes at IPv4's customary least MTU of 576 are 119.
    pub fragments: usize,
    /// How long a datagram may take from its first fragment on; RFC 8200 section 4.5 says 60 seconds.
    pub timeout: Duration,
}

/// Room for three or four of the longest datagrams, or 64 of a few fragments each.
impl Default for Limits {
    fn default() -> Self {
        Self {
            datagrams: 64,
            bytes: 256 * 1024,
            fragments: 256,
            timeout: Duration::from_secs(60),
        }
    }
}

/// Datagrams under reassembly.
#[derive(Debug)]
pub(crate) struct Reassembly {
    limits: Limits,
    /// Oldest first. Few enough that searching them costs less than keeping an index.
    datagrams: Vec<Datagram>,
    /// What all of `datagrams` is charged with.
    bytes: usize,
    /// The last completed datagram.
    rebuilt: Vec<u8>,
}

/// Why a fragment was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its header claims more than the packet holds.
    Malformed,
    /// It has no payload.
    Empty,
    /// More fragments follow, but its length is no multiple of eight.
    Misaligned,
    /// The datagram would exceed 65,535 bytes.
    TooLong,
    /// The first IPv6 fragment ends before its upper-layer header does (RFC 7112).
    HeaderChainCut,
    /// It holds another Fragment header, which no sender has a reason for.
    Nested,
    /// The same bytes arrived before.
    Duplicate,
    /// It overlaps another fragment, or contradicts where the datagram ends: the datagram
    /// is given up.
    Overlap,
    /// Its datagram was given up for an overlap.
    Condemned,
    /// Its datagram's deadline has passed.
    Late,
    /// The limits leave no room for it.
    NoRoom,
}

impl Refusal {
    /// The Parameter Problem that RFC 8200 section 4.5 wants about an IPv6 fragment.
    pub(crate) fn problem(self, info: &FragmentInfo) -> Option<Problem> {
        /// Offset of the payload length in the base header.
        const PAYLOAD_LENGTH: u32 = 4;
        /// First fragment has incomplete IPv6 header chain (RFC 7112 section 5).
        const INCOMPLETE_CHAIN: u8 = 3;

        let Addresses::V6 { .. } = info.addresses else {
            return None;
        };
        let (code, pointer) = match self {
            Self::Misaligned => (0, PAYLOAD_LENGTH),
            // The fragment offset is the third byte of the Fragment header.
            Self::TooLong => {
                let header = info.header_len.checked_sub(FRAGMENT_HEADER_LEN)?;
                (0, u32::try_from(header + 2).ok()?)
            }
            Self::HeaderChainCut => (INCOMPLETE_CHAIN, 0),
            Self::Malformed
            | Self::Empty
            | Self::Nested
            | Self::Duplicate
            | Self::Overlap
            | Self::Condemned
            | Self::Late
            | Self::NoRoom => return None,
        };
        Some(Problem::Parameter { code, pointer })
    }
}

impl Reassembly {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            datagrams: Vec::new(),
            bytes: 0,
            rebuilt: Vec::new(),
        }
    }

    /// One that takes nothing and holds nothing: a placeholder while another is at work.
    pub(crate) fn idle() -> Self {
        Self::new(Limits {
            bytes: 0,
            datagrams: 0,
            ..Limits::default()
        })
    }

    /// Takes a raw packet that is the fragment `info` describes. If it was the last one missing, gives the whole datagram
    /// as a plain packet, no longer a fragment; `None`: others are missing.
    ///
    /// On IPv4 the offset, its flags and the checksum are renewed. On IPv6 the Fragment header and the extension headers
    /// before it are gone: every fragment carried those, to be judged when it arrived. Those behind it are kept, since
    /// nobody could judge them before.
    ///
    /// Call [`expire`](Self::expire) first if the next deadline has passed: a datagram past
    /// its deadline takes no more fragments.
    pub(crate) fn insert(
        &mut self,
        now: Micros,
        packet: &[u8],
        info: &FragmentInfo,
    ) -> Result<Option<&[u8]>, Refusal> {
        let fragment = Fragment::check(packet, info)?;
        if info.is_atomic() {
            // RFC 6946 section 4: processed by itself, whatever else has its identification.
            let pieces = [fragment.payload].into_iter();
            rebuild(&mut self.rebuilt, fragment.header, fragment.end, pieces)
                .ok_or(Refusal::TooLong)?;
            return Ok(Some(&self.rebuilt));
        }
        let index = self.find_or_start(now, info)?;
        let datagram = self.datagrams.get_mut(index).ok_or(Refusal::NoRoom)?;
        if datagram.deadline <= now {
            return Err(Refusal::Late);
        }
        if let Err(refusal) = datagram.admits(&fragment, self.limits.fragments) {
            if refusal == Refusal::Overlap {
                let freed = datagram.condemn();
                self.bytes = self.bytes.saturating_sub(freed);
            }
            return Err(refusal);
        }
        let index = self.make_room(index, &fragment)?;
        let datagram = self.datagrams.get_mut(index).ok_or(Refusal::NoRoom)?;
        let grown = datagram.store(&fragment);
        self.bytes = self.bytes.saturating_add(grown);
        if !datagram.is_complete() {
            return Ok(None);
        }
        let datagram = self.remove(index).ok_or(Refusal::NoRoom)?;
        datagram
            .rebuild_into(&mut self.rebuilt)
            .ok_or(Refusal::TooLong)?;
        Ok(Some(&self.rebuilt))
    }

    /// When the next datagram is given up, if there is one.
    pub(crate) fn next_deadline(&self) -> Option<Micros> {
        self.datagrams
            .iter()
            .map(|datagram| datagram.deadline)
            .min()
    }

    /// Takes out every datagram whose deadline has come, oldest first. Of one that was condemned for an overlap no fragment
    /// is left to report (RFC 5722 section 4).
    pub(crate) fn expire(&mut self, now: Micros) -> Vec<Datagram> {
        let due = |datagram: &mut Datagram| datagram.deadline <= now;
        let expired: Vec<_> = self.datagrams.extract_if(.., due).collect();
        let freed = expired.iter().map(Datagram::charge).sum();
        self.bytes = self.bytes.saturating_sub(freed);
        expired
    }

    /// Bytes of memory charged for all datagrams; never above the limit.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Finds the fragment's datagram or starts one in place of the oldest.
    fn find_or_start(&mut self, now: Micros, info: &FragmentInfo) -> Result<usize, Refusal> {
        let key = Key::of(info);
        if let Some(index) = self
            .datagrams
            .iter()
            .position(|datagram| datagram.key == key)
        {
            return Ok(index);
        }
        if self.limits.datagrams == 0 || self.limits.fragments == 0 {
            return Err(Refusal::NoRoom);
        }
        while self.datagrams.len() >= self.limits.datagrams {
            self.remove(0).ok_or(Refusal::NoRoom)?;
        }
        let datagram = Datagram::new(key, now.plus(self.limits.timeout));
        self.bytes = self.bytes.saturating_add(datagram.charge());
        self.datagrams.push(datagram);
        Ok(self.datagrams.len() - 1)
    }

    /// Evicts the oldest other datagrams until the fragment fits; returns where its own is then.
    ///
    /// A datagram too long for the limit even alone is given up without evicting anything.
    fn make_room(&mut self, mut index: usize, fragment: &Fragment<'_>) -> Result<usize, Refusal> {
        let datagram = self.datagrams.get(index).ok_or(Refusal::NoRoom)?;
        let growth = datagram.growth(fragment);
        if datagram.charge().saturating_add(growth) > self.limits.bytes {
            self.remove(index);
            return Err(Refusal::NoRoom);
        }
        while self.bytes.saturating_add(growth) > self.limits.bytes {
            let victim = usize::from(index == 0);
            self.remove(victim).ok_or(Refusal::NoRoom)?;
            index = index.saturating_sub(usize::from(victim < index));
        }
        Ok(index)
    }

    fn remove(&mut self, index: usize) -> Option<Datagram> {
        if index >= self.datagrams.len() {
            return None;
        }
        let datagram = self.datagrams.remove(index);
        self.bytes = self.bytes.saturating_sub(datagram.charge());
        Some(datagram)
    }
}

/// Which fragments belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    addresses: Addresses,
    /// On IPv4 alone (RFC 791 section 3.2): next headers may differ between fragments of one datagram (RFC 8200 section 4.5).
    protocol: Option<u8>,
    identification: u32,
}

impl Key {
    fn of(info: &FragmentInfo) -> Self {
        let is_v4 = matches!(info.addresses, Addresses::V4 { .. });
        Self {
            addresses: info.addresses,
            protocol: is_v4.then_some(info.protocol),
            identification: info.identification,
        }
    }
}

/// A fragment that is sound in itself.
struct Fragment<'a> {
    /// All headers up to the payload, the Fragment header included.
    header: &'a [u8],
    payload: &'a [u8],
    /// Where the payload begins and ends in the datagram's payload.
    start: usize,
    end: usize,
    more: bool,
    /// Whether bytes that arrived before are tolerated if only a part of a fragment brings
    /// them again: on IPv4, where routers split fragments further. IPv6 knows overlaps and
    /// exact duplicates only (RFC 5722, RFC 8200 section 4.5).
    may_repeat_parts: bool,
}

impl<'a> Fragment<'a> {
    fn check(packet: &'a [u8], info: &FragmentInfo) -> Result<Self, Refusal> {
        let (header, rest) = packet
            .split_at_checked(info.header_len)
            .ok_or(Refusal::Malformed)?;
        let payload = rest.get(..info.payload_len).ok_or(Refusal::Malformed)?;
        let is_v4 = matches!(info.addresses, Addresses::V4 { .. });
        // What counts towards the 65,535 bytes besides the payload: IPv4 counts its header,
        // IPv6 the extension headers before the Fragment header.
        let counted = if is_v4 {
            info.header_len
        } else {
            info.header_len
                .checked_sub(IPV6_HEADER_LEN + FRAGMENT_HEADER_LEN)
                .ok_or(Refusal::Malformed)?
        };
        let may_be_empty = info.is_atomic() && !is_v4;
        if payload.is_empty() && !may_be_empty {
            return Err(Refusal::Empty);
        }
        if info.more && payload.len() % 8 != 0 {
            return Err(Refusal::Misaligned);
        }
        let end = info.offset.saturating_add(payload.len());
        if counted.saturating_add(end) > 65_535 {
            return Err(Refusal::TooLong);
        }
        if !is_v4 && info.offset == 0 {
            check_header_chain(payload, info)?;
        }
        Ok(Self {
            header,
            payload,
            start: info.offset,
            end,
            more: info.more,
            may_repeat_parts: is_v4,
        })
    }
}

/// Checks that a first IPv6 fragment holds everything up to the upper-layer header
/// (RFC 7112 section 5), so that no later fragment decides what the datagram is.
///
/// IPv4 has no such rule: eight bytes are a legal first fragment (RFC 791 section 3.2), and
/// nothing looks at ports before the datagram is whole.
fn check_header_chain(payload: &[u8], info: &FragmentInfo) -> Result<(), Refusal> {
    use crate::ip::build::protocol::{ICMPV6, NO_NEXT_HEADER, TCP, UDP};

    let mut chain = HeaderChain::new(info.protocol, 0);
    let cut = loop {
        match chain.step(payload) {
            Link::Extension => {}
            Link::Fragment => return Err(Refusal::Nested),
            Link::Upper => {
                let needed = match chain.next_header {
                    TCP => 20,
                    UDP | ICMPV6 => 8,
                    NO_NEXT_HEADER => 0,
                    // Whatever it is, it has begun.
                    _ => 1,
                };
                break payload.len() < chain.offset.saturating_add(needed);
            }
            Link::Cut => break true,
        }
    };
    // An atomic fragment that is cut is a cut packet, which is the parser's to judge.
    if cut && !info.is_atomic() {
        return Err(Refusal::HeaderChainCut);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
