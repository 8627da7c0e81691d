//! The `replay` command line.
//!
//! Results go to standard output, diagnostics and progress to standard error, and the exit code is one of
//! [`exit_code`]: the worst of what was met. One file for each subcommand.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::base::diagnostic::{self, Diagnostic};
use crate::base::exit_code;
use crate::base::output;
use crate::base::term::{ColorChoice, Style, Terminal, draws_progress};
use crate::stack::end_all;

mod arguments;
mod batch;
mod bless;
mod bug;
mod bundle;
mod completions;
mod conformance;
mod coverage;
mod cut;
mod import;
mod inspect;
mod live;
mod minimize;
mod record;
mod review;
mod run;
mod schema;
mod scrub;
mod show;
mod stress;
mod try_capture;

/// Turns captures into tests: a device's packets go through the engine, what comes out is checked.
#[derive(Debug, Parser)]
#[command(
    name = "replay",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
#[command(after_help = "`replay --help` has examples and the exit codes.", after_long_help = after_help())]
struct Cli {
    /// When to colour: auto, always, never; NO_COLOR is respected.
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        hide_possible_values = true
    )]
    color: ColorChoice,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios and hold what comes out against their expectations.
    Run(run::RunArgs),
    /// Hold the engine against the conformance catalogue, requirement by requirement.
    Conformance(conformance::ConformanceArgs),
    /// Say what scenarios exercise of the engine, and what none of them does.
    Coverage(coverage::CoverageArgs),
    /// Replay a capture as it stands, with a verdict for each flow.
    Try(try_capture::TryArgs),
    /// Make a scenario from a capture.
    Import(import::ImportArgs),
    /// Cut a capture down to some of its flows, time or bytes.
    Cut(cut::CutArgs),
    /// Make a scenario or a capture as small as it can be and still show the same.
    Minimize(minimize::MinimizeArgs),
    /// Replace the addresses, names and payload of a capture, and prove that none is left.
    Scrub(scrub::ScrubArgs),
    /// Put a scenario, its captures, its trace and its report into one file.
    Bundle(bundle::BundleArgs),
    /// Draft a scenario's expectations again from what a run of it shows.
    Record(record::RecordArgs),
    /// Show what drafts would change, and take or reject them one by one.
    Review(review::ReviewArgs),
    /// Replace goldens by their drafts, or throw drafts away.
    Bless(bless::BlessArgs),
    /// Describe a capture: flows, times, and what is wrong with it.
    Inspect(inspect::InspectArgs),
    /// Show what happened in a run, packet by packet; compare two.
    Show(show::ShowArgs),
    /// Load the engine or its driver with many flows, every byte verified.
    Stress(stress::StressArgs),
    /// Run the engine on a TUN device with real sockets (Linux, root).
    Live(live::LiveArgs),
    /// Print the JSON Schema of a file format or a report.
    Schema(schema::SchemaArgs),
    /// Print a script that completes the command line in a shell.
    Completions(completions::CompletionsArgs),
    /// Print a manual page.
    Man(completions::ManArgs),
}

const EXAMPLES: &str = "\
Examples:
  replay run                                     every scenario of expectations/
  replay run expectations/tcp --junit junit.xml  one folder, and a report for CI
  replay conformance                             what it does right, by requirement
  replay try phone.pcapng                        does this capture replay?
  replay import captures/field/phone.pcapng -o expectations/field/phone.json
  replay inspect phone.pcapng                    what is in it, and is it sound?
  replay show http/get --ladder                  what happened, packet by packet
  replay record expectations/tcp                 draft what has changed
  replay completions bash                        complete the command line in a shell";

fn after_help() -> String {
    format!("{EXAMPLES}\n\n{}", exit_code::help())
}

/// Why a command stopped early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Something is wrong with what the user named; with the exit code for it.
    Refused(Vec<Diagnostic>, u8),
    /// Results could not be written.
    Output(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl Stop {
    /// An input file is at fault.
    fn input(diagnostic: Diagnostic) -> Self {
        Self::Refused(vec![diagnostic], exit_code::BAD_INPUT)
    }

    /// Nothing is there that was asked for.
    fn nothing(diagnostic: Diagnostic) -> Self {
        Self::Refused(vec![diagnostic], exit_code::NOTHING_SELECTED)
    }

    /// What the command line asks for cannot be done.
    pub(crate) fn usage(diagnostic: Diagnostic) -> Self {
        Self::Refused(vec![diagnostic], exit_code::USAGE)
    }
}

/// The exit code of what is so or not.
const fn code_if(is_so: bool, code: u8) -> u8 {
    if is_so { code } else { exit_code::SUCCESS }
}

/// Runs the command with its arguments, the program's name first, on the process's own streams.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let error = with_near(error);
            // `--help` and `--version` come this way too, and end with success if they could be printed.
            let code = u8::try_from(error.exit_code()).unwrap_or(exit_code::USAGE);
            return match error.print().and_then(|()| io::stdout().flush()) {
                Err(failed) if failed.kind() != io::ErrorKind::BrokenPipe => {
                    let _ = writeln!(io::stderr(), "{}", not_written(&failed));
                    exit_code::USAGE
                }
                _ => code,
            }
            .into();
        }
    };
    let style =
        |is_terminal| Style::choose(cli.color, is_terminal, |name| std::env::var(name).ok());
    // `live` ends with its reader; the others have a verdict to come to.
    let ends_with_reader = matches!(cli.command, Command::Live(_));
    let mut out = io::BufWriter::new(Results {
        stream: io::stdout(),
        ends_with_reader,
    });
    let mut err = io::stderr();
    let mut terminal = Terminal::new(&mut out, &mut err);
    terminal.style = style(io::stdout().is_terminal());
    terminal.err_style = style(io::stderr().is_terminal());
    terminal.progress = draws_progress();
    let columns = std::env::var("COLUMNS").ok();
    let size = console::Term::stdout().size_checked();
    terminal.measure(columns.as_deref(), size.map(|(_, columns)| columns));
    let code = bug::guard(|| finish(&cli.command, &mut terminal));
    code.unwrap_or_else(|bug| {
        terminal.diagnose_alone(&bug);
        exit_code::INTERNAL_BUG
    })
    .into()
}

