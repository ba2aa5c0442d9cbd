//! `muster tour`: what to try on a fleet, as lines to copy.
//!
//! `examples/NAME/tour.md` is the tour: Markdown with headings, words, and commands behind four spaces. What stands for
//! places of this fleet (`${DIR}`, `${GIT_URL}`, `${STORE}`) and for versions (`${TAG}` runs now, `${NEXT}` is free) is filled
//! in, so that every line works as it is printed, also when the tour was taken before. Words are folded to the terminal;
//! commands never are.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use sim::Example;

use crate::layout::{Fleet, Layout};

/// Lines longer than that are hard to read, however wide the terminal is.
const WIDTH_MOST: usize = 100;
const WIDTH_LEAST: usize = 40;
/// One goes offline, another goes on.
pub const STORES_LEAST: u32 = 2;
/// Commands are not found by accident: no word of the tour begins so.
const COMMAND: &str = "    ";

#[derive(Args)]
pub struct Tour {
    /// Directory of a fleet that `muster up` started.
    #[arg(long, default_value = ".muster", env = "MUSTER_DIR")]
    dir: PathBuf,
}

impl Tour {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let layout = Layout::new(&self.dir);
        let fleet = layout.existing()?;
        if fleet.stores < STORES_LEAST {
            bail!("a tour needs {STORES_LEAST} stores, and the fleet in {} has {}", layout.dir.display(), fleet.stores);
        }
        let text = tour(&layout, &fleet)?;
        say!("{}", printed(&text, &Look::of_terminal()).trim_end());
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns how a fleet that just came up points to its tour: the first commands, and where the others are.
pub fn pointer(layout: &Layout, fleet: &Fleet) -> anyhow::Result<String> {
    let text = tour(layout, fleet)?;
    let commands: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(COMMAND)).collect();
    let first = commands.iter().take(2).map(|command| format!("  {command}\n"));
    Ok(format!("tour, to copy into another terminal:\n{}  muster tour\n", first.collect::<String>()))
}

/// Returns the tour with everything filled in.
fn tour(layout: &Layout, fleet: &Fleet) -> anyhow::Result<String> {
    let example = Example::named(&fleet.example)?;
    let text = example.file("tour.md").with_context(|| format!("the example {} has no tour", fleet.example))?;
    let (head, text) = text.split_once("\n\n").context("tour.md has no head")?;
    let of_head = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    let (image, place) = (of_head("image:"), of_head("in:"));
    let [repository, branch, file] = place.split(' ').collect::<Vec<_>>()[..] else { bail!("tour.md: in: {place}") };
    let repository = layout.repos().join(format!("{repository}.git"));
    let content = git_show(&repository, &format!("{branch}:{file}"))?;
    let tag = tag_in(&content, &image).with_context(|| format!("{file} on {branch} has no tag of {image}"))?;
    let quoted = |path: &Path| quoted(&path.display().to_string());
    let filled = [
        ("${PROGRAM_DIR}", quoted(program_dir()?.as_path())),
        ("${DIR}", quoted(&layout.dir)),
        ("${CLONE}", quoted(&free_clone(layout))),
        ("${GIT_URL}", fleet.git_url()),
        ("${STORE}", format!("store-{:04}", fleet.stores.min(3))),
        ("${OTHER}", "store-0001".to_owned()),
        ("${LAST}", after(&next(&tag))),
        ("${NEXT}", next(&tag)),
        ("${TAG}", tag),
    ];
    Ok(filled.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value)))
}

fn program_dir() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("where this program is cannot be read")?;
    Ok(program.parent().context("this program is in no directory")?.to_owned())
}

/// Returns where the tour's clone may go: a tour that was taken before left its own.
fn free_clone(layout: &Layout) -> PathBuf {
    let first = layout.dir.join("tour");
    let others = (2..).map(|number| layout.dir.join(format!("tour-{number}")));
    std::iter::once(first).chain(others).find(|path| !path.exists()).unwrap_or_default()
}

