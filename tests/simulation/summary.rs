//! What many seeds counted together.

use crate::core::{Counts, Time};
use crate::plan::Plan;

#[derive(Default)]
pub struct Summary {
    seeds: u64,
    nodes: u64,
    with_quarantine_of_300: u64,
    counts: Counts,
    /// Of seeds whose pool is never exhausted nor lossy: pods, and writes of blocks.
    calm: (u64, u64),
}

impl Summary {
    pub fn add(&mut self, plan: &Plan, counts: &Counts) {
        self.seeds += 1;
        self.nodes += plan.nodes as u64;
        self.with_quarantine_of_300 += u64::from(plan.spec.reclaim.quarantine_seconds == 300);
        if plan.silences == 0 {
            self.calm.0 += counts.pods;
            self.calm.1 += counts.block_writes;
        }
        let all = &mut self.counts;
        for (sum, more) in [
            (&mut all.events, counts.events),
            (&mut all.pods, counts.pods),
            (&mut all.failed_adds, counts.failed_adds),
            (&mut all.leases, counts.leases),
            (&mut all.tries, counts.tries),
            (&mut all.block_writes, counts.block_writes),
            (&mut all.record_writes, counts.record_writes),
            (&mut all.reads, counts.reads),
            (&mut all.marks, counts.marks),
            (&mut all.returned, counts.returned),
            (&mut all.freed, counts.freed),
            (&mut all.faults, counts.faults),
            (&mut all.ended, counts.ended),
            (&mut all.stranded, counts.stranded),
            (&mut all.capacity, counts.capacity),
            (&mut all.restored, counts.restored),
            (&mut all.lost, counts.lost),
            (&mut all.forgotten, counts.forgotten),
        ] {
            *sum += more;
        }
        all.reclaims.extend(&counts.reclaims);
    }

    pub fn print(&self, what: &str) {
        if self.seeds == 0 {
            return;
        }
        let Counts { pods, leases, tries, block_writes, record_writes, reads, .. } = &self.counts;
        let ratio = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        println!("{} {what}, {} nodes in all:", self.seeds, self.nodes);
        println!(
            "  {} events, {} faults, {} ends between two steps, {pods} pods, {} ADDs failed",
            self.counts.events, self.counts.faults, self.counts.ended, self.counts.failed_adds
        );
        println!(
            "  {:.3} writes of blocks for each pod, {:.3} where no request is lost",
            ratio(*block_writes, *pods),
            ratio(self.calm.1, self.calm.0)
        );
        println!(
            "  {:.3} writes of records and {:.2} reads for each pod",
            ratio(*record_writes, *pods),
            ratio(*reads, *pods)
        );
        println!(
            "  {leases} leases, {:.3} tries for each; {} returned, {} freed",
            ratio(*tries, *leases),
            self.counts.returned,
            self.counts.freed
        );
        println!(
            "  {} addresses stranded of {}, {} blocks forgotten, {} marks of scarce pools",
            self.counts.stranded, self.counts.capacity, self.counts.forgotten, self.counts.marks
        );
        println!("  {} restored from a backup, {} addresses given twice by it", self.counts.restored, self.counts.lost);
        let mut reclaims = self.counts.reclaims.clone();
        reclaims.sort_unstable();
        let at = |part: usize| seconds(reclaims.get(reclaims.len() * part / 100).copied().unwrap_or_default());
        println!(
            "  removed machines: {}, free {} s after the quarantine, 95 % {} s, 99 % {} s",
            reclaims.len(),
            at(50),
            at(95),
            at(99)
        );
    }
}

fn seconds(time: Time) -> u64 {
    time.div_ceil(1000)
}
