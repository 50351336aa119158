# What people and CI run. `make help` lists it.

CARGO ?= cargo
# What the tests use beyond the Rust toolchain, by the name of the command.
TEST_COMMANDS := curl haproxy nginx openssl redis-server wrk python3
# Where release builds are.
BUILT = $(or $(CARGO_TARGET_DIR),target)/release

# Worlds that `simulate-core` lets happen.
SEEDS ?= 100000
# The simulation asks for features that nothing that ships has: it is built and tested apart.
SHIPPED := --workspace --exclude evenkeel-sim
SIMULATE := $(CARGO) run --quiet --profile simulate --package evenkeel-sim --

.PHONY: help demo run test test-packages test-grpc check docs bench bench-build instructions fuzz no-stray-502 chaos chaos-short chaos-build simulate-core planted-bugs build release clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: ## Build, and show three servers being balanced, live
	@$(CARGO) run --package evenkeel -- demo

run: ## Run with ./evenkeel.yaml
	@$(CARGO) run --release --package evenkeel -- run

build: ## Build everything, for development
	$(CARGO) build $(SHIPPED) --all-targets

release: ## Build the binary as it is shipped: target/release/evenkeel
	$(CARGO) build --release --package evenkeel

test: test-packages test-grpc build ## Run every test
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	  $(CARGO) nextest run $(SHIPPED) && $(CARGO) test $(SHIPPED) --doc --quiet; \
	else \
	  $(CARGO) test $(SHIPPED); \
	fi
	$(CARGO) test --package evenkeel --features fault-injection --test upgrade --test isolation --test http2
	$(CARGO) test --quiet --profile simulate --package evenkeel-sim

test-packages: # Debian packages that the tests need and that are missing
	@missing=; for command in $(TEST_COMMANDS); do \
	  PATH="$$PATH:/usr/sbin:/sbin" command -v $$command >/dev/null || missing="$$missing $$command"; \
	done; \
	[ -x /bin/kill ] || missing="$$missing procps"; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing$$missing"; \
	  apt-get update -qq && \
	  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	else \
	  echo "the tests need:$$missing (on Debian, as root: apt-get install$$missing)"; exit 1; \
	fi

# A client and servers of gRPC for `tests/grpc.rs`, which goes without where they cannot be had.
GRPC = $(CURDIR)/target/grpc
export EVENKEEL_GRPC_PYTHON ?= $(GRPC)/bin/python

test-grpc:
	@"$(EVENKEEL_GRPC_PYTHON)" -c "import grpc, grpc_health.v1.health" 2>/dev/null || { \
	  echo "installing grpcio for tests into target/grpc"; \
	  { python3 -m ensurepip --version >/dev/null 2>&1 || [ "$$(id -u)" != 0 ] || \
	    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null; }; \
	  python3 -m venv "$(GRPC)" >/dev/null && \
	  "$(GRPC)/bin/pip" install --quiet grpcio grpcio-health-checking || \
	  echo "no grpcio: the tests that need it will be skipped"; }

check: ## Formatting, lints, and every example
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy --package evenkeel --no-default-features -- -D warnings
	@$(CARGO) run --quiet --package evenkeel -- cert self-signed shop.example '*.shop.example' \
	  --out target/example-certs --force >/dev/null
	@for example in examples/*.yaml; do \
	  $(CARGO) run --quiet --package evenkeel -- check "$$example" >/dev/null || exit 1; \
	done; echo "every example passes"

docs: ## Write docs/configuration.md anew
	@$(CARGO) run --quiet --package evenkeel -- reference > docs/configuration.md.new
	@mv docs/configuration.md.new docs/configuration.md

bench: bench-build ## Measure the data path beside nginx, HAProxy and Envoy
	@$(BUILT)/evenkeel-bench $(BENCH)

instructions: bench-build ## Count instructions beside those recorded; RECORD=1 records them anew
	@$(MAKE) --no-print-directory test-packages TEST_COMMANDS=valgrind
	@$(BUILT)/instructions $(if $(RECORD),--record)

bench-build: # What ships and what measures it, in one go: the same dependencies with the same features
	$(CARGO) build --release --package evenkeel --package evenkeel-bench

# All of them, or TARGET=request_head; each for SECONDS.
TARGET ?= $(basename $(notdir $(wildcard fuzz/targets/*.rs)))
SECONDS ?= $(or $(FUZZ_SECONDS),60)
# Sanitizers are not stable; the compiler is the stable one all the same.
FUZZ := RUSTC_BOOTSTRAP=1 $(CARGO) fuzz

fuzz: ## Fuzz: all targets, or TARGET=request_head SECONDS=600
	@$(CARGO) fuzz --version >/dev/null 2>&1 || $(CARGO) install cargo-fuzz
	@for target in $(TARGET); do \
	  echo "$$target, $(SECONDS) s"; mkdir -p fuzz/found/$$target && \
	  $(FUZZ) run $$target fuzz/found/$$target fuzz/corpus/$$target -- -max_total_time=$(SECONDS) \
	    -max_len=4096 -timeout=10 -print_final_stats=1 || exit 1; \
	done

no-stray-502: ## Prove it: 200,000 requests while backends close idle connections at random
	@tools/proofs/no-stray-502.sh

chaos: chaos-build ## Do things to real processes, and count what clients lose; CHAOS="--peers R1 F4"
	@$(CHAOS_BUILT)/chaos $(CHAOS)

chaos-short: CHAOS_PROFILE := quick
chaos-short: chaos-build ## The same, a few seconds each, with a build that takes half the time
	@$(CHAOS_BUILT)/chaos --short --lanes 2 $(CHAOS)

# The build that fails when it is asked to comes first: the one that ships has the name in the end.
# Both name the same packages, so that the second builds again only what knows the feature.
CHAOS_PACKAGES := --package evenkeel --package evenkeel-tools --package evenkeel-chaos

CHAOS_PROFILE = release
CHAOS_BUILT = $(or $(CARGO_TARGET_DIR),target)/$(CHAOS_PROFILE)

chaos-build:
	$(CARGO) build --profile $(CHAOS_PROFILE) $(CHAOS_PACKAGES) --features evenkeel/fault-injection
	@cp $(CHAOS_BUILT)/evenkeel $(CHAOS_BUILT)/evenkeel-faults
	$(CARGO) build --profile $(CHAOS_PROFILE) $(CHAOS_PACKAGES)

simulate-core: ## Let the data plane live in SEEDS simulated worlds (100,000), and tell what was not kept
	@$(SIMULATE) --seeds $(SEEDS)

planted-bugs: ## Put known bugs back, one at a time, and see that the simulation notices each
	@$(SIMULATE) --seeds 2500 --planted all

clean: ## Remove what was built
	$(CARGO) clean
