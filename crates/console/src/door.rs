//! Who may come in: tickets that work once, sessions that follow from them, and the word that a change needs.
//!
//! Whoever can read the fleet's directory asks for a ticket; the browser that opens its link first gets a session. The
//! cookie is of the browser alone (`HttpOnly`), and comes with no request that another site begins (`SameSite=Strict`).
//! Cookies do not know ports: the name says ours, and requests are checked for their origin besides.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

pub const TICKETS_PATH: &str = "/login/tickets";
/// How long a link can be opened.
pub const TICKET_LIFE: SignedDuration = SignedDuration::from_secs(60);
/// A session ends when it was not used for this long.
const SESSION_IDLE: SignedDuration = SignedDuration::from_hours(12);
/// A session ends, used or not.
const SESSION_LIFE: SignedDuration = SignedDuration::from_hours(24 * 7);
/// The oldest goes when there would be more: a person has a few browsers, a test some more.
const SESSIONS_MAX: usize = 64;
const TICKETS_MAX: usize = 64;

/// What a browser that came in may say.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// What a request that changes something has to carry.
    pub csrf: String,
    /// Fires when the session goes, whyever: what is open for it ends then.
    pub gone: CancellationToken,
    begun: Timestamp,
    used: Timestamp,
}

/// A session that is here; dropping it ends what is open for it.
struct Kept {
    session: Session,
    _gone: DropGuard,
}

#[derive(Default)]
pub(crate) struct Door {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tickets: HashMap<String, Timestamp>,
    sessions: HashMap<String, Kept>,
}

impl Door {
    /// Returns a word that opens the door once.
    pub fn ticket(&self, now: Timestamp) -> Result<String, pki::Error> {
        let ticket = pki::token::random_hex(32)?;
        let mut state = self.state.lock();
        state.tickets.retain(|_, made| now.duration_since(*made) <= TICKET_LIFE);
        if state.tickets.len() >= TICKETS_MAX {
            drop_oldest(&mut state.tickets, |made| *made);
        }
        state.tickets.insert(ticket.clone(), now);
        Ok(ticket)
    }

    /// Takes a ticket; returns the session's id if it was good.
    pub fn enter(&self, ticket: &str, now: Timestamp) -> Result<Option<String>, pki::Error> {
        let mut state = self.state.lock();
        let is_good = state.tickets.remove(ticket).is_some_and(|made| now.duration_since(made) <= TICKET_LIFE);
        if !is_good {
            return Ok(None);
        }
        let id = pki::token::random_hex(32)?;
        let gone = CancellationToken::new();
        let session = Session { csrf: pki::token::random_hex(16)?, gone: gone.clone(), begun: now, used: now };
        state.sessions.retain(|_, kept| kept.session.is_good(now));
        if state.sessions.len() >= SESSIONS_MAX {
            drop_oldest(&mut state.sessions, |kept| kept.session.used);
        }
        state.sessions.insert(id.clone(), Kept { session, _gone: gone.drop_guard() });
        Ok(Some(id))
    }

    /// Returns the session with an id, which is used now.
    pub fn session(&self, id: &str, now: Timestamp) -> Option<Session> {
        let mut state = self.state.lock();
        let session = &mut state.sessions.get_mut(id).filter(|kept| kept.session.is_good(now))?.session;
        session.used = now;
        Some(session.clone())
    }

    pub fn leave(&self, id: &str) {
        self.state.lock().sessions.remove(id);
    }
}

impl Session {
    fn is_good(&self, now: Timestamp) -> bool {
        now.duration_since(self.used) <= SESSION_IDLE && now.duration_since(self.begun) <= SESSION_LIFE
    }

    /// Returns how long something may stay open for a request of now. Being open is not being used: the page asks for
    /// other things meanwhile, and a stream that ends is opened again by a browser that is still signed in.
    pub fn open_for(&self, now: Timestamp) -> Duration {
        let life = SESSION_LIFE - now.duration_since(self.begun);
        Duration::try_from(life.min(SESSION_IDLE)).unwrap_or_default()
    }
}

fn drop_oldest<T>(all: &mut HashMap<String, T>, age: impl Fn(&T) -> Timestamp) {
    if let Some(oldest) = all.iter().min_by_key(|(_, value)| age(value)).map(|(key, _)| key.clone()) {
        all.remove(&oldest);
    }
}

pub(crate) fn link(address: SocketAddr, ticket: &str) -> String {
    format!("http://{address}/login?token={ticket}")
}

/// Returns the name of the cookie of the console on a port.
pub(crate) fn cookie_name(port: u16) -> String {
    format!("muster-console-{port}")
}

/// Returns a cookie's value from the `Cookie` headers of a request.
pub(crate) fn cookie<'a>(headers: &'a http::HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(http::header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).expect("in range")
    }

    #[test]
    fn a_ticket_works_once_and_for_a_minute() {
        let door = Door::default();
        let ticket = door.ticket(at(0)).expect("random");
        let id = door.enter(&ticket, at(60)).expect("random").expect("good");
        assert!(door.session(&id, at(61)).is_some());
        assert!(door.enter(&ticket, at(61)).expect("random").is_none(), "used");
        let late = door.ticket(at(0)).expect("random");
        assert!(door.enter(&late, at(61)).expect("random").is_none(), "too late");
        assert!(door.enter("", at(0)).expect("random").is_none());
    }

    #[test]
    fn a_session_ends_when_left_when_idle_and_after_a_week() {
        let door = Door::default();
        let enter = || door.enter(&door.ticket(at(0)).expect("random"), at(0)).expect("random").expect("good");
        let (left, idle, long) = (enter(), enter(), enter());
        let session = door.session(&left, at(0)).expect("good");
        assert_eq!(session.open_for(at(0)), Duration::from_secs(12 * 3600));
        assert_eq!(session.open_for(at(24 * 7 * 3600 - 5)), Duration::from_secs(5));
        assert_eq!(session.open_for(at(24 * 7 * 3600 + 5)), Duration::ZERO);
        door.leave(&left);
        assert!(session.gone.is_cancelled());
        assert!(door.session(&left, at(1)).is_none());
        assert!(door.session(&idle, at(12 * 3600 + 1)).is_none());
        for hour in (0..24 * 7).step_by(6) {
            assert!(door.session(&long, at(hour * 3600)).is_some(), "hour {hour}");
        }
        assert!(door.session(&long, at(24 * 7 * 3600 + 1)).is_none());
    }

    #[test]
    fn no_more_sessions_are_kept_than_stated() {
        let door = Door::default();
        let first = door.enter(&door.ticket(at(0)).expect("random"), at(0)).expect("random").expect("good");
        let first = door.session(&first, at(0)).expect("good");
        for second in 0..200 {
            assert_eq!(first.gone.is_cancelled(), second > SESSIONS_MAX as i64 - 1);
            door.enter(&door.ticket(at(second + 1)).expect("random"), at(second + 1)).expect("random").expect("good");
        }
        assert_eq!(door.state.lock().sessions.len(), SESSIONS_MAX);
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = http::HeaderMap::new();
        headers.append(http::header::COOKIE, "a=1; muster-console-7445=x".parse().expect("ascii"));
        assert_eq!(cookie(&headers, "muster-console-7445"), Some("x"));
        assert_eq!(cookie(&headers, "muster-console-744"), None);
    }
}
