//! The command line that another machine gets: what was written on this one, without some options.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

/// The words of the subcommand of `matches`, without the options `left_out`. Defaults and variables of this machine's
/// environment are not among them.
pub fn words(command: &Command, matches: &ArgMatches, left_out: &[&str]) -> Vec<String> {
    let mut words = Vec::new();
    let (mut command, mut matches) = (command, matches);
    let mut positional = Vec::new();
    while let Some((name, deeper)) = matches.subcommand() {
        let Some(found) = command.find_subcommand(name) else { break };
        (command, matches) = (found, deeper);
        words.push(name.to_owned());
        for argument in command.get_arguments() {
            let id = argument.get_id().as_str();
            if left_out.contains(&id) || matches.value_source(id) != Some(ValueSource::CommandLine) {
                continue;
            }
            for values in occurrences(matches, id) {
                match argument.get_long() {
                    Some(long) => words.extend(option(argument, long, values)),
                    None => positional.extend(values),
                }
            }
        }
    }
    if !positional.is_empty() {
        words.push("--".to_owned());
        words.extend(positional);
    }
    words
}

fn occurrences(matches: &ArgMatches, id: &str) -> Vec<Vec<String>> {
    let all = matches.get_raw_occurrences(id).into_iter().flatten();
    all.map(|values| values.map(|value| value.to_string_lossy().into_owned()).collect()).collect()
}

fn option(argument: &Arg, long: &str, values: Vec<String>) -> Vec<String> {
    let long = format!("--{long}");
    if !argument.get_action().takes_values() {
        return vec![long];
    }
    match values.as_slice() {
        [one] => vec![format!("{long}={one}")],
        _ => [vec![long], values].concat(),
    }
}
