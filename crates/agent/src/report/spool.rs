//! Reports that the hub has not acknowledged, bounded.
//!
//! When full, the oldest report whose key has a later one goes first, then the oldest of all; a gap takes
//! its place. Adjacent gaps are one. The file (see [`super::file`]) holds the same in the same order.

use std::collections::{HashMap, VecDeque};
use std::path::Path;

use api::report::{Gap, GapReason, Kind, Up, encode};
use bytes::Bytes;
use jiff::Timestamp;

use super::file::{Read, SpoolFile};

/// About 5,000 changes; a store that is busy changes some hundred times a day.
const BYTES_MAX: usize = 2 * 1024 * 1024;

pub struct Spool {
    incarnation: String,
    entries: VecDeque<Entry>,
    bytes: usize,
    bytes_max: usize,
    /// Of each key that is in `entries`: the last sequence.
    latest: HashMap<(Kind, String), u64>,
    next_sequence: u64,
    acknowledged: u64,
    /// UID and epoch of the hub that acknowledged.
    hub: Option<(String, u64)>,
    /// A current value was dropped: state has to be told again when there is room.
    lost_state: bool,
    file: Option<SpoolFile>,
}

struct Entry {
    first: u64,
    last: u64,
    /// Of a report of state.
    key: Option<(Kind, String)>,
    /// What is lost with it, telling all state again brings back.
    is_state: bool,
    gap: Option<GapReason>,
    line: Bytes,
}

impl Spool {
    pub fn open(path: Option<&Path>, now: Timestamp) -> Self {
        Self::open_bounded(path, now, BYTES_MAX)
    }

    fn open_bounded(path: Option<&Path>, now: Timestamp, bytes_max: usize) -> Self {
        let (file, read) = match path.map(SpoolFile::open) {
            Some(Ok((file, read))) => (Some(file), read),
            Some(Err(error)) => {
                tracing::error!(%error, "the report spool is not usable, reports are kept in memory only");
                (None, None)
            }
            None => (None, None),
        };
        let mut spool = Self {
            incarnation: String::new(),
            entries: VecDeque::new(),
            bytes: 0,
            bytes_max,
            latest: HashMap::new(),
            next_sequence: 1,
            acknowledged: 0,
            hub: None,
            lost_state: false,
            file,
        };
        match read {
            Some(read) => spool.load(read),
            None => spool.begin_anew(now),
        }
        spool
    }

    fn load(&mut self, read: Read) {
        self.incarnation = read.incarnation;
        self.acknowledged = read.acknowledged;
        self.hub = read.hub;
        self.next_sequence = read.acknowledged + 1;
        for frame in read.frames {
            let (Some(first), Some(last)) = (frame.first_sequence(), frame.last_sequence()) else { continue };
            if last > self.acknowledged
                && let Ok(line) = encode(&frame)
            {
                self.push(entry_of(&frame, first, last, line.into()));
            }
            self.next_sequence = self.next_sequence.max(last + 1);
        }
        self.shrink();
    }

    /// Draws a new incarnation: sequences begin at 1 again and what was spooled is dropped.
    pub fn begin_anew(&mut self, now: Timestamp) {
        let mut random = [0u8; 8];
        if getrandom::fill(&mut random).is_err() {
            random = now.as_nanosecond().to_le_bytes()[..8].try_into().unwrap_or(random);
        }
        self.incarnation = format!("{}-{:016x}", now.as_second(), u64::from_le_bytes(random));
        self.entries.clear();
        self.latest.clear();
        self.bytes = 0;
        self.next_sequence = 1;
        self.acknowledged = 0;
        self.lost_state = false;
        self.rewrite();
    }

    pub fn incarnation(&self) -> &str {
        &self.incarnation
    }

    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    #[cfg(test)]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The lowest sequence that can still be sent.
    pub fn first_retained(&self) -> u64 {
        self.entries.front().map_or(self.next_sequence, |entry| entry.first)
    }

    /// Adds a frame whose sequence is [`Spool::next_sequence`].
    pub fn append(&mut self, frame: Up) {
        let (Some(first), Some(last)) = (frame.first_sequence(), frame.last_sequence()) else { return };
        debug_assert_eq!(first, self.next_sequence, "sequences rise by one");
        let line = match encode(&frame) {
            Ok(line) => Bytes::from(line),
            Err(error) => {
                tracing::error!(%error, "report dropped");
                return;
            }
        };
        self.next_sequence = last + 1;
        if let Some(file) = &mut self.file {
            file.append(&line);
        }
        self.push(entry_of(&frame, first, last, line));
        self.shrink();
    }

