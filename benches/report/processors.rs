//! Who used the processors: what each process has used so far, by the name of its program.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// What was used until a moment.
#[derive(Clone, Debug)]
pub struct Used {
    /// By the processors together.
    all: Duration,
    /// By the processes of each program that is running.
    programs: BTreeMap<String, Duration>,
}

impl Used {
    /// Until now.
    pub fn now() -> Used {
        let stat = fs::read_to_string("/proc/stat").unwrap();
        // user, nice, system, then idle and iowait, irq, softirq, steal (proc(5)).
        let fields = numbers(stat.lines().next().unwrap().trim_start_matches("cpu"));
        let all = ticks(fields.iter().take(8).sum::<u64>() - fields[3] - fields[4]);
        let mut programs = BTreeMap::<String, Duration>::new();
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(stat) = fs::read_to_string(process.path().join("stat")) else { continue };
            let Some((before, after)) = stat.rsplit_once(')') else { continue };
            let name = before.split_once('(').map_or("", |(_, name)| name).to_owned();
            // Behind the name, which may hold anything: utime, stime are fields 14 and 15.
            let fields: Vec<&str> = after.split_whitespace().collect();
            let used = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
            *programs.entry(name).or_default() += ticks(used);
        }
        Used { all, programs }
    }

    /// Prints the seconds since `before`: of `named` programs, of `others` that have ended, and of all.
    pub fn print_since(&self, before: &Used, named: &[&str], (others, used): (&str, Duration)) {
        let mut rest = (self.all - before.all).saturating_sub(used);
        println!("| seconds of processor time in that burst | |\n|---|--:|\n| {others} | {:.2} |", used.as_secs_f64());
        for name in named {
            let of = |used: &Used| used.programs.get(*name).copied().unwrap_or_default();
            let used = of(self).saturating_sub(of(before));
            rest = rest.saturating_sub(used);
            println!("| {name} | {:.2} |", used.as_secs_f64());
        }
        println!("| the bench, the kernel's own work, what else runs | {:.2} |", rest.as_secs_f64());
    }
}

/// Of 1/100 s (`USER_HZ`).
fn ticks(count: u64) -> Duration {
    Duration::from_millis(count * 10)
}

fn numbers(line: &str) -> Vec<u64> {
    line.split_whitespace().map(|field| field.parse().unwrap()).collect()
}
