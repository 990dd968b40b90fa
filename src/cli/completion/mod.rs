//! `plexusctl completion`: scripts that complete command lines in a shell, and in `kubectl plexus`.

pub mod candidates;

use super::Error;
use super::output::Output;
use clap::{Args, Command, ValueEnum};

/// The script that kubectl calls to complete `kubectl plexus`, by its convention for plugins.
const FOR_KUBECTL: &str = "\
#!/bin/sh
# kubectl completes `kubectl plexus` with this program. It must be in PATH, and have the name kubectl_complete-plexus.
exec kubectl plexus __complete \"$@\"
";

/// The program that the scripts are for.
const NAME: &str = "plexusctl";

/// The shells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    /// Bash
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
    /// The program kubectl_complete-plexus, with which kubectl completes `kubectl plexus` in every shell
    Kubectl,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Bash:\n  plexusctl completion bash > /etc/bash_completion.d/plexusctl\nZsh:\n  plexusctl completion zsh > \"${fpath[1]}/_plexusctl\"\nFish:\n  plexusctl completion fish > ~/.config/fish/completions/plexusctl.fish\nkubectl plexus:\n  plexusctl completion kubectl > /usr/local/bin/kubectl_complete-plexus\n  chmod +x /usr/local/bin/kubectl_complete-plexus"
)]
pub struct Arguments {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
}

/// The words of a command line after the program's name, the last of which is to be completed.
#[derive(Debug, Args)]
pub struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORD")]
    words: Vec<String>,
}

/// Prints the script for the commands of `program`.
///
/// # Errors
/// It cannot be written.
pub fn run(arguments: &Arguments, program: Command, output: &mut Output) -> Result<(), Error> {
    let shell = match arguments.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
        Shell::Kubectl => return output.text(FOR_KUBECTL),
    };
    // Clap would also complete commands that help does not show.
    let commands = program.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let mut shown = Command::new(NAME).version(env!("CARGO_PKG_VERSION")).subcommands(commands);
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown, NAME, &mut script);
    output.text(&String::from_utf8_lossy(&script))
}

/// Prints the candidates for the last word, as kubectl reads them: a line for each, and a number for what else is possible.
///
/// # Errors
/// They cannot be written.
pub fn complete(words: &Words, program: Command, output: &mut Output) -> Result<(), Error> {
    let found = candidates::candidates(program, &words.words);
    let mut text: String =
        found.all.iter().map(|candidate| format!("{}\t{}\n", candidate.word, candidate.about)).collect();
    text.push_str(&format!(":{}\n", if found.or_files { 0 } else { 4 }));
    output.text(&text)
}
