//! One pool on this node: carries out what [`Holder`] decides, one thing at a time.

use super::grants::Grants;
use super::marks::Marks;
use super::metrics::AddressMetrics;
use super::questions::{Answer, Inventory, Questions};
use super::sizes;
use super::standing::Standing;
use crate::cluster::{Kubernetes, Pauses};
use crate::facts::node_blocks::now;
use crate::ipam::holder::Owned;
use crate::ipam::pool::BlockSize;
use crate::ipam::question::Heed;
use crate::ipam::{Block, Confirmed, Effect, Event, Grant, Holder, Notes, PoolName, PoolSpec, Report};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How often the API server is asked which blocks are ours: a person may have deleted one.
pub(super) const RESYNC_EVERY: Duration = Duration::from_secs(5 * 60);
/// After a list or a lease that failed. Further lists that fail are further apart: a server that answers nobody is asked less.
const PAUSE: Duration = Duration::from_secs(10);
/// Requests for one event; conflicts without an end would be somebody who writes our objects.
const MOST_EFFECTS: usize = 4096;

/// One pool on this node.
#[derive(Debug)]
pub struct Keeper {
    pub(super) pool: PoolName,
    /// Begins the names of leases: no other process has it.
    pub(super) prefix: String,
    grants: Arc<Grants>,
    pub(super) questions: Arc<Questions>,
    pub(super) marks: Arc<Marks>,
    pub(super) metrics: AddressMetrics,
    pub(super) state: Mutex<State>,
    /// Held by the one pod of this node that waits for a block of others.
    pub(super) turn: Mutex<()>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) holder: Option<Holder>,
    pub(super) spec: Option<PoolSpec>,
    /// Why this node takes no new address of the pool, if so.
    pub(super) barred: Option<String>,
    /// What the plugin was told of others that wait.
    told: Calls,
    /// What is known of the blocks besides.
    pub(super) notes: Notes,
    /// When it was last known which blocks others hold, and the version of that list.
    pub(super) others: Option<(Instant, String)>,
    /// When a block was written or looked at last: a list that was asked for before may not show it.
    written: Option<Instant>,
    /// The epoch of this node in which the blocks were last listed.
    epoch: String,
    confirmed: Confirmed,
    pub(super) synced: Option<Instant>,
    /// The sizes of blocks for which it is known that the pool has no others.
    sizes: Option<BlockSize>,
    /// When a block of a family (IPv4, IPv6) was leased last.
    pub(super) leased: [Option<Instant>; 2],
    /// Nothing is tried ahead of need before that.
    pause: Option<Instant>,
    /// When the last list was not answered, if that is why nothing is tried now.
    unanswered: Option<Instant>,
    /// The pauses after lists that fail; none after one that does not.
    pauses: Option<Pauses>,
}

impl State {
    /// Notes that the API server did not answer: it may when another pool asks.
    pub(super) fn unanswered(&mut self) {
        self.unanswered = Some(Instant::now());
    }
}

/// The word of a scarce pool, and those of blocks of this node that others ask for.
type Calls = (Option<String>, BTreeMap<IpAddr, String>);

impl Keeper {
    /// The keeper of `pool`.
    pub fn new(
        pool: PoolName,
        prefix: String,
        grants: Arc<Grants>,
        questions: Arc<Questions>,
        (marks, metrics): (Arc<Marks>, AddressMetrics),
    ) -> Self {
        Keeper { pool, prefix, grants, questions, marks, metrics, state: Mutex::default(), turn: Mutex::default() }
    }

