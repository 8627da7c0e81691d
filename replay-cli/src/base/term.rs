//! Where text goes and how it looks: results, diagnostics, colour.
//!
//! Colour never carries meaning alone: every coloured word would say the same without it.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, IsTerminal as _, Write};

use crate::base::diagnostic::Diagnostic;

/// The two streams a command writes to.
pub struct Terminal<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    /// How results look.
    pub style: Style,
    /// How diagnostics look.
    pub err_style: Style,
    /// Whether progress may be drawn on the diagnostics stream.
    pub progress: bool,
    /// How many characters a line of results has room for.
    pub width: usize,
}

/// The width of a terminal of which nothing is known.
pub const WIDTH: usize = 80;

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set or TERM is "dumb"; CLICOLOR_FORCE colours elsewhere too.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    enabled: bool,
}

/// What a piece of text is, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Something failed.
    Bad,
    /// Something went well.
    Good,
    /// Something to look at.
    Attention,
    /// Frame lines around the content.
    Faint,
    /// A heading.
    Strong,
}

/// A text with its colour, to be printed.
#[derive(Clone, Copy, Debug)]
pub struct Painted<'a> {
    text: &'a str,
    code: Option<&'static str>,
}

impl<'a> Terminal<'a> {
    /// A terminal without colour and progress; set the public fields for more.
    pub fn new(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self {
            out,
            err,
            style: Style::default(),
            err_style: Style::default(),
            progress: false,
            width: WIDTH,
        }
    }

    /// Takes the width of the stream of results: the value of the variable COLUMNS, then how wide the terminal is, if it is one.
    pub fn measure(&mut self, variable: Option<&str>, terminal: Option<u16>) {
        let stated = variable.and_then(|columns| columns.trim().parse().ok());
        let width = stated.or_else(|| terminal.map(usize::from));
        self.width = width.filter(|width| *width > 0).unwrap_or(WIDTH);
    }

    /// The stream of results.
    pub fn out(&mut self) -> &mut dyn Write {
        self.out
    }

    /// Hands results over to their reader.
    ///
    /// # Errors
    /// The reader is gone, or writing failed.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Prints a diagnostic where results cannot be written any more.
    pub fn diagnose_alone(&mut self, diagnostic: &Diagnostic) {
        let text = diagnostic.to_string();
        let text = printable(&text);
        let style = self.err_style;
        let _ = match text.strip_prefix("error:") {
            Some(rest) => writeln!(self.err, "{}{rest}", style.paint(Paint::Bad, "error:")),
            None => writeln!(self.err, "{text}"),
        };
    }

    /// Prints a diagnostic; results written before it come out before it.
    ///
    /// # Errors
    /// Results could not be handed over. What happens to the diagnostic itself is no error: nobody would read it.
    pub fn diagnose(&mut self, diagnostic: &Diagnostic) -> io::Result<()> {
        self.out.flush()?;
        self.diagnose_alone(diagnostic);
        Ok(())
    }

    /// Prints a line beside the results.
    ///
    /// # Errors
    /// As [`diagnose`](Self::diagnose).
    pub fn say(&mut self, line: &str) -> io::Result<()> {
        self.out.flush()?;
        let _ = writeln!(self.err, "{}", printable(line));
        Ok(())
    }
}

impl fmt::Debug for Terminal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal")
            .field("style", &self.style)
            .field("err_style", &self.err_style)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

impl Style {
    /// A style with colour or without.
    #[must_use]
    pub const fn new(enabled: bool) -> Self {
        Self { enabled }
    }

    /// The style of a stream: what the command line chose, then the environment, then whether it is a terminal.
    #[must_use]
    pub fn choose(
        choice: ColorChoice,
        is_terminal: bool,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let set = |name| variable(name).is_some_and(|value| !value.is_empty());
        let enabled = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            // <https://no-color.org>: set and not empty, whatever its value.
            ColorChoice::Auto if set("NO_COLOR") => false,
            ColorChoice::Auto
                if variable("CLICOLOR_FORCE").is_some_and(|v| !v.is_empty() && v != "0") =>
            {
                true
            }
            ColorChoice::Auto => is_terminal && variable("TERM").is_none_or(|term| term != "dumb"),
        };
        Self { enabled }
    }

    /// The text in the colour of what it is.
    #[must_use]
    pub fn paint(self, paint: Paint, text: &str) -> Painted<'_> {
        let code = match paint {
            Paint::Bad => "1;31",
            Paint::Good => "32",
            Paint::Attention => "1;33",
            Paint::Faint => "2",
            Paint::Strong => "1",
        };
        Painted {
            text,
            code: self.enabled.then_some(code),
        }
    }
}

