//! System calls: what the application at the far side does.

use super::Unmapped;
use crate::base::diagnostic::Position;

/// What a call means for the one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// The connection must stand.
    Accept,
    /// A read of at most `most` octets, with what it must come to.
    Read {
        /// The most it takes.
        most: u64,
        /// What it must come to.
        got: Got,
    },
    /// So many octets are sent.
    Write(u64),
    /// A write that must fail because the connection is gone.
    WriteFails,
    /// No more is sent.
    Shutdown,
    /// The application is gone: no more is sent, and what comes is refused.
    Close,
    /// It is gone at once, and so is the connection.
    Abort,
}

/// What a read comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// So many octets; 0 is the end of the stream.
    Octets(u64),
    /// Nothing yet.
    Nothing,
    /// The connection was reset.
    Reset,
}

/// The descriptors so far.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    listening: Option<i64>,
    accepted: Option<i64>,
    /// `SO_LINGER` with no time: a close is a reset.
    abortive: bool,
}

/// Reads `name(arguments) = result`; nothing if the call changes nothing here.
pub(crate) fn parse(
    text: &str,
    at: Position,
    sockets: &mut Sockets,
) -> Result<Option<Call>, Unmapped> {
    let unmapped = |what: String| Unmapped::new(at, what);
    let (name, arguments, result, error) =
        take_apart(text).ok_or_else(|| unmapped(format!("`{text}` is no call that is mapped")))?;
    let number =
        |index: usize| -> Option<i64> { arguments.get(index).and_then(|text| text.parse().ok()) };
    let not = |why: &str| Unmapped::new(at, format!("{name}: {why}"));
    let of_connection = |fd: Option<i64>| {
        if fd.is_some() && fd == sockets.accepted {
            Ok(())
        } else {
            Err(not("its descriptor is not that of the accepted connection"))
        }
    };
    let call = match name {
        "socket" => {
            if !arguments.iter().any(|word| word.contains("SOCK_STREAM")) {
                return Err(not("only stream sockets are mapped"));
            }
            if sockets.listening.replace(result).is_some() {
                return Err(not("a second socket"));
            }
            return Ok(None);
        }
        "bind" | "listen" if result == 0 => return Ok(None),
        "fcntl" => return Ok(None),
        "setsockopt" => return set_option(&arguments, sockets).map_err(|why| not(&why)),
        "accept" | "accept4" if result >= 0 => {
            if sockets.accepted.replace(result).is_some() {
                return Err(not("a second connection"));
            }
            Call::Accept
        }
        "read" | "recv" => {
            of_connection(number(0))?;
            flags(&arguments, 3, &["MSG_DONTWAIT"]).map_err(|why| not(&why))?;
            let most = number(2).and_then(|most| u64::try_from(most).ok());
            let most = most.ok_or_else(|| not("its length is no number"))?;
            let got = match (u64::try_from(result), error) {
                (Ok(octets), _) => Got::Octets(octets),
                (Err(_), "EAGAIN" | "EWOULDBLOCK") => Got::Nothing,
                (Err(_), "ECONNRESET") => Got::Reset,
                (Err(_), error) => return Err(not(&format!("error {error}"))),
            };
            Call::Read { most, got }
        }
        "write" | "send" => {
            of_connection(number(0))?;
            flags(&arguments, 3, &["MSG_DONTWAIT", "MSG_NOSIGNAL"]).map_err(|why| not(&why))?;
            match (number(2), u64::try_from(result), error) {
                (Some(all), Ok(taken), _) if u64::try_from(all) == Ok(taken) => Call::Write(taken),
                (_, Ok(_), _) => {
                    return Err(not("how much a send buffer takes is the kernel's matter"));
                }
                (_, Err(_), "EPIPE" | "ECONNRESET") => Call::WriteFails,
                (_, Err(_), error) => return Err(not(&format!("error {error}"))),
            }
        }
        "shutdown" if result == 0 => {
            of_connection(number(0))?;
            match arguments.get(1).map(String::as_str) {
                Some("SHUT_WR" | "1") => Call::Shutdown,
                Some(how) => {
                    return Err(not(&format!("{how}: a dialer cannot refuse to read only")));
                }
                None => return Err(not("it does not say how")),
            }
        }
        "close" if result == 0 => {
            if number(0) == sockets.listening {
                return Ok(None);
            }
            of_connection(number(0))?;
            if sockets.abortive {
                Call::Abort
            } else {
                Call::Close
            }
        }
        "connect" => return Err(not("the engine's device opens every connection")),
        _ => return Err(not(&format!("with the result {result} it is not mapped"))),
    };
    Ok(Some(call))
}

