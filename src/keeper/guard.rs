//! Puts back, within limits, what others displace of our installation.
//!
//! Several agents own the runtime's folder: Cilium renames every configuration but its own, an operator's script
//! removes a program. While ours is away the runtime uses the next file, and pods start without their networks in
//! silence. We put it back a few times; who goes on displacing it is named, and then it is for a person to decide.

use super::installed::Configuration;
use super::program::{Program, Trouble};
use crate::api::{Keeping, StateDirectory};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the folders are looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);
/// So many looks in a row must find it displaced: others write files in place, too.
const LOOKS: u32 = 2;
/// The pause before each time it is put back; there is no further time.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(2), Duration::from_secs(8)];
/// After so long a displacement is forgotten: an agent that restarts once in a while is no fight.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// Watches what is installed.
#[derive(Debug)]
pub struct Guard {
    folder: PathBuf,
    state: StateDirectory,
    /// As it was when it was last as it should be; none before it was seen, and while it is being uninstalled.
    configuration: Option<Configuration>,
    program: Option<Program>,
    displaced: [Displaced; 2],
    found: Keeping,
    notes: Vec<String>,
}

/// How often one of the two was displaced.
#[derive(Debug, Default)]
struct Displaced {
    looks: u32,
    put_back: Vec<Instant>,
    failed: Option<String>,
    given_up: Option<String>,
}

/// What is to be done about something that is displaced.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Wait,
    PutBack,
    GiveUp,
}

impl Displaced {
    /// It is as it should be.
    fn is_over(&mut self) {
        self.looks = 0;
        if self.given_up.take().is_some() {
            // A person has decided.
            self.put_back.clear();
        }
    }

    fn step(&mut self, now: Instant) -> Step {
        self.looks += 1;
        self.put_back.retain(|then| now.duration_since(*then) < FORGOTTEN);
        if self.looks < LOOKS || self.given_up.is_some() {
            return Step::Wait;
        }
        let Some(pause) = PAUSES.get(self.put_back.len()) else { return Step::GiveUp };
        let last = self.put_back.last();
        if last.is_none_or(|last| now.duration_since(*last) >= *pause) { Step::PutBack } else { Step::Wait }
    }
}

/// The two files, by the names under which they are counted.
const FILES: [&str; 2] = ["configuration", "plugin"];

impl Guard {
    /// Of the configuration in `folder`, and of the plugin in `programs`.
    pub fn new(folder: &Path, programs: Option<&Path>, state: StateDirectory) -> Self {
        Guard {
            folder: folder.to_owned(),
            configuration: None,
            program: programs.map(|programs| Program::in_folder(programs, state.installed())),
            state,
            displaced: Default::default(),
            found: Keeping { release: env!("CARGO_PKG_VERSION").to_owned(), ..Keeping::default() },
            notes: Vec::new(),
        }
    }

    /// Looks once, and puts back what is displaced.
    pub fn look(&mut self) -> &Keeping {
        self.found.draining = self.is_draining();
        // Uninstalling ends with the removal of the mark, but also of all that was seen before it.
        if self.found.draining {
            self.configuration = None;
        }
        let found = Configuration::find(&self.folder);
        let mut awaited = Vec::new();
        match (found, self.configuration.clone()) {
            (Some(found), _) if !self.is_draining() => {
                self.displaced[0].is_over();
                awaited.extend(
                    found
                        .rival()
                        .map(|rival| format!("the runtime takes {} before {}", rival.display(), found.path.display())),
                );
                self.configuration = Some(found);
                self.look_at_program(&mut awaited);
            }
            (None, Some(ours)) => {
                let culprit = ours.culprit();
                self.restore(0, &ours.path.clone(), &culprit, || ours.put_back());
                awaited.extend(self.displaced[0].given_up.clone());
                self.look_at_program(&mut awaited);
            }
            _ => {}
        }
        self.found.displaced = awaited.join("; ");
        &self.found
    }

    /// What was done since the last time, a line each.
    pub fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    fn is_draining(&self) -> bool {
        self.state.draining().exists()
    }

    fn look_at_program(&mut self, awaited: &mut Vec<String>) {
        let Some(mut program) = self.program.take() else { return };
        match program.trouble() {
            Some(Trouble::Displaced(why)) => {
                self.restore(1, &program.path, why, || program.put_back());
                awaited.extend(self.displaced[1].given_up.clone());
            }
            Some(Trouble::Foreign(why)) => {
                self.displaced[1].looks += 1;
                if self.displaced[1].looks >= LOOKS {
                    awaited.push(format!(
                        "{} is not the plugin of Plexus: {why}; Plexus does not overwrite it. No pod gets a network from Plexus until it is back",
                        program.path.display()
                    ));
                }
            }
            None => self.displaced[1].is_over(),
        }
        self.program = Some(program);
    }

    fn restore(&mut self, which: usize, path: &Path, culprit: &str, put_back: impl FnOnce() -> std::io::Result<()>) {
        let now = Instant::now();
        match self.displaced[which].step(now) {
            // The mark may have come since we looked.
            Step::PutBack if !self.is_draining() => {
                self.displaced[which].put_back.push(now);
                self.displaced[which].looks = 0;
                *self.found.put_back.entry(FILES[which].to_owned()).or_default() += 1;
                let outcome = put_back();
                self.displaced[which].failed = outcome.as_ref().err().map(ToString::to_string);
                let path = path.display();
                self.notes.push(match outcome {
                    Ok(()) => format!("{path} was displaced ({culprit}) and is restored"),
                    Err(e) => format!("{path} was displaced ({culprit}) and cannot be restored: {e}"),
                });
            }
            Step::GiveUp => {
                let what = match &self.displaced[which].failed {
                    Some(why) => format!("cannot be restored ({why})"),
                    None => format!("was restored {} times and is displaced again", PAUSES.len()),
                };
                let line = format!("{} {what}: {culprit}; pods may lack networks until it is back", path.display());
                self.displaced[which].given_up = Some(line);
            }
            Step::PutBack | Step::Wait => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of something that is displaced again as soon as it is put back, in `looks` looks.
    fn fight(displaced: &mut Displaced, now: &mut Instant, looks: u32) -> usize {
        let mut times = 0;
        for _ in 0..looks {
            *now += LOOK_EVERY;
            match displaced.step(*now) {
                Step::PutBack => {
                    times += 1;
                    displaced.put_back.push(*now);
                    displaced.looks = 0;
                }
                Step::GiveUp => displaced.given_up = Some(String::new()),
                Step::Wait => {}
            }
        }
        times
    }

    #[test]
    fn it_is_put_back_three_times_and_not_again() {
        let (mut displaced, mut now) = (Displaced::default(), Instant::now());
        assert_eq!(fight(&mut displaced, &mut now, 1), 0, "a file that is being written is not displaced");
        assert_eq!(fight(&mut displaced, &mut now, 1), 1);
        assert_eq!(fight(&mut displaced, &mut now, 40), 2);
        // Not for ever, nor after an hour.
        assert_eq!(fight(&mut displaced, &mut now, 20_000), 0);
        // A person put it back.
        displaced.is_over();
        assert_eq!(fight(&mut displaced, &mut now, 2), 1);
    }

    #[test]
    fn now_and_then_is_no_fight() {
        let (mut displaced, mut now) = (Displaced::default(), Instant::now());
        for _ in 0..10 {
            now += FORGOTTEN / 2;
            assert_eq!(fight(&mut displaced, &mut now, 2), 1);
            displaced.is_over();
        }
    }
}