fn git_show(repository: &Path, object: &str) -> anyhow::Result<String> {
    let output = std::process::Command::new("git").arg("-C").arg(repository).args(["show", object]).output();
    let output = output.context("failed to run git: is it installed?")?;
    if !output.status.success() {
        bail!("{}: {}", repository.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the tag of an image: behind it, or as `newTag` of a kustomization on the next line.
fn tag_in(content: &str, image: &str) -> Option<String> {
    let mut lines = content.lines().skip_while(|line| !line.contains(image));
    let line = lines.next()?;
    let behind = line.split_once(image).and_then(|(_, rest)| rest.strip_prefix(':'));
    let tag = behind.or_else(|| lines.next()?.trim().strip_prefix("newTag:")).map(str::trim)?;
    (!tag.is_empty()).then(|| tag.to_owned())
}

/// Returns the next minor release: `1.9.0` after `1.8.2`. What is no version gets a number.
fn next(tag: &str) -> String {
    let good = tag.trim_end_matches("-nonexistent");
    let numbers: Vec<u32> = good.split('.').map_while(|part| part.parse().ok()).collect();
    match numbers[..] {
        [major, minor, _] => format!("{major}.{}.0", minor.saturating_add(1)),
        _ => format!("{good}-1"),
    }
}

/// Returns the patch release after a version: `1.9.1` after `1.9.0`.
fn after(version: &str) -> String {
    match version.rsplit_once('.') {
        Some((front, patch)) => format!("{front}.{}", patch.parse::<u32>().map_or(1, |patch| patch.saturating_add(1))),
        None => format!("{version}-1"),
    }
}

/// Returns a path as a shell takes it for one word.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// How a tour is laid out.
struct Look {
    width: usize,
    is_coloured: bool,
}

impl Look {
    fn of_terminal() -> Self {
        let stdout = std::io::stdout();
        if !stdout.is_terminal() {
            return Self { width: WIDTH_MOST, is_coloured: false };
        }
        let columns = rustix::termios::tcgetwinsize(&stdout).map_or(80, |size| usize::from(size.ws_col));
        let is_coloured = std::env::var_os("NO_COLOR").is_none();
        Self { width: columns.clamp(WIDTH_LEAST, WIDTH_MOST), is_coloured }
    }

    fn bold(&self, text: &str) -> String {
        if self.is_coloured { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn command(&self, text: &str) -> String {
        if self.is_coloured { format!("\x1b[36m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Lays Markdown out for a terminal; steps are numbered.
fn printed(text: &str, look: &Look) -> String {
    let mut out = String::new();
    let mut step = 0;
    let mut words: Vec<&str> = Vec::new();
    for line in text.lines().chain([""]) {
        let is_words = !line.is_empty() && !line.starts_with(['#', ' ']);
        if is_words {
            words.extend(line.split_whitespace());
            continue;
        }
        out.push_str(&folded(&std::mem::take(&mut words), look.width));
        if let Some(title) = line.strip_prefix("# ") {
            out.push_str(&format!("{}\n", look.bold(title)));
        } else if let Some(title) = line.strip_prefix("## ") {
            step += 1;
            out.push_str(&format!("{}\n", look.bold(&format!("{step}. {title}"))));
        } else if let Some(command) = line.strip_prefix(COMMAND) {
            out.push_str(&format!("{COMMAND}{}\n", look.command(command)));
        } else {
            out.push('\n');
        }
    }
    out
}

fn folded(words: &[&str], width: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in words {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            out.push('\n');
            column = 0;
        }
        if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    if column > 0 {
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_folded_and_commands_are_not() {
        let text = "# A tour\nIn some words.\n\n## Look\nLook at this, it is\nlong.\n\n    muster status --wait --timeout 300s\n";
        let look = Look { width: 12, is_coloured: false };
        let expected = "A tour\nIn some\nwords.\n\n1. Look\nLook at\nthis, it is\nlong.\n\n    muster status --wait --timeout 300s\n\n";
        assert_eq!(printed(text, &look), expected);
        let coloured = printed("## Look\n\n    ls\n", &Look { width: 80, is_coloured: true });
        assert_eq!(coloured, "\x1b[1m1. Look\x1b[0m\n\n    \x1b[36mls\x1b[0m\n\n");
    }

    #[test]
    fn versions_are_those_of_the_repository() {
        let kustomization = "images:\n  - name: r/offers-api\n    newTag: 1.8.2\n  - name: r/uplink\n    newTag: 1.4.0\n";
        assert_eq!(tag_in(kustomization, "r/offers-api").as_deref(), Some("1.8.2"));
        assert_eq!(tag_in("        image: r/hello:1.0.0\n", "r/hello").as_deref(), Some("1.0.0"));
        assert_eq!(tag_in(kustomization, "r/none"), None);
        let after = ["1.8.2", "1.9.0-nonexistent", "latest"].map(next);
        assert_eq!(after, ["1.9.0", "1.10.0", "latest-1"]);
        assert_eq!(["1.9.0", "latest-1"].map(super::after), ["1.9.1", "latest-1-1"]);
    }

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        assert_eq!(quoted("/home/me/.muster"), "/home/me/.muster");
        assert_eq!(quoted("/home/it's me"), r"'/home/it'\''s me'");
    }

    #[test]
    fn every_example_has_a_tour_whose_places_are_all_known() {
        let root = tempfile::tempdir().expect("a directory");
        for name in ["first", "retail"] {
            let layout = Layout::new(&root.path().join(name));
            let fleet = Fleet { port: 7443, stores: 5, example: name.into() };
            Example::named(name).expect("there").make_repositories(&layout.repos()).expect("made");
            let text = tour(&layout, &fleet).expect("a tour");
            assert!(!text.contains("${"), "{text}");
            assert!(text.contains("http://127.0.0.1:7444/") && text.contains("store-0003"), "{text}");
            assert!(pointer(&layout, &fleet).expect("a pointer").contains("  muster tour"));
        }
    }
}