    /// Returns the lines after a sequence, as many as fit, each with its last sequence.
    pub fn after(&self, sequence: u64, bytes_max: usize) -> Vec<(u64, Bytes)> {
        let mut bytes = 0;
        let mut fits = |line: &Bytes| {
            let is_first = bytes == 0;
            bytes += line.len();
            is_first || bytes <= bytes_max
        };
        let start = self.entries.partition_point(|entry| entry.last <= sequence);
        self.entries.range(start..).take_while(|entry| fits(&entry.line)).map(|entry| (entry.last, entry.line.clone())).collect()
    }

    /// Returns the file if something was appended to it since; once it is synced, that survives a power loss.
    pub fn sync(&mut self) -> Option<std::fs::File> {
        self.file.as_mut().and_then(SpoolFile::take_unsynced)
    }

    /// Forgets what the hub holds durably; returns whether state that was dropped can be told again now.
    pub fn acknowledge(&mut self, sequence: u64) -> bool {
        if sequence <= self.acknowledged || sequence >= self.next_sequence {
            return false;
        }
        self.acknowledged = sequence;
        while self.entries.front().is_some_and(|entry| entry.last <= sequence) {
            self.pop_front();
        }
        let is_empty = self.entries.is_empty();
        match &mut self.file {
            Some(file) if is_empty && file.is_worth_rewriting() => self.rewrite(),
            Some(file) => file.acknowledge(sequence),
            None => {}
        }
        is_empty && std::mem::take(&mut self.lost_state)
    }

    /// Takes note of which hub acknowledges; returns whether it is another one than before, or a restored one.
    pub fn meet_hub(&mut self, uid: &str, epoch: u64) -> bool {
        let met = (uid.to_owned(), epoch);
        if self.hub.as_ref() == Some(&met) {
            return false;
        }
        let is_change = self.hub.is_some();
        self.hub = Some(met);
        self.rewrite();
        is_change
    }

    fn push(&mut self, entry: Entry) {
        if let Some(key) = &entry.key {
            self.latest.insert(key.clone(), entry.last);
        }
        self.bytes += entry.line.len();
        self.entries.push_back(entry);
    }

    fn pop_front(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.forget(&entry);
        }
    }

    fn forget(&mut self, entry: &Entry) {
        self.bytes -= entry.line.len();
        if let Some(key) = &entry.key
            && self.latest.get(key) == Some(&entry.last)
        {
            self.latest.remove(key);
        }
    }

    /// Drops reports until the spool fits.
    fn shrink(&mut self) {
        let mut dropped = 0;
        while self.bytes > self.bytes_max && self.entries.len() > 1 {
            let is_superseded = |entry: &Entry| entry.key.as_ref().is_some_and(|key| self.latest.get(key) != Some(&entry.last));
            let superseded = self.entries.iter().position(is_superseded);
            let oldest = self.entries.iter().position(|entry| entry.gap.is_none());
            let (index, reason) = match (superseded, oldest) {
                (Some(index), _) => (index, GapReason::Superseded),
                (None, Some(index)) => (index, GapReason::Lost),
                (None, None) => break,
            };
            self.drop_at(index, reason);
            dropped += 1;
        }
        if dropped > 0 {
            tracing::warn!(dropped, "the report spool is full: oldest reports dropped");
            self.rewrite();
        }
    }

    /// Replaces an entry by a gap, and joins it with gaps beside it.
    fn drop_at(&mut self, index: usize, reason: GapReason) {
        let Some(entry) = self.entries.remove(index) else { return };
        self.lost_state |= reason == GapReason::Lost && entry.is_state;
        self.forget(&entry);
        let (mut first, mut last, mut at, mut worst) = (entry.first, entry.last, index, reason);
        for neighbour in [index.checked_sub(1), Some(index)].into_iter().flatten().rev() {
            let Some(found) = self.entries.get(neighbour) else { continue };
            let Some(gap) = found.gap else { continue };
            let is_adjacent = found.last + 1 == first || last + 1 == found.first;
            // A gap keeps its own reason: what is lost must not hide what is superseded, nor the other way round.
            if !is_adjacent || gap != worst {
                continue;
            }
            first = first.min(found.first);
            last = last.max(found.last);
            worst = gap;
            at = at.min(neighbour);
            if let Some(found) = self.entries.remove(neighbour) {
                self.bytes -= found.line.len();
            }
        }
        let frame = Up::Gap(Gap { from: first, to: last, reason: worst });
        let Ok(line) = encode(&frame) else { return };
        let gap = entry_of(&frame, first, last, line.into());
        self.bytes += gap.line.len();
        self.entries.insert(at, gap);
    }

    fn rewrite(&mut self) {
        if let Some(file) = &mut self.file {
            let lines = self.entries.iter().map(|entry| &entry.line);
            file.rewrite(&self.incarnation, self.acknowledged, self.hub.as_ref(), lines);
        }
    }
}