    /// What is to be done without a question: blocks that the plugin has given back, the confirmation, and what it is told
    /// of a pool that is scarce. A list of the blocks comes before that, when it is time. Its questions may have been sent as early as
    /// `since`. Answers the families that run low, if it is time to lease ahead.
    pub async fn tend(&self, since: Instant) -> Vec<u8> {
        let report = self.grants.report(&self.pool);
        let mut state = self.state.lock().await;
        let state = &mut *state;
        self.heed_restore(state);
        let since = self.questions.restored().map_or(since, |restored| restored.max(since));
        let listed = self.questions.listed_since(since);
        // Another pool has a list now: nobody has to be asked for one, and the server answers again.
        let every = if listed.is_some() { RESYNC_EVERY / 2 } else { RESYNC_EVERY };
        let answers = state.unanswered.zip(listed).is_some_and(|(unanswered, listed)| unanswered < listed);
        let paused = !answers && state.pause.is_some_and(|until| Instant::now() < until);
        if !paused && state.synced.is_none_or(|synced| synced.elapsed() > every) {
            match self.resync(state, since).await {
                Ok(()) => {}
                Err(reason) => {
                    let unanswered = state.unanswered;
                    self.pause_after(state, Err(reason));
                    state.unanswered = unanswered;
                    let pauses = state.pauses.get_or_insert_with(|| Pauses::new(PAUSE, RESYNC_EVERY));
                    state.pause = pauses.next().map(|pause| Instant::now() + pause);
                }
            }
        }
        let since_boot = now().since_boot;
        let is_over = state.notes.fresh.values().any(|until| *until <= since_boot);
        state.notes.fresh.retain(|_, until| *until > since_boot);
        if state.holder.as_ref().is_some_and(|holder| is_over || state.told != self.calls(holder)) {
            let outcome = self.publish(state);
            self.pause_after(state, outcome);
        }
        self.take_back(state, &report).await;
        // Of a scarce pool nothing is kept, whatever was told before.
        if paused || state.told.0.is_some() {
            return Vec::new();
        }
        report.wants(&state.holder.as_ref().map(Holder::held).unwrap_or_default())
    }

    /// What was listed before etcd was restored from a backup says nothing any more: etcd may have forgotten blocks of this node.
    pub(super) fn heed_restore(&self, state: &mut State) {
        if self.questions.restored().is_some_and(|restored| state.synced.is_some_and(|synced| synced < restored)) {
            state.synced = None;
        }
    }

    /// What others ask for.
    fn calls(&self, holder: &Holder) -> Calls {
        let mut called = self.marks.called(&self.pool);
        // Also its own mark of before: who asks after it for the same block does not make another one.
        called.retain(|first, _| holder.holds(*first));
        (self.marks.word(&self.pool), called)
    }

    /// Takes back what the plugin has given back by now.
    pub(super) async fn take_reported(&self, state: &mut State) {
        let report = self.grants.report(&self.pool);
        self.take_back(state, &report).await;
    }

    async fn take_back(&self, state: &mut State, report: &Report) {
        let held = state.holder.as_ref().map(Holder::held).unwrap_or_default();
        for released in &report.released {
            if held.iter().any(|granted| granted.first == released.first && granted.lease == released.lease) {
                tracing::info!(pool = %self.pool, first = %released.first, "returning a block of addresses");
                let event = Event::Released(released.first, released.lease.clone());
                let outcome = self.happen(state, event).await.and_then(|trouble| trouble.map_or(Ok(()), Err));
                self.pause_after(state, outcome);
            }
        }
    }

    pub(super) fn pause_after(&self, state: &mut State, outcome: Result<(), String>) {
        if let Err(reason) = outcome {
            tracing::warn!(pool = %self.pool, reason, "the blocks of an address pool are not as they should be");
            state.unanswered = None;
            state.pause = Some(Instant::now() + PAUSE);
        }
    }

    /// Blocks that somebody took from this node.
    pub async fn lost(&self) -> Vec<String> {
        let state = self.state.lock().await;
        let lost = state.holder.iter().flat_map(Holder::lost);
        lost.map(|first| format!("pool {}, block {first}", self.pool)).collect()
    }

    /// Acts on what the API server said of this node at `since`.
    pub async fn stand(&self, standing: &Standing, since: Instant) {
        let mut state = self.state.lock().await;
        let state = &mut *state;
        if state.holder.is_none() {
            // What an earlier process granted.
            if matches!(standing, Standing::Dead | Standing::Revoked(_)) {
                let outcome = self.withdraw(state, *standing == Standing::Dead);
                self.pause_after(state, outcome);
            }
            return;
        }
        let outcome = self.heed(state, standing);
        let is_live = matches!(standing, Standing::Live(_));
        // What was withdrawn, or is of another epoch, is listed at once.
        let outcome = if is_live && outcome.is_err() { self.resync(state, since).await } else { outcome };
        if is_live {
            self.pause_after(state, outcome);
        }
    }

