//! How far one commit is behind another.
//!
//! A mirror is one commit deep, so the history in between is fetched when it is asked for: a piece of [`DEPTH`] commits
//! from each commit that is missed. It walks from both ends at once, the newest commit first, as `git rev-list from..to`.
//! What is not said: which files the commits touch.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use gix::ObjectId;

use crate::CommitId;

/// Commits fetched at once beyond a boundary.
pub(crate) const DEPTH: u32 = 50;
/// Pieces fetched for one question.
pub(crate) const PIECES_MAX: usize = 12;
/// Commits looked at for one question; what is more is told as more.
const COMMITS_MAX: usize = 2_000;

/// What a commit has that another has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distance {
    /// Merges are not counted: what they bring is.
    pub commits: u32,
    /// Whether there are more, which were not counted.
    pub is_more: bool,
    /// When, in seconds since 1970 and by its committer's clock, the branch took the first: a merge, where the branch
    /// takes merges, and not the older commits that it brought. None if nothing is between.
    pub since: Option<i64>,
}

/// What a walk came to.
#[derive(Debug)]
pub(crate) enum Walk {
    Done(Distance),
    /// It cannot go on without this commit.
    Lacks(CommitId),
}

/// A commit, as far as it matters here.
struct Known {
    seconds: i64,
    parents: Vec<ObjectId>,
}

/// Walks from `from` and `to` to where they meet. What `is_end` says is the end of what can be had.
pub(crate) fn between(repository: &gix::Repository, from: &CommitId, to: &CommitId, is_end: &dyn Fn(&CommitId) -> bool) -> Walk {
    let look = |id: ObjectId| {
        let commit = repository.find_commit(id).ok()?;
        let parents = commit.parent_ids().map(|parent| parent.detach()).collect();
        Some(Known { seconds: commit.time().map_or(0, |time| time.seconds), parents })
    };
    walk(&look, object(from), object(to), is_end)
}

fn walk(look: &dyn Fn(ObjectId) -> Option<Known>, from: ObjectId, to: ObjectId, is_end: &dyn Fn(&CommitId) -> bool) -> Walk {
    let mut known: HashMap<ObjectId, Known> = HashMap::new();
    // Whether `from` has it.
    let mut is_had: HashMap<ObjectId, bool> = HashMap::new();
    let mut queue: BTreeSet<(i64, ObjectId)> = BTreeSet::new();
    let mut oldest_lacked = i64::MAX;
    let mut to_visit = vec![(to, false), (from, true)];
    let mut is_more = false;
    loop {
        // 1. Commits that were met, or are now known to be had.
        while let Some((id, had)) = to_visit.pop() {
            if is_had.get(&id).is_some_and(|before| *before || !had) {
                continue;
            }
            is_had.insert(id, had);
            if let Entry::Vacant(place) = known.entry(id) {
                let commit = match look(id) {
                    Some(commit) => commit,
                    None if !is_end(&commit_id(id)) => return Walk::Lacks(commit_id(id)),
                    // As the first there is.
                    None => {
                        is_more |= !had;
                        Known { seconds: i64::MIN, parents: Vec::new() }
                    }
                };
                place.insert(commit);
            }
            queue.insert((known[&id].seconds, id));
        }
        // 2. Over when nothing is left that `from` might lack; clocks of committers differ, so not before what is left is older.
        let is_open = queue.iter().any(|(_, id)| !is_had[id]) || queue.last().is_some_and(|(seconds, _)| *seconds >= oldest_lacked);
        let newest = if is_open { queue.pop_last() } else { None };
        let Some((seconds, id)) = newest else { break };
        if known.len() > COMMITS_MAX {
            is_more = true;
            break;
        }
        // 3. Its parents.
        let had = is_had[&id];
        if !had {
            oldest_lacked = oldest_lacked.min(seconds);
        }
        to_visit.extend(known[&id].parents.iter().map(|parent| (*parent, had)));
    }
    let lacked = |id: &ObjectId| is_had.get(id) == Some(&false);
    let count = known.iter().filter(|(id, commit)| lacked(id) && commit.parents.len() < 2).count();
    let mut since = None;
    let mut next = Some(to);
    while let Some(id) = next.filter(lacked) {
        let commit = &known[&id];
        since = Some(commit.seconds).filter(|seconds| *seconds > i64::MIN).or(since);
        next = commit.parents.first().copied();
    }
    Walk::Done(Distance { commits: u32::try_from(count).unwrap_or(u32::MAX), is_more, since })
}

