//! Keeps a fleet in the foreground going: what dies is started again, and the rest goes on.
//!
//! A part that `muster down` ended has no pid file any more, one that died still has its: so what another command ended
//! on purpose stays down, and this one ends as well. Starting needs the fleet's turn; while another command has it, this
//! one waits. How often and when a part is started again, [`Deaths`] decides, without looking at anything.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::bail;
use tokio::time::Instant;

use crate::client::Hub;
use crate::layout::{Fleet, Layout, Part};
use crate::process;

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A part is started again at once, then after this, then after twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// After so long without a death, the next one counts as the first.
const STEADY: Duration = Duration::from_secs(60);
/// A part that dies so often within `HOPELESS_WITHIN`, and was never ready between, cannot run here.
const HOPELESS_DEATHS: usize = 5;
const HOPELESS_WITHIN: Duration = Duration::from_secs(60);

/// How watching ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Another command, such as `muster down`, ended the fleet.
    Elsewhere,
}

/// Starts again what dies, until another command ends the fleet or a part proves to be hopeless.
pub async fn keep(layout: &Layout, fleet: &Fleet, hub: &Hub, log: &str) -> anyhow::Result<Ended> {
    let mut parts = Part::ALL.map(|part| (part, Kept::ready(Instant::now())));
    loop {
        for (part, kept) in &mut parts {
            if let Some(ended) = look(layout, fleet, hub, log, *part, kept).await? {
                return Ok(ended);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What is known of a part.
struct Kept {
    state: State,
    deaths: Deaths,
}

#[derive(Clone, Copy)]
enum State {
    Ready,
    /// Runs, and does not answer yet.
    Started,
    /// One that could not even be started has no pid file.
    Dead {
        start_at: Instant,
        had_pid: bool,
    },
}

impl Kept {
    fn ready(now: Instant) -> Self {
        Self { state: State::Ready, deaths: Deaths { steady_since: now, in_a_row: 0, unready: VecDeque::new() } }
    }

    /// Says that a part died, and why; returns when it is started again.
    fn died(&mut self, part: Part, words: &str, had_pid: bool) -> anyhow::Result<Instant> {
        let (name, now) = (part.name(), Instant::now());
        let Some(pause) = self.deaths.died(now) else {
            bail!(
                "the {name} process died {HOPELESS_DEATHS} times within {} s and was never ready; its last words:\n{words}",
                HOPELESS_WITHIN.as_secs()
            );
        };
        let when = if pause.is_zero() { "now".to_owned() } else { format!("in {} s", pause.as_secs()) };
        eprintln!("the {name} process died and is started again {when}; its last words:\n{words}");
        let start_at = now + pause;
        self.state = State::Dead { start_at, had_pid };
        Ok(start_at)
    }
}

async fn look(layout: &Layout, fleet: &Fleet, hub: &Hub, log: &str, part: Part, kept: &mut Kept) -> anyhow::Result<Option<Ended>> {
    if process::is_running(layout, part) {
        // Somebody else may have started it.
        if !matches!(kept.state, State::Ready) && answers(fleet, hub, part).await && process::is_running(layout, part) {
            eprintln!("{} is back", part.title());
            kept.state = State::Ready;
            kept.deaths.was_ready();
        }
        return Ok(None);
    }
    // Whoever ends a part has the turn until its pid file is gone as well.
    let Some(turn) = process::try_turn(layout)? else { return Ok((!layout.is_used()).then_some(Ended::Elsewhere)) };
    if process::is_running(layout, part) {
        return Ok(None);
    }
    let has_pid = layout.pid(part).exists();
    let start_at = match kept.state {
        State::Dead { start_at, had_pid } if has_pid || !had_pid => start_at,
        State::Ready | State::Started if has_pid => kept.died(part, &process::last_words(layout, part), has_pid)?,
        State::Dead { .. } | State::Ready | State::Started => return Ok(Some(Ended::Elsewhere)),
    };
    if Instant::now() >= start_at {
        match process::start(&turn, layout, part, log) {
            Ok(_) => kept.state = State::Started,
            Err(error) => drop(kept.died(part, &format!("{error:#}"), layout.pid(part).exists())?),
        }
    }
    Ok(None)
}

/// Whether a part that runs can be used.
async fn answers(fleet: &Fleet, hub: &Hub, part: Part) -> bool {
    let port = match part {
        Part::Hub => return tokio::time::timeout(LOOK_EVERY, hub.get("/readyz", "*/*")).await.is_ok_and(|answer| answer.is_ok()),
        Part::Sim if fleet.clusters() == 0 => return true,
        Part::Sim => fleet.first_store_port(),
        Part::Git => fleet.git_port(),
        Part::Console => fleet.console_port(),
    };
    tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok()
}

/// How often a part died lately.
#[derive(Debug)]
struct Deaths {
    steady_since: Instant,
    in_a_row: u32,
    /// When it died without having been ready, since it last was.
    unready: VecDeque<Instant>,
}

impl Deaths {
    /// Returns how long to wait before the next start; none if there is no hope.
    fn died(&mut self, now: Instant) -> Option<Duration> {
        self.in_a_row = if now - self.steady_since >= STEADY { 1 } else { self.in_a_row + 1 };
        self.unready.push_back(now);
        while self.unready.front().is_some_and(|first| now - *first > HOPELESS_WITHIN) {
            self.unready.pop_front();
        }
        if self.unready.len() >= HOPELESS_DEATHS {
            return None;
        }
        let pause = match self.in_a_row {
            1 => Duration::ZERO,
            // 2^5 s is above the limit already.
            again => FIRST_PAUSE * (1 << (again - 2).min(5)),
        }
        .min(PAUSE_MAX);
        // Waiting is no steadiness.
        self.steady_since = now + pause;
        Some(pause)
    }

    fn was_ready(&mut self) {
        self.unready.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the pauses in seconds of a part that dies so long after each start.
    fn pauses(deaths: usize, lives: Duration, is_ready: bool) -> Vec<Option<u64>> {
        let mut now = Instant::now();
        let Kept { deaths: mut known, .. } = Kept::ready(now);
        let mut pauses = Vec::new();
        for _ in 0..deaths {
            now += lives;
            let pause = known.died(now);
            pauses.push(pause.map(|pause| pause.as_secs()));
            now += pause.unwrap_or_default();
            if is_ready {
                known.was_ready();
            }
        }
        pauses
    }

    #[test]
    fn a_part_is_started_again_at_once_and_then_ever_later() {
        let five = Duration::from_secs(5);
        assert_eq!(pauses(9, five, true), [0, 1, 2, 4, 8, 16, 30, 30, 30].map(Some));
        assert_eq!(pauses(3, STEADY, true), [0, 0, 0].map(Some), "what ran for long is no habit");
    }

    #[test]
    fn a_part_that_never_becomes_ready_is_given_up() {
        assert_eq!(pauses(5, Duration::from_millis(200), false), [Some(0), Some(1), Some(2), Some(4), None]);
        // One that takes long to die is tried for ever: its machine may only be slow.
        assert!(pauses(20, Duration::from_secs(20), false).iter().all(Option::is_some));
    }
}