    /// Whether this node may grant in the epoch of its blocks. Where it may not, its grant is withdrawn first.
    ///
    /// # Errors
    /// Why not.
    fn heed(&self, state: &mut State, standing: &Standing) -> Result<(), String> {
        match standing.heed(&state.epoch, state.synced.is_some()) {
            Heed::Grant => return Ok(()),
            Heed::List | Heed::Wait => {}
            Heed::Withdraw => self.withdraw(state, false)?,
            Heed::Drop => self.withdraw(state, true)?,
        }
        Err(standing.epoch().err().unwrap_or_else(|| "the blocks of this node are to be listed again".to_owned()))
    }

    /// The plugin takes no new address before the next confirmation; nor does it have the blocks where they are freed.
    pub(super) fn withdraw(&self, state: &mut State, is_dead: bool) -> Result<(), String> {
        state.confirmed = Confirmed::default();
        state.synced = None;
        let Some(grant) = self.grants.grant(&self.pool) else { return Ok(()) };
        let grant = if is_dead { grant.dropped() } else { grant };
        let withdrawn = Grant { confirmed: Confirmed::default(), ..grant };
        self.grants.publish(&withdrawn).map_err(|e| format!("its grant cannot be written: {e}"))
    }

    /// Asks which blocks are ours. Then stamps the grant with the time **before** a question whether this node was removed,
    /// which was sent after the answer with the blocks. All is as it was at `since`, or later.
    ///
    /// The list of blocks may be shared with other pools. It is in the epoch of the last answer all the same: an AddressNode
    /// that is there before and after it, with one UID, was there all the time.
    pub(super) async fn resync(&self, state: &mut State, since: Instant) -> Result<(), String> {
        state.unanswered = None;
        self.read_pool(state, since).await?;
        let inventory = self.questions.blocks(since, state.written).await;
        if !inventory.is_known() {
            state.unanswered();
        }
        let (epoch, blocks, answered) = match inventory {
            Inventory::Live { epoch, blocks, answered } => (epoch, blocks, answered),
            Inventory::NotLive(standing) => return self.heed(state, &standing),
        };
        if state.holder.is_none() || epoch != state.epoch {
            if state.holder.is_some() {
                self.withdraw(state, false)?;
            }
            state.epoch = epoch;
        }
        let own = blocks?.iter().filter_map(|block| block.in_pool(&self.pool, &state.epoch)).collect();
        if state.holder.is_none() {
            let before = self.grants.grant(&self.pool).and_then(|grant| grant.taken_over(&now().boot));
            let offers = before.iter().flat_map(|grant| &grant.offers);
            let published: Vec<_> = offers.map(|offer| offer.granted.clone()).collect();
            let former = before.as_ref().map(|grant| grant.former.clone()).unwrap_or_default();
            state.holder = Some(Holder::new(self.prefix.clone(), &published, &former));
            let kept = before.iter().flat_map(|grant| &grant.offers).flat_map(|offer| &offer.kept);
            state.notes.kept = kept.copied().collect();
            state.confirmed = before.map(|grant| grant.confirmed).unwrap_or_default();
        }
        let trouble = self.happen(state, Event::Listed(own)).await?;
        self.learn_kept(state).await;
        let (stamp, standing) = self.questions.confirm(answered).await;
        if !matches!(&standing, Standing::Live(epoch) if *epoch == state.epoch) {
            state.synced = None;
            if matches!(standing, Standing::Unknown(_)) {
                state.unanswered();
            }
            return self.heed(state, &standing);
        }
        (state.confirmed, state.synced) = (stamp.confirmed, Some(stamp.asked));
        // The server answers again, whoever asked.
        (state.pause, state.pauses) = (None, None);
        self.publish(state)?;
        trouble.map_or(Ok(()), Err)
    }

    pub(super) fn kubernetes(&self) -> Result<&Kubernetes, String> {
        self.questions.kubernetes()
    }

