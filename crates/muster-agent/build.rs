//! Links the agent for a small resident memory.
//!
//! A position-independent program is relocated when it starts, and a relocation is 24 bytes that are read then and stay
//! resident: megabytes for a program that is full of virtual tables. Packed (RELR, as every system library is by now) they
//! are a few kilobytes. Needs glibc 2.36 or musl 1.2.4 where the agent runs; both are of 2022 and 2023.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |variable: &str, wanted: &str| std::env::var(variable).is_ok_and(|value| value == wanted);
    if is("CARGO_CFG_TARGET_OS", "linux") {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    // Rust brings its own linker (LLD) on this target, which can also let identical functions share their code.
    if is("TARGET", "x86_64-unknown-linux-gnu") {
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
    }
}
