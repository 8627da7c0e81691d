//! `replay completions` and `replay man`: the command line as a shell and as man(1) read it.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Stop};
use crate::base::diagnostic::{self, Diagnostic};
use crate::base::exit_code;
use crate::base::term::Terminal;

#[derive(Debug, Args)]
#[command(after_long_help = COMPLETIONS)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

const COMPLETIONS: &str = "\
Examples:
  replay completions bash > /etc/bash_completion.d/replay
  replay completions zsh > ~/.zfunc/_replay
  replay completions fish > ~/.config/fish/completions/replay.fish

`replay man` prints the manual page, `replay man COMMAND` that of a command.";

/// Prints what completes the command line.
pub(crate) fn completions(args: &CompletionsArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "replay", &mut script);
    terminal.out().write_all(&script)?;
    Ok(exit_code::SUCCESS)
}

#[derive(Debug, Args)]
#[command(after_long_help = MAN)]
pub(crate) struct ManArgs {
    /// The page of one command, instead of the page of them all.
    command: Option<String>,
}

const MAN: &str = "\
Examples:
  replay man | man -l -
  replay man run > replay-run.1";

/// Prints a manual page.
pub(crate) fn man(args: &ManArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    let mut all = Cli::command();
    all.build();
    let page = match &args.command {
        None => all,
        Some(name) => match all.find_subcommand(name) {
            Some(one) => one.clone(),
            None => {
                let names: Vec<&str> = all.get_subcommands().map(clap::Command::get_name).collect();
                let problem = Diagnostic::new(format!("there is no command `{name}`"));
                let near = diagnostic::nearest(name, names.iter().copied());
                let help = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are {}", names.join(", ")),
                };
                return Err(Stop::usage(problem.help(help)));
            }
        },
    };
    clap_mangen::Man::new(page).render(&mut terminal.out())?;
    Ok(exit_code::SUCCESS)
}
