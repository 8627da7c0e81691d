//! include/bridge.h: what cbindgen makes of engine/ffi/src, and what it cannot express.
//!
//! * enums by one macro, each with a name for Swift per case, and numbers that stand for enums named as these;
//! * of every pointer whether it may be null;
//! * constants as literals, which Swift can import.

use std::path::{Path, PathBuf};

/// The package of the C ABI, and its header within.
const FFI: &str = "engine/ffi";
const HEADER: &str = "include/bridge.h";

/// Pointers that may be null: by name, or by the declaration they stand in and their name. A function's own name stands for what it
/// returns. Callbacks may all be null, as far as C is concerned: those that are required are asked for by `BridgeNewEngine`.
const NULLABLE: [(&str, &str); 17] = [
    ("", "context"),
    ("request_tcp_dial", "name"),
    ("request_udp_dial", "name"),
    ("BridgeNewEngine", "BridgeNewEngine"),
    ("BridgeNewEngine", "status"),
    ("BridgeEngineOnTcpReceive", "bytes"),
    ("BridgeEngineOnUdpReceive", "bytes"),
    ("BridgeEngineOnUdpReceive", "from"),
    ("BridgeEngineOnResolved", "addresses"),
    ("BridgeEngineRecord", "path"),
    ("BridgeEngineRecordWith", "path"),
    ("BridgeEngineRecordWith", "options"),
    ("BridgeEngineGetStats", "buffer"),
    ("BridgeEngineOpenMetrics", "buffer"),
    ("BridgeResolveResultFree", "result"),
    // What a pointer to a pointer points to is named with a star.
    ("BridgeEngineResolveHost", "*result"),
    ("BridgeSetLogSink", "sink"),
];

/// The header's path, and its text as it should be.
pub(super) fn file(root: &Path) -> Result<(PathBuf, String), String> {
    let package = root.join(FFI);
    let path = package.join(HEADER);
    let failed = |error: String| format!("{}: {error}", path.display());
    let config = cbindgen::Config::from_file(package.join("cbindgen.toml")).map_err(failed)?;
    let bindings = cbindgen::Builder::new()
        .with_crate(&package)
        .with_config(config)
        .generate()
        .map_err(|error| failed(error.to_string()))?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    let text = String::from_utf8(text).map_err(|error| failed(error.to_string()))?;
    // The heading is rustdoc's.
    let text = text.replace(" # Safety\n", " The caller promises:\n");
    let text = constants(&text);
    let text = enums(&text).map_err(failed)?;
    let text = nullability(&text);
    Ok((path, text))
}

/// Swift imports literals only, in the type that their suffix says.
fn constants(text: &str) -> String {
    let version = "#define BRIDGE_ABI_VERSION ";
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        lines.push(match line {
            "#define BRIDGE_NO_DEADLINE INT64_MAX" => {
                format!("#define BRIDGE_NO_DEADLINE {}LL", i64::MAX)
            }
            line if line.starts_with(version) => format!("{line}u"),
            line => line.to_owned(),
        });
    }
    lines.join("\n") + "\n"
}

/// Declares enums by `BRIDGE_ENUM`, names their cases for Swift, and says `BridgeEnd` for `BridgeEndNumber`.
fn enums(text: &str) -> Result<String, String> {
    let mut lines = text.lines().peekable();
    let mut out = Vec::new();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("enum ").filter(|_| !line.ends_with(';')) else {
            out.push(line.to_owned());
            continue;
        };
        let mut integer = None;
        let body = loop {
            let line = lines.next().ok_or("an enum without an end")?;
            match line.trim_start().strip_prefix(": ") {
                Some(of) => integer = Some(of),
                None if line.trim() == "{" => break &mut lines,
                None => {}
            }
        };
        let integer = integer.ok_or_else(|| format!("{name} has no type"))?;
        out.push(format!("BRIDGE_ENUM({name}, {integer}) {{"));
        let prefix = screaming(name) + "_";
        for line in body.by_ref().take_while(|line| *line != "};") {
            let case = line.trim_start().strip_prefix(&prefix);
            out.push(match case.and_then(|case| case.split_once(" = ")) {
                Some((case, value)) => {
                    let swift = swift(case);
                    format!("    {prefix}{case} BRIDGE_SWIFT_NAME({swift}) = {value}")
                }
                None => line.to_owned(),
            });
        }
        out.push("};".to_owned());
        // What follows declares the typedef, between conditions of its own.
        let mut depth = 0;
        while lines
            .peek()
            .is_some_and(|line| depth > 0 || line.starts_with("#if"))
        {
            match lines.next() {
                Some(line) if line.starts_with("#if") => depth += 1,
                Some(line) if line.starts_with("#endif") => depth -= 1,
                _ => {}
            }
        }
    }
    Ok(named(&out.join("\n")) + "\n")
}

/// `BridgeDialResult` as its cases begin.
fn screaming(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_uppercase());
    }
    out
}