impl fmt::Display for Painted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "\x1b[{code}m{}\x1b[0m", self.text),
            None => f.write_str(self.text),
        }
    }
}

/// The text with every control character but a line feed written out.
///
/// Titles, comments and names come from files, and a file must not be able to steer the terminal it is shown on.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| matches!(byte, b' '..=b'~' | b'\n');
    if text.bytes().all(plain) || !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if steers(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Control characters, and those that change the direction of the text around them.
fn steers(character: char) -> bool {
    let bidirectional = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (character.is_control() && character != '\n') || bidirectional
}

/// Whether progress may be drawn: on a terminal that is watched, not in continuous integration.
#[must_use]
pub fn draws_progress() -> bool {
    io::stderr().is_terminal() && !in_ci()
}

/// Whether this is continuous integration, by the variable CI that its services set.
#[must_use]
pub fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(choice: ColorChoice, is_terminal: bool, variables: &[(&str, &str)]) -> bool {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Style::choose(choice, is_terminal, variable).enabled
    }

    #[test]
    fn auto_colours_a_terminal_only() {
        assert!(choose(ColorChoice::Auto, true, &[]));
        assert!(!choose(ColorChoice::Auto, false, &[]));
        assert!(!choose(ColorChoice::Auto, true, &[("TERM", "dumb")]));
    }

    #[test]
    fn no_color_beats_clicolor_force() {
        let both = [("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")];
        assert!(!choose(ColorChoice::Auto, true, &both));
        assert!(choose(ColorChoice::Auto, false, &[("CLICOLOR_FORCE", "1")]));
        assert!(!choose(
            ColorChoice::Auto,
            false,
            &[("CLICOLOR_FORCE", "0")]
        ));
    }

    #[test]
    fn an_empty_no_color_counts_as_absent() {
        assert!(choose(ColorChoice::Auto, true, &[("NO_COLOR", "")]));
    }

    #[test]
    fn the_command_line_beats_the_environment() {
        assert!(choose(ColorChoice::Always, false, &[("NO_COLOR", "1")]));
        assert!(!choose(
            ColorChoice::Never,
            true,
            &[("CLICOLOR_FORCE", "1")]
        ));
    }

    #[test]
    fn text_from_a_file_cannot_steer_the_terminal() {
        assert_eq!(
            printable("a\u{1b}[2Jb\n\u{202e}c"),
            "a\\u{1b}[2Jb\n\\u{202e}c"
        );
        assert!(matches!(printable("plain ü\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn the_width_is_what_columns_says_then_the_terminals_then_80() {
        let width = |variable, size| {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut terminal = Terminal::new(&mut out, &mut err);
            terminal.measure(variable, size);
            terminal.width
        };
        assert_eq!(width(Some("120"), Some(90)), 120);
        assert_eq!(width(Some("wide"), Some(90)), 90);
        assert_eq!(width(None, None), 80);
        assert_eq!(width(Some("0"), None), 80);
    }

    #[test]
    fn results_come_out_before_the_diagnostic_that_follows_them() {
        let mut all = Vec::new();
        {
            let shared = std::cell::RefCell::new(&mut all);
            struct To<'a, 'b>(&'a std::cell::RefCell<&'b mut Vec<u8>>);
            impl Write for To<'_, '_> {
                fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                    self.0.borrow_mut().write(bytes)
                }
                fn flush(&mut self) -> io::Result<()> {
                    Ok(())
                }
            }
            let mut out = io::BufWriter::new(To(&shared));
            let mut err = To(&shared);
            let mut terminal = Terminal::new(&mut out, &mut err);
            writeln!(terminal.out(), "result").unwrap();
            terminal.diagnose(&Diagnostic::new("bad")).unwrap();
        }
        assert_eq!(String::from_utf8(all).unwrap(), "result\nerror: bad\n");
    }
}
