//! Links the agent, and `muster`, for a small resident memory.
//!
//! A position-independent program is relocated when it starts, and a relocation is 24 bytes that are read then and stay
//! resident: megabytes for a program that is full of virtual tables. Packed (RELR, as every system library is by now) they
//! are a few kilobytes. Needs glibc 2.36 or musl 1.2.4 where they run; both are of 2022 and 2023.
//!
//! With `MUSTER_LINK=portable`, as `make dist` has it, they are not packed, for older systems, and the table of source
//! lines, which is most of the file, is left out.

fn main() {
    // Nothing else: `muster` is built by this file too, and a path would be looked for beside its own manifest.
    println!("cargo::rerun-if-env-changed=MUSTER_LINK");
    let is = |variable: &str, wanted: &str| std::env::var(variable).is_ok_and(|value| value == wanted);
    let link = |argument: &str| println!("cargo::rustc-link-arg-bins=-Wl,{argument}");
    if is("MUSTER_LINK", "portable") {
        // Zig links it, which has no identical code folding.
        link("--strip-debug");
        return;
    }
    if is("CARGO_CFG_TARGET_OS", "linux") {
        link("-z,pack-relative-relocs");
    }
    // Rust brings its own linker (LLD) on this target, which can also let identical functions share their code.
    if is("TARGET", "x86_64-unknown-linux-gnu") {
        link("--icf=all");
    }
}
