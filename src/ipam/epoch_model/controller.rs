//! What a controller does: it reads, judges with the shipped [`Reclaimer`], and writes, each at another time.

use super::*;

impl Controller {
    fn clock(&self) -> Duration {
        Duration::from_secs(self.now.into())
    }
}

impl World {
    pub(super) fn of_controller(&self, at: usize, without: Without) -> Vec<World> {
        let mut next = self.clone();
        let mut all = Vec::new();
        match &self.controllers[at].plan {
            Plan::Nothing => {
                // Its watch tells where to look, early or late.
                let is_wanted = self.left.deletions == 0;
                if is_wanted {
                    let (look, ask) = Look::begin();
                    next.ask_for(at, look, ask, without);
                    all.push(next);
                }
            }
            Plan::Look(look, ask) => {
                next.ask_for(at, look.clone(), ask.clone(), without);
                all.push(next);
            }
            Plan::Asked(look, record, is_gone) => {
                let mut look = look.clone();
                look.read(record.clone(), next.controllers[at].clock());
                next.judge(at, look, *is_gone, without);
                all.push(next);
            }
            Plan::Do(step, blocks) => {
                let blocks = if without == Without::Order { self.seen() } else { blocks.clone() };
                all.extend(next.perform(at, step.clone(), blocks, without));
            }
            Plan::Free(blocks) => {
                let mut rest = blocks.clone();
                let Some((number, seen)) = rest.pop() else { return all };
                let is_same = self.store[number].as_ref() == Some(&seen) || without == Without::BlockVersion;
                if is_same {
                    next.store[number] = None;
                }
                next.controllers[at].plan = if rest.is_empty() { Plan::Nothing } else { Plan::Free(rest) };
                all.push(next);
            }
        }
        all.extend(self.pass(at, without));
        let started = Controller::default();
        if self.left.kills > 0 && self.controllers[at] != started {
            let mut next = self.clone();
            next.left.kills -= 1;
            next.controllers[at] = started;
            all.push(next);
        }
        all
    }

    fn seen(&self) -> Vec<Seen> {
        let of = |at: usize| Some((at, self.store[at].clone().filter(|lease| lease.owner == GONE)?));
        (0..BLOCKS).filter_map(of).collect()
    }

    /// Asks one question of a look.
    fn ask_for(&mut self, at: usize, mut look: Look<Seen>, ask: Ask<Seen>, without: Without) {
        let next = match ask {
            Ask::Blocks => look.listed(self.seen()),
            Ask::Record => {
                let controller = &mut self.controllers[at];
                controller.known.clone_from(&self.records[GONE]);
                look.read(controller.known.clone(), controller.clock())
            }
            Ask::Node if without == Without::Reading => {
                let controller = &mut self.controllers[at];
                controller.plan = Plan::Asked(look, controller.known.clone(), !self.is_there);
                return;
            }
            Ask::Node => return self.judge(at, look, !self.is_there, without),
            // It is a plan of its own.
            Ask::Do(..) => return,
        };
        self.controllers[at].plan = Plan::Look(look, next);
    }

    fn judge(&mut self, at: usize, mut look: Look<Seen>, is_gone: bool, without: Without) {
        let quarantine = Duration::from_secs(u64::from(without != Without::Quarantine));
        let controller = &mut self.controllers[at];
        let next = look.judge((&mut controller.reclaimer, "gone"), is_gone, |_| quarantine);
        let record = controller.known.take();
        let Ask::Do(step, blocks) = next else { return };
        controller.waits = (step == Step::Wait).then_some(record);
        controller.plan = match step {
            Step::Leave | Step::Wait => Plan::Nothing,
            Step::ClearStray if blocks.is_empty() => Plan::Nothing,
            step => Plan::Do(step, blocks),
        };
    }

    fn perform(mut self, at: usize, step: Step, blocks: Vec<Seen>, without: Without) -> Option<World> {
        self.controllers[at].plan = Plan::Nothing;
        let free = |blocks: Vec<Seen>| if blocks.is_empty() { Plan::Nothing } else { Plan::Free(blocks) };
        match step {
            Step::Leave | Step::Wait => {}
            Step::Revoke(record) => {
                self.left.marks = self.left.marks.checked_sub(1)?;
                self.write(GONE, &record, "now", false, Without::Nothing);
            }
            Step::Restore(record) => {
                self.write(GONE, &record, "", false, Without::Nothing);
            }
            Step::Bury(_) if without == Without::Death => self.controllers[at].plan = free(blocks),
            Step::Bury(record) => {
                self.write(GONE, &record, "now", true, without);
            }
            Step::Clear(record) if blocks.is_empty() => {
                let is_it = |current: &Record| current.epoch == record.epoch && current.version == record.version;
                if self.records[GONE].as_ref().is_some_and(is_it) {
                    self.records[GONE] = None;
                }
            }
            Step::Clear(_) => self.controllers[at].plan = free(blocks),
            Step::ClearStray => {
                self.controllers[at].reclaimer.forget("gone");
                self.controllers[at].plan = free(blocks);
            }
        }
        Some(self)
    }

    /// A quarantine passes by the clock of one controller.
    fn pass(&self, at: usize, without: Without) -> Option<World> {
        let mark = self.controllers[at].waits.as_ref()?;
        let mut next = self.clone();
        next.left.passes = self.left.passes.checked_sub(1)?;
        next.controllers[at].now += 1;
        next.controllers[at].waits = None;
        let machine = &mut next.machines[GONE];
        if !self.is_there && *mark == self.records[GONE] && without != Without::Quarantine {
            if machine.used.contains(&true) {
                return None;
            }
            machine.asleep = machine.grant.iter().map(|granted| granted.lease.clone()).collect();
        }
        Some(next)
    }
}
