//! What a node does: the shipped [`Holder`] and [`Standing`], the plugin, and the machine.

use super::*;

impl World {
    pub(super) fn of_machine(&self, node: usize, without: Without) -> Vec<World> {
        let mut all = self.of_plugin(node);
        all.extend(self.of_late_requests(node));
        let own = &self.machines[node];
        let has_troubles = node == GONE || self.left.both;
        if self.left.boots > 0 && has_troubles && own.daemon.is_some() {
            let mut next = self.clone();
            next.left.boots -= 1;
            let booted = &mut next.machines[node];
            (booted.daemon, booted.valid, booted.used) = (None, false, [false; BLOCKS]);
            all.push(next);
        }
        let mut next = self.clone();
        let Some((holder, queue)) = &own.daemon else {
            next.start(node);
            all.push(next);
            return all;
        };
        if self.left.kills > 0 && has_troubles {
            let mut next = self.clone();
            next.left.kills -= 1;
            next.machines[node].daemon = None;
            all.push(next);
        }
        // The one that watches its record acts beside the one that works.
        if !matches!(Standing::of(self.records[node].clone()), Standing::Live(epoch) if epoch == own.epoch) {
            let mut next = self.clone();
            next.ask(node, without);
            all.push(next);
        }
        if let Some(effect) = queue.front() {
            if let Some((_, queue)) = &mut next.machines[node].daemon {
                queue.pop_front();
            }
            all.extend(next.carry_out(node, effect.clone(), without));
            return all;
        }
        if !own.synced {
            next.resync(node, without);
            all.push(next);
            return all;
        }
        if !own.valid || !own.asleep.is_empty() {
            let mut next = self.clone();
            next.stamp(node, without);
            all.push(next);
        }
        if self.left.wants > 0 {
            // That two want one block at once is in model.rs.
            let is_free = |at: &usize| self.store[*at].is_none() && !holder.unavailable().contains(&block(*at).first);
            for number in (0..self.left.blocks).filter(is_free) {
                let mut next = self.clone();
                next.left.wants -= 1;
                next.tell(node, Event::Want(block(number)));
                all.push(next);
            }
        }
        all
    }

    /// A request whose answer was lost is lost, too, or done now.
    fn of_late_requests(&self, node: usize) -> Vec<World> {
        let mut all = Vec::new();
        for late in &self.machines[node].late {
            let mut next = self.clone();
            next.machines[node].late.remove(late);
            all.push(next.clone());
            next.create(node, late);
            all.push(next);
        }
        all
    }

    fn of_plugin(&self, node: usize) -> Vec<World> {
        let own = &self.machines[node];
        let change = |at: usize, used: bool| {
            let mut next = self.clone();
            next.machines[node].used[at] = used;
            next
        };
        let offered = own.grant.iter().filter(|granted| own.valid && !own.asleep.contains(&granted.lease));
        let free = offered.map(|granted| number(granted.first)).filter(|at| !own.used[*at]);
        // Only of the one that is removed it makes a difference.
        let taken = (0..BLOCKS).filter(|at| own.used[*at] && node == GONE);
        free.map(|at| change(at, true)).chain(taken.map(|at| change(at, false))).collect()
    }

    pub(super) fn start(&mut self, node: usize) {
        let own = &mut self.machines[node];
        own.starts += 1;
        let published = if own.valid { own.grant.clone() } else { Vec::new() };
        own.daemon = Some((Holder::new(format!("n{node}.{}", own.starts), &published, &[]), VecDeque::new()));
        (own.synced, own.epoch) = (false, String::new());
    }

    fn tell(&mut self, node: usize, event: Event) {
        let Some((holder, queue)) = &mut self.machines[node].daemon else { return };
        queue.extend(holder.step(event));
    }

    /// Whether this node lives in the epoch of its blocks. What it may not grant is withdrawn.
    pub(super) fn ask(&mut self, node: usize, without: Without) -> bool {
        let standing = Standing::of(self.records[node].clone());
        let own = &mut self.machines[node];
        match &standing {
            Standing::Live(epoch) if *epoch == own.epoch => return true,
            Standing::Object(record) if without == Without::Objection && record.epoch == own.epoch => return true,
            Standing::Dead => own.grant.clear(),
            _ => {}
        }
        (own.valid, own.synced) = (false, false);
        match standing {
            Standing::Begin => {
                let version = self.next_version(node);
                let epoch = format!("e{version}");
                self.records[node] = Some(Record { epoch, version, revoked_at: String::new(), is_dead: false });
            }
            Standing::Object(record) => {
                self.write(node, &record, "", false, Without::Nothing);
            }
            Standing::Live(_) | Standing::Dead => {}
        }
        false
    }

