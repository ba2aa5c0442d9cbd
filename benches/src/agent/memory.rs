//! What the kernel says about a process's memory, in MB of a million bytes.

use std::collections::BTreeMap;

use anyhow::Context;

/// The figures of `/proc/<pid>/status`.
pub struct Memory {
    pub resident: f64,
    pub anonymous: f64,
    pub peak: f64,
}

impl Memory {
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the agent is gone")?;
        let mb = |name: &str| {
            status.lines().find_map(|line| kib(line, name)).with_context(|| format!("the kernel does not tell {name}")).map(mb)
        };
        Ok(Self { resident: mb("VmRSS:")?, anonymous: mb("RssAnon:")?, peak: mb("VmHWM:")? })
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} MB resident, {:.1} MB anonymous, {:.1} MB at its peak", self.resident, self.anonymous, self.peak)
    }
}

/// Returns the resident memory by what is mapped, largest first.
pub fn mappings(pid: u32) -> anyhow::Result<Vec<(String, f64)>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps")).context("the agent is gone")?;
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    let mut what = String::new();
    for line in text.lines() {
        if let Some(name) = mapping(line) {
            what = name;
        }
        *sums.entry(what.clone()).or_default() += kib(line, "Rss:").unwrap_or(0);
    }
    let mut sums: Vec<(String, u64)> = sums.into_iter().filter(|(_, kib)| *kib > 0).collect();
    sums.sort_by_key(|(_, kib)| std::cmp::Reverse(*kib));
    Ok(sums.into_iter().map(|(what, kib)| (what, mb(kib))).collect())
}

/// Reads the first line of a mapping: `7f00-7f10 r-xp 00000000 fe:00 12 /usr/lib/libc.so`.
fn mapping(line: &str) -> Option<String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let is_first = fields.len() >= 5 && fields[0].contains('-') && fields[1].len() == 4;
    let access = match *fields.get(1)? {
        access if access.contains('x') => "code",
        access if access.contains('w') => "data",
        _ => "constants",
    };
    let name = fields.get(5).map_or("anonymous", |path| path.rsplit('/').next().unwrap_or(path));
    is_first.then(|| if name.starts_with('[') || name == "anonymous" { name.to_owned() } else { format!("{name} {access}") })
}

fn kib(line: &str, name: &str) -> Option<u64> {
    line.strip_prefix(name)?.split_whitespace().next()?.parse().ok()
}

fn mb(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}
