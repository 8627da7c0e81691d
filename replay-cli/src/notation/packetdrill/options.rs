//! TCP options of a packet line in this project's notation.

/// The options of a line; `text` is empty, or begins with `<`.
///
/// Expected options that are not written mean that there are none, `<...>` that they are not compared. Padding is not compared: where a
/// stack puts its `nop`s is nothing a device notices.
pub(crate) fn translate(text: &str, inject: bool) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(if inject {
            String::new()
        } else {
            "<>".to_owned()
        });
    }
    let inner = text
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'))
        .ok_or_else(|| format!("options `{text}` do not end with `>`"))?
        .trim();
    if inner == "..." {
        return match inject {
            true => Err("options `<...>` of an injected packet say nothing".to_owned()),
            false => Ok(String::new()),
        };
    }
    let mut kept = Vec::new();
    for option in inner
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
    {
        let name = option.split_whitespace().next().unwrap_or_default();
        match name {
            "nop" | "eol" if !inject => {}
            "mss" | "wscale" | "sackOK" | "sack" | "TS" | "nop" | "eol" => kept.push(option),
            _ => return Err(format!("option `{option}` is not mapped")),
        }
    }
    Ok(format!("<{}>", kept.join(",")))
}
