//! What a command exits with. Scripts depend on it: it changes with a major version only.

use std::process::ExitCode;

/// It is as asked for.
pub const OK: u8 = 0;
/// The answer is no: not all is well, there is a difference, a condition is false.
pub const NO: u8 = 1;
/// The command line is not understood. clap says so by itself, with the same number.
pub const USAGE: u8 = 2;
/// It could not be done, or not be found out.
pub const ERROR: u8 = 3;
/// It did not become so in time.
pub const TIMEOUT: u8 = 4;
/// It was done for some and not for others.
pub const PARTIAL: u8 = 5;
/// Somebody pressed Ctrl-C; what was begun goes on without the command.
pub const INTERRUPTED: u8 = 130;

/// Told by `muster --help`.
pub const HELP: &str =
    "Exit codes: 0 ok; 1 no (a difference, not all well); 2 usage; 3 error; 4 timeout; 5 done for some only; 130 interrupted";

/// Returns the code of something done for some of many.
pub fn of_many(done: usize, failed: usize) -> ExitCode {
    ExitCode::from(match (done, failed) {
        (_, 0) => OK,
        (0, _) => ERROR,
        _ => PARTIAL,
    })
}