    pub(super) fn resync(&mut self, node: usize, without: Without) {
        let Standing::Live(epoch) = Standing::of(self.records[node].clone()) else {
            self.ask(node, without);
            return;
        };
        let own = &mut self.machines[node];
        if own.epoch != epoch {
            // A process that begins may go on with what is published, of this epoch or of another one.
            own.valid &= own.epoch.is_empty();
            own.epoch.clone_from(&epoch);
        }
        own.synced = true;
        let owned = self.owned(node, &epoch);
        self.tell(node, Event::Listed(owned));
    }

    fn owned(&self, node: usize, epoch: &str) -> Vec<Owned> {
        let of = |at: usize| {
            let lease = self.store[at].as_ref().filter(|lease| lease.owner == node)?;
            let (version, is_current) = (lease.version.to_string(), lease.epoch == epoch);
            Some(Owned { block: block(at), lease: lease.lease.clone(), version, is_current })
        };
        (0..BLOCKS).filter_map(of).collect()
    }

    pub(super) fn stamp(&mut self, node: usize, without: Without) {
        if without == Without::Unasked || self.ask(node, without) {
            self.publish(node);
            self.machines[node].valid = true;
            self.machines[node].asleep.clear();
        }
    }

    pub(super) fn publish(&mut self, node: usize) {
        let own = &mut self.machines[node];
        if let Some((holder, _)) = &own.daemon {
            own.grant = holder.held();
        }
    }

    fn create(&mut self, node: usize, (at, epoch, lease): &(usize, String, String)) -> Event {
        if self.store[*at].is_some() {
            return Event::Conflict(block(*at).first);
        }
        self.put(node, *at, epoch, lease)
    }

    fn put(&mut self, node: usize, at: usize, epoch: &str, lease: &str) -> Event {
        self.revisions.0[at] += 1;
        let version = self.revisions.0[at];
        self.store[at] = Some(Lease { owner: node, epoch: epoch.to_owned(), lease: lease.to_owned(), version });
        Event::Written(block(at).first, version.to_string())
    }

    fn carry_out(mut self, node: usize, effect: Effect, without: Without) -> Vec<World> {
        let epoch = self.machines[node].epoch.clone();
        let mut lost = None;
        match effect {
            Effect::Publish => self.publish(node),
            Effect::Confirm => {
                if without == Without::Confirmation || self.ask(node, without) {
                    self.tell(node, Event::Confirmed);
                    // Within seconds, and a quarantine is longer.
                    self.publish(node);
                }
            }
            Effect::Create(asked, lease) => return self.try_to_create(node, (number(asked.first), epoch, lease)),
            Effect::Renew(asked, lease, version) => {
                let at = number(asked.first);
                let is_it = |known: &Lease| known.owner == node && known.version.to_string() == version;
                let event = match self.store[at].as_ref().is_some_and(is_it) {
                    true => self.put(node, at, &epoch, &lease),
                    false => Event::Conflict(asked.first),
                };
                self.tell(node, event);
            }
            // Nothing is given back here: model.rs.
            Effect::Delete(..) => {}
            Effect::Look(asked) => {
                if self.left.silences > 0 && (node == GONE || self.left.both) {
                    lost = Some(self.clone().without_an_answer(node));
                }
                let event = match &self.store[number(asked.first)] {
                    None => Event::Absent(asked.first),
                    Some(lease) if lease.owner != node => Event::Others(asked.first),
                    Some(_) => {
                        let mut owned = self.owned(node, &epoch).into_iter();
                        Event::Seen(owned.find(|owned| owned.block == asked).unwrap())
                    }
                };
                self.tell(node, event);
            }
        }
        lost.into_iter().chain([self]).collect()
    }

    /// The next list shows what became of it.
    fn without_an_answer(mut self, node: usize) -> Self {
        self.left.silences -= 1;
        self.machines[node].synced = false;
        self
    }

    fn try_to_create(mut self, node: usize, request: (usize, String, String)) -> Vec<World> {
        let mut all = Vec::new();
        if self.left.silences > 0 && (node == GONE || self.left.both) {
            for is_done in [true, false] {
                let mut quiet = self.clone();
                quiet.left.silences -= 1;
                if is_done {
                    quiet.create(node, &request);
                } else {
                    quiet.machines[node].late.insert(request.clone());
                }
                quiet.tell(node, Event::Unanswered(block(request.0).first));
                all.push(quiet);
            }
        }
        let event = self.create(node, &request);
        self.tell(node, event);
        all.push(self);
        all
    }
}
