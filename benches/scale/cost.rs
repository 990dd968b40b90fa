//! What the API server and etcd have used.

use crate::support::apiserver::ApiServer;
use std::fs;
use std::time::Duration;

/// Both processes.
pub struct Meter([u32; 2]);

/// Of both together.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// User and system time.
    pub cpu: Duration,
    /// Resident, in KiB.
    pub memory: u64,
}

impl Meter {
    pub fn of(server: &ApiServer) -> Self {
        Meter(server.processes())
    }

    pub fn read(&self) -> Cost {
        let costs = self.0.map(of_process);
        Cost { cpu: costs[0].cpu + costs[1].cpu, memory: costs[0].memory + costs[1].memory }
    }
}

impl Cost {
    /// The time since `earlier`, and the memory of now.
    pub fn since(self, earlier: Cost) -> Self {
        Cost { cpu: self.cpu.saturating_sub(earlier.cpu), ..self }
    }

    /// Without the time of `other`.
    pub fn without(self, other: Duration) -> Self {
        Cost { cpu: self.cpu.saturating_sub(other), ..self }
    }

    /// What of this cost, which was measured for `whole`, is of `part`.
    pub fn share(self, part: Duration, whole: Duration) -> Duration {
        self.cpu.mul_f64(part.as_secs_f64() / whole.as_secs_f64())
    }
}

/// What a process has used. proc(5): the times of `stat` are in ticks of a hundredth of a second on every architecture of Linux.
pub fn of_process(process: u32) -> Cost {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The program's name, in parentheses, may contain spaces.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = [11, 12].map(|field: usize| fields[field].parse::<u64>().unwrap()).iter().sum();
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    Cost { cpu: Duration::from_millis(ticks * 10), memory: line.split_whitespace().nth(1).unwrap().parse().unwrap() }
}