fn object(id: &CommitId) -> ObjectId {
    ObjectId::from_hex(id.as_str().as_bytes()).expect("a CommitId is 40 hexadecimal digits")
}

fn commit_id(id: ObjectId) -> CommitId {
    id.to_string().parse().expect("an object's id is 40 hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commits as `name seconds: parents`, a letter each.
    fn check(history: &str, from: char, to: char, expect: (u32, bool, Option<i64>)) {
        let id = |name: char| ObjectId::from_hex(format!("{:040x}", u32::from(name)).as_bytes()).expect("an id");
        let commits: HashMap<ObjectId, (i64, Vec<ObjectId>)> = history
            .split(';')
            .map(|line| {
                let (head, parents) = line.trim().split_once(':').expect("a line");
                let (name, seconds) = head.split_once(' ').expect("a time");
                let parents = parents.split_whitespace().flat_map(str::chars).map(id).collect();
                (id(name.chars().next().expect("a name")), (seconds.parse().expect("a number"), parents))
            })
            .collect();
        let look = |id: ObjectId| commits.get(&id).map(|(seconds, parents)| Known { seconds: *seconds, parents: parents.clone() });
        match walk(&look, id(from), id(to), &|_| true) {
            Walk::Done(found) => assert_eq!((found.commits, found.is_more, found.since), expect, "{history}: {from}..{to}"),
            Walk::Lacks(commit) => panic!("{history}: lacks {commit}"),
        }
    }

    #[test]
    fn what_one_has_and_the_other_has_not_is_counted_without_merges() {
        let line = "a 1:; b 2: a; c 3: b; d 4: c";
        check(line, 'a', 'd', (3, false, Some(2)));
        check(line, 'd', 'd', (0, false, None));
        check(line, 'd', 'a', (0, false, None));
        // A branch that takes merges: since the first merge, not since the first commit that it brought.
        let merged = "a 1:; b 2: a; m 3: a b; c 4: b; d 5: c; n 9: m d";
        check(merged, 'm', 'n', (2, false, Some(9)));
        check(merged, 'a', 'n', (3, false, Some(3)));
        // Somebody wrote history anew: what is there now and was not.
        check("a 1:; b 2: a; c 3: b; x 4: a; y 5: x", 'c', 'y', (2, false, Some(4)));
        check("a 1:; x 4:", 'a', 'x', (1, false, Some(4)));
    }

    #[test]
    fn clocks_that_are_wrong_count_nothing_twice() {
        // Commits that say they are older than what they stand on, and one from the future.
        check("a 50:; b 100: a; c 10: b; d 20: c", 'b', 'd', (2, false, Some(10)));
        check("a 50:; b 100: a; m 101: a b; c 10: b; d 11: c; n 12: m d", 'm', 'n', (2, false, Some(12)));
        check("a 1:; b 900: a; c 3: b; d 4: c; e 2: d", 'c', 'e', (2, false, Some(4)));
    }

    #[test]
    fn where_history_cannot_be_had_there_is_more() {
        check("d 4: c; c 3: b; a 1:", 'a', 'd', (3, true, Some(3)));
        // What the other lacks of its own past does not matter.
        check("d 4: c; c 3: b; b 2: a", 'b', 'd', (2, false, Some(3)));
    }

    #[test]
    fn a_walk_has_an_end() {
        let look = |id: ObjectId| {
            let number = u128::from_str_radix(&id.to_string()[8..], 16).expect("a number");
            let parent = ObjectId::from_hex(format!("{:040x}", number - 1).as_bytes()).expect("an id");
            Some(Known { seconds: i64::try_from(number).expect("small"), parents: vec![parent] })
        };
        let id = |number: u32| ObjectId::from_hex(format!("{number:040x}").as_bytes()).expect("an id");
        let Walk::Done(found) = walk(&look, id(1), id(1_000_000), &|_| false) else { panic!("it lacks nothing") };
        assert!(found.is_more && found.commits as usize >= COMMITS_MAX / 2, "{found:?}");
    }
}