/// A case as Swift spells it; `none` would be taken for an optional's.
fn swift(case: &str) -> String {
    let mut out = String::new();
    for (nth, word) in case.split('_').enumerate() {
        let mut word = word.to_ascii_lowercase();
        if nth > 0
            && let Some(first) = word.get_mut(..1)
        {
            first.make_ascii_uppercase();
        }
        out.push_str(&word);
    }
    if out == "none" {
        "nothing".to_owned()
    } else {
        out
    }
}

/// Takes the aliases away that tell Rust that C may hand in any number, and puts the enums in their place.
fn named(text: &str) -> String {
    let mut out = Vec::new();
    let mut comment = Vec::new();
    for line in text.lines() {
        let alias = line.starts_with("typedef ") && line.ends_with("Number;");
        if line.starts_with("/*") {
            comment.clear();
        }
        if alias {
            // Its comment goes as well, and the line before it.
            out.truncate(out.len().saturating_sub(comment.len() + 1));
            continue;
        }
        comment.push(line);
        out.push(line.replace("Number ", " "));
    }
    out.join("\n")
}

/// Marks every pointer as one that may be null or not.
fn nullability(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 4096);
    let mut comment = false;
    // The function or callback whose parameters these are.
    let mut within = String::new();
    for line in text.lines() {
        let code = !comment && !line.starts_with('#') && !line.starts_with("    enum");
        comment = (comment || line.trim_start().starts_with("/*")) && !line.contains("*/");
        if !code || line.trim_start().starts_with("/*") {
            out.push_str(line);
        } else {
            pointers(line, &mut within, &mut out);
        }
        out.push('\n');
    }
    out
}

fn pointers(line: &str, within: &mut String, out: &mut String) {
    let name = |rest: &str| -> String {
        rest.chars()
            .take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
            .collect()
    };
    let mut before = ' ';
    for (at, letter) in line.char_indices() {
        let rest = line.get(at + letter.len_utf8()..).unwrap_or_default();
        if letter == '*' {
            let named = name(rest.trim_start_matches('*'));
            let callback = before == '(';
            if callback || rest.contains(&format!("{named}(")) {
                within.clone_from(&named);
            }
            let key = match rest.starts_with('*') {
                true => format!("*{named}"),
                false => named,
            };
            let nullable = callback
                || NULLABLE.iter().any(|(place, pointer)| {
                    *pointer == key && (place.is_empty() || place == within)
                });
            out.push_str(if nullable {
                "*BRIDGE_NULLABLE "
            } else {
                "*BRIDGE_NONNULL "
            });
        } else {
            // `BridgeStatus BridgeEngineStart(`: what is in front of a parenthesis is a function.
            if letter == '(' && (before.is_ascii_alphanumeric()) {
                let front = line.get(..at).unwrap_or_default();
                let begin = front.rfind([' ', '*']).map_or(0, |space| space + 1);
                *within = front.get(begin..).unwrap_or_default().to_owned();
            }
            out.push(letter);
        }
        before = letter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enum_is_declared_by_the_macro_with_names_for_swift() {
        let made = "enum BridgeEnd\n#if X\n  : uint32_t\n#endif\n {\n    /*\n     Eof.\n     */\n    BRIDGE_END_NOT_ASKED = 0,\n};\n\
            #ifndef __cplusplus\n#if X\ntypedef enum BridgeEnd BridgeEnd;\n#else\ntypedef uint32_t BridgeEnd;\n#endif\n#endif\n\nint x;\n";
        let wanted = "BRIDGE_ENUM(BridgeEnd, uint32_t) {\n    /*\n     Eof.\n     */\n    \
            BRIDGE_END_NOT_ASKED BRIDGE_SWIFT_NAME(notAsked) = 0,\n};\n\nint x;\n";
        assert_eq!(enums(made).as_deref(), Ok(wanted));
    }

    #[test]
    fn every_pointer_says_whether_it_may_be_null() {
        let made = "    void (*wake)(void *context, const char *name);\n\
            struct BridgeEngine *BridgeNewEngine(const struct BridgeConfig *config,\n    BridgeStatus *status);\n\
            BridgeStatus BridgeEngineResolveHost(struct BridgeResolveResult **result);\n/*\n * a * b\n */\n";
        let wanted = "    void (*BRIDGE_NULLABLE wake)(void *BRIDGE_NULLABLE context, const char *BRIDGE_NONNULL name);\n\
            struct BridgeEngine *BRIDGE_NULLABLE BridgeNewEngine(const struct BridgeConfig *BRIDGE_NONNULL config,\n    \
            BridgeStatus *BRIDGE_NULLABLE status);\n\
            BridgeStatus BridgeEngineResolveHost(struct BridgeResolveResult *BRIDGE_NULLABLE *BRIDGE_NONNULL result);\n/*\n * a * b\n */\n";
        assert_eq!(nullability(made), wanted);
    }
}