    /// Tells the holder what happened, and does what it wants done; answers what the API server said against it.
    ///
    /// # Errors
    /// What is granted cannot be written: nothing that comes after it was done.
    pub(super) async fn happen(&self, state: &mut State, event: Event) -> Result<Option<String>, String> {
        let (kubernetes, pool) = (self.kubernetes()?, &self.pool);
        let step =
            |state: &mut State, event| state.holder.as_mut().map(|holder| holder.step(event)).unwrap_or_default();
        let mut queue = VecDeque::from(step(state, event));
        let mut trouble = None;
        for _ in 0..MOST_EFFECTS {
            let Some(effect) = queue.pop_front() else { return Ok(trouble) };
            let (event, why) = match effect {
                Effect::Publish => {
                    self.publish(state)?;
                    continue;
                }
                Effect::Confirm => {
                    let standing = self.questions.standing().await;
                    if !matches!(&standing, Standing::Live(epoch) if *epoch == state.epoch) {
                        // What comes after it may only shrink what is granted, and the next list shows the rest.
                        trouble = Some(self.heed(state, &standing).err().unwrap_or_default());
                        state.synced = None;
                        continue;
                    }
                    if state.holder.as_ref().is_some_and(Holder::has_new)
                        && let Err(why) = self.judge_new(state).await
                    {
                        trouble = Some(why);
                        queue.extend(step(state, Event::Declined));
                    }
                    (Event::Confirmed, None)
                }
                // The pool was created again: other nodes may have leased parts of it by now.
                Effect::Create(block, _) if !self.is_of_this_size(state, &block) => (Event::Others(block.first), None),
                Effect::Create(block, lease) => kubernetes.create_block(pool, &block, &state.epoch, &lease).await,
                Effect::Renew(block, lease, version) => {
                    let owned = Owned { block, lease, version, is_current: true };
                    kubernetes.renew_block(pool, &owned, &state.epoch).await
                }
                Effect::Delete(block, version) => kubernetes.delete_block(pool, &block, &version).await,
                Effect::Look(block) => match kubernetes.look_at_block(pool, &block, &state.epoch).await {
                    Ok(event) => (event, None),
                    // The next list shows what became of it.
                    Err(e) => {
                        trouble = Some(e.to_string());
                        continue;
                    }
                },
            };
            state.written = Some(Instant::now());
            if matches!(event, Event::Conflict(_)) {
                self.metrics.conflicted();
            }
            trouble = why.or(trouble);
            queue.extend(step(state, event));
        }
        Err("its objects change while they are written".to_owned())
    }

    /// Whether a block may be granted that this node never had before, now that it is created.
    ///
    /// # Errors
    /// Why not.
    async fn judge_new(&self, state: &mut State) -> Result<(), String> {
        // Its creation may have shown that etcd was restored.
        if let Some(why) = self.questions.on_hold() {
            return Err(why);
        }
        if self.pool.is_implied() {
            return Ok(());
        }
        sizes::judge(self.kubernetes()?, &self.pool, state.spec.as_ref(), &mut state.sizes).await
    }

    /// Whether `block` has the size that blocks of the pool have now.
    fn is_of_this_size(&self, state: &State, block: &Block) -> bool {
        let sizes = state.spec.as_ref().map(|spec| &spec.block_size);
        let size = sizes.map(|sizes| if block.first.is_ipv4() { sizes.v4 } else { sizes.v6 });
        self.pool.is_implied() || size.is_none_or(|size| size == block.size)
    }

    pub(super) fn publish(&self, state: &mut State) -> Result<(), String> {
        let (Some(holder), Some(spec)) = (&state.holder, &state.spec) else { return Ok(()) };
        let drained = state.barred.as_ref().map(|_| spec.drained());
        let spec = drained.as_ref().unwrap_or(spec);
        let calls = self.calls(holder);
        state.notes.called.clone_from(&calls.1);
        let grant = Grant::new(self.pool.clone(), spec, state.confirmed.clone(), holder.held());
        let grant = grant.looking_for(holder.former()).noted(&state.notes);
        let grant = calls.0.iter().fold(grant, |grant, word| grant.while_scarce(word));
        self.grants.publish(&grant).map_err(|e| format!("its grant cannot be written: {e}"))?;
        state.told = calls;
        Ok(())
    }
}