/// The name, the arguments, the number and the error's name of a call.
fn take_apart(text: &str) -> Option<(&str, Vec<String>, i64, &str)> {
    let open = text.find('(')?;
    let equals = text.rfind(") = ").or_else(|| text.rfind(")="))?;
    // The closing bracket of the call is the last before its result; an error's text may have brackets of its own.
    let name = text.get(..open)?.trim();
    let close = matching(text, open)?;
    if close > equals && !text.get(close..)?.contains('=') {
        return None;
    }
    let arguments = split_arguments(text.get(open + 1..close)?);
    let after = text.get(close + 1..)?.trim().strip_prefix('=')?.trim();
    let mut words = after.split_whitespace();
    let result = words.next()?;
    let result = match result.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok()?,
        None => result.parse().ok()?,
    };
    Some((name, arguments, result, words.next().unwrap_or_default()))
}

/// The bracket that closes the one at `open`.
fn matching(text: &str, open: usize) -> Option<usize> {
    let mut depth = 0_u32;
    for (index, character) in text.char_indices().skip_while(|(index, _)| *index < open) {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

fn split_arguments(text: &str) -> Vec<String> {
    let mut arguments = vec![String::new()];
    let mut depth = 0_u32;
    for character in text.chars() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                arguments.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = arguments.last_mut() {
            last.push(character);
        }
    }
    arguments
        .iter()
        .map(|word| word.trim().to_owned())
        .collect()
}

/// Whether the flags at `index` are all among those that change nothing here.
fn flags(arguments: &[String], index: usize, harmless: &[&str]) -> Result<(), String> {
    let Some(flags) = arguments.get(index) else {
        return Ok(());
    };
    match flags
        .split('|')
        .map(str::trim)
        .find(|flag| *flag != "0" && !harmless.contains(flag))
    {
        Some(flag) => Err(format!("flag {flag} is not mapped")),
        None => Ok(()),
    }
}

/// Socket options: those without a meaning here are passed over, those that would change what leaves are named.
fn set_option(arguments: &[String], sockets: &mut Sockets) -> Result<Option<Call>, String> {
    let option = arguments.get(2).map_or("", String::as_str);
    let value = arguments.get(3).map_or("", String::as_str);
    match option {
        // An engine sends at once, and its ports are its own.
        "SO_REUSEADDR" | "SO_REUSEPORT" | "TCP_NODELAY" | "IP_MTU_DISCOVER" | "SO_RCVTIMEO"
        | "SO_SNDTIMEO" => Ok(None),
        "SO_LINGER" => {
            let digits = |name: &str| {
                let after = value.split(name).nth(1)?.trim_start().strip_prefix('=')?;
                let word: String = after
                    .trim_start()
                    .chars()
                    .take_while(char::is_ascii_digit)
                    .collect();
                word.parse::<u32>().ok()
            };
            match (digits("onoff"), digits("linger")) {
                (Some(0), _) => sockets.abortive = false,
                (Some(_), Some(0)) => sockets.abortive = true,
                _ => return Err("SO_LINGER with a time is not mapped".to_owned()),
            }
            Ok(None)
        }
        _ => Err(format!("socket option {option} is not mapped")),
    }
}