fn entry_of(frame: &Up, first: u64, last: u64, line: Bytes) -> Entry {
    let (key, is_state, gap) = match frame {
        Up::Report(report) if report.kind.is_state() => (Some((report.kind.clone(), report.key.clone())), true, None),
        Up::Complete(_) => (None, true, None),
        Up::Gap(gap) => (None, false, Some(gap.reason)),
        Up::Report(_) | Up::Hello(_) => (None, false, None),
    };
    Entry { first, last, key, is_state, gap, line }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::report::{Report, decode};

    fn append(spool: &mut Spool, key: &str) {
        let sequence = spool.next_sequence();
        let value = serde_json::value::to_raw_value(&"x".repeat(100)).ok();
        let kind = if key.starts_with('e') { Kind::Event } else { Kind::Workload };
        spool.append(Up::Report(Report { sequence, observed_at: Timestamp::UNIX_EPOCH, kind, key: key.into(), value }));
    }

    fn tell(spool: &Spool) -> Vec<String> {
        let brief = |line: &Bytes| match decode::<Up>(line).unwrap() {
            Up::Report(r) => format!("{}{}", r.sequence, r.key),
            Up::Gap(g) => format!("{:?} {}-{}", g.reason, g.from, g.to),
            Up::Complete(_) | Up::Hello(_) => "?".into(),
        };
        spool.after(0, usize::MAX).iter().map(|(_, line)| brief(line)).collect()
    }

    #[test]
    fn a_full_spool_drops_what_is_superseded_first_and_shows_the_gaps() {
        let mut spool = Spool::open_bounded(None, Timestamp::UNIX_EPOCH, 1100);
        for key in ["a", "b", "a", "c", "e1", "d"] {
            append(&mut spool, key);
        }
        assert_eq!(tell(&spool), ["Superseded 1-1", "2b", "3a", "4c", "5e1", "6d"]);
        append(&mut spool, "f");
        append(&mut spool, "g");
        assert_eq!(tell(&spool), ["Superseded 1-1", "Lost 2-3", "4c", "5e1", "6d", "7f", "8g"]);
        assert!(!spool.acknowledge(7), "there is still something to send");
        assert!(spool.acknowledge(8), "state was lost, and there is room to tell it again");
        assert_eq!(spool.first_retained(), 9);
    }

    #[test]
    fn the_file_holds_what_is_not_acknowledged_through_a_kill() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("spool");
        let mut spool = Spool::open(Some(&path), Timestamp::UNIX_EPOCH);
        for key in ["a", "b", "c"] {
            append(&mut spool, key);
        }
        assert!(!spool.meet_hub("hub", 1));
        spool.acknowledge(1);
        let incarnation = spool.incarnation().to_owned();
        // No clean end, and a line that was being written.
        std::mem::forget(spool);
        let mut content = std::fs::read(&path).unwrap();
        content.extend_from_slice(b"{\"report\":{\"sequence\":4,");
        std::fs::write(&path, content).unwrap();
        let mut again = Spool::open(Some(&path), Timestamp::UNIX_EPOCH);
        assert_eq!((again.incarnation(), again.acknowledged(), again.next_sequence()), (incarnation.as_str(), 1, 4));
        assert_eq!(tell(&again), ["2b", "3c"]);
        assert!(!again.meet_hub("hub", 1));
        assert!(again.meet_hub("hub", 2), "a restored hub is another one");
        append(&mut again, "d");
        drop(again);
        assert_eq!(tell(&Spool::open(Some(&path), Timestamp::UNIX_EPOCH)), ["2b", "3c", "4d"]);
    }

    #[test]
    fn an_unreadable_file_is_set_aside_and_a_new_incarnation_drawn() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("spool");
        std::fs::write(&path, "garbage\n").unwrap();
        let mut spool = Spool::open(Some(&path), Timestamp::UNIX_EPOCH);
        append(&mut spool, "a");
        assert_eq!(spool.next_sequence(), 2);
        assert_eq!(std::fs::read_to_string(path.with_extension("unreadable")).unwrap(), "garbage\n");
    }
}