/// The error of a command line, with the command that was meant.
fn with_near(mut error: clap::Error) -> clap::Error {
    let word = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(word)) => word.clone(),
        _ => return error,
    };
    let commands = Cli::command();
    let names = commands.get_subcommands().map(clap::Command::get_name);
    if let Some(near) = diagnostic::nearest(&word, names) {
        let near = ContextValue::Strings(vec![near.to_owned()]);
        error.insert(ContextKind::SuggestedSubcommand, near);
    }
    error
}

/// Runs one command; a reader that goes away is no failure.
fn finish(command: &Command, terminal: &mut Terminal<'_>) -> u8 {
    match execute(command, terminal) {
        Ok(code) => code,
        // The reader has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit_code::SUCCESS,
        Err(error) => {
            terminal.diagnose_alone(&not_written(&error));
            exit_code::USAGE
        }
    }
}

fn not_written(error: &io::Error) -> Diagnostic {
    Diagnostic::new(format!("results cannot be written: {error}")).help("check where they go to")
}

/// Standard output. A reader who goes away, as `head` does, has seen enough: what comes after is dropped, and the exit code
/// is that of the verdict all the same.
struct Results<W> {
    stream: W,
    ends_with_reader: bool,
}

impl<W: Write> Results<W> {
    fn unless_gone<T>(&self, written: io::Result<T>, all: T) -> io::Result<T> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe && !self.ends_with_reader => {
                Ok(all)
            }
            written => written,
        }
    }
}

impl<W: Write> Write for Results<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.stream.write(bytes);
        self.unless_gone(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.stream.flush();
        self.unless_gone(written, ())
    }
}

/// Runs one command and reports what stopped it, if something did.
fn execute(command: &Command, terminal: &mut Terminal<'_>) -> io::Result<u8> {
    if matches!(command, Command::Run(_)) {
        // What has ended by then is still reported.
        output::stop_when_interrupted(end_all);
    // These end in an orderly way by themselves.
    } else if !matches!(
        command,
        Command::Live(_) | Command::Stress(_) | Command::Minimize(_)
    ) {
        // Other stacks are process groups of their own, which a terminal does not interrupt.
        output::clean_up_when_interrupted(end_all);
    }
    let done = match command {
        Command::Run(args) => run::run(args, terminal),
        Command::Conformance(args) => conformance::run(args, terminal),
        Command::Coverage(args) => coverage::run(args, terminal),
        Command::Try(args) => try_capture::run(args, terminal),
        Command::Import(args) => import::run(args, terminal),
        Command::Cut(args) => cut::run(args, terminal),
        Command::Minimize(args) => minimize::run(args, terminal),
        Command::Scrub(args) => scrub::run(args, terminal),
        Command::Bundle(args) => bundle::run(args, terminal),
        Command::Record(args) => record::run(args, terminal),
        Command::Review(args) => review::run(args, terminal),
        Command::Bless(args) => bless::run(args, terminal),
        Command::Inspect(args) => inspect::run(args, terminal),
        Command::Live(args) => live::run(args, terminal),
        Command::Stress(args) => stress::run(args, terminal),
        Command::Show(args) => show::run(args, terminal),
        Command::Schema(args) => schema::run(args, terminal),
        Command::Completions(args) => completions::completions(args, terminal),
        Command::Man(args) => completions::man(args, terminal),
    };
    match done {
        Ok(code) => {
            terminal.flush()?;
            Ok(code)
        }
        Err(Stop::Refused(diagnostics, code)) => {
            for diagnostic in &diagnostics {
                terminal.diagnose(diagnostic)?;
            }
            Ok(code)
        }
        Err(Stop::Output(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_mistyped_command_is_told_what_was_meant() {
        for (typed, meant) in [("rnu", "run"), ("shwo", "show"), ("inspct", "inspect")] {
            let error = Cli::try_parse_from(["replay", typed]).unwrap_err();
            let text = with_near(error).to_string();
            assert!(text.contains(&format!("'{meant}'")), "{text}");
        }
    }

    #[test]
    fn short_help_fits_a_screen() {
        let mut commands = vec![Cli::command()];
        commands.extend(Cli::command().get_subcommands().cloned());
        for mut command in commands {
            let help = command.render_help().to_string();
            assert!(help.lines().count() <= 40, "{help}");
            assert!(
                help.lines().all(|line| line.chars().count() <= 100),
                "{help}"
            );
        }
    }

    #[test]
    fn long_help_names_every_exit_code() {
        let help = Cli::command().render_long_help().to_string();
        for code in [0, 1, 2, 3, 4, 5, 6, 70, 130] {
            assert!(
                help.contains(&format!("\n  {code:<4} ")),
                "{code} is missing in {help}"
            );
        }
    }

    #[test]
    fn every_subcommand_has_an_example() {
        for command in Cli::command().get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Examples:"), "{help}");
        }
    }
}
