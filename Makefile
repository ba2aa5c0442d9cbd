# Thin: the real work is cargo's and xtask's.

.PHONY: lint fmt tidy deny

# What every change must pass, besides the tests.
lint: fmt tidy
	cargo clippy --workspace --all-targets --locked -- -D warnings

fmt:
	cargo fmt --all --check

tidy:
	cargo run --quiet --locked -p xtask -- tidy

# Licences, bans and sources of what we link; offline. Needs `cargo install cargo-deny@0.20.2 --locked`.
# Known vulnerabilities need the network: `cargo deny check advisories`.
deny:
	cargo deny --offline check licenses bans sources
