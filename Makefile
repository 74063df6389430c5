# The one list of commands. `make demo` and `make test` are all that a fresh machine needs; they install what
# is missing beside Rust, gcc and make (scripts/setup.sh, scripts/test-deps.sh say what, or what to allow).
.PHONY: demo test fmt bench bench-sigma bench-peers fuzz setup test-deps

demo: setup
	cargo build --profile demo --locked -p mantissa
	cargo run --profile demo --locked -q -p mantissa -- demo

test: setup test-deps
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@sh scripts/test.sh

# Ratios to a bound measured in the same run; see benches/record for dated results.
bench: setup
	cargo build --profile demo --locked -p mantissa -p benches
	for t in aws.cloudtrail okta.system; do \
	  cargo run --profile demo --locked -q -p benches -- match --log-type $$t && \
	  cargo run --profile demo --locked -q -p benches -- loop --log-type $$t && \
	  cargo run --profile demo --locked -q -p benches -- backtest --log-type $$t || exit 1; \
	done

# The rules alone, on any NDJSON: make bench-sigma RULES=folder EVENTS=file TSV=file
bench-sigma:
	cargo run --release --locked -q -p benches-sigma -- --rules $(RULES) --events $(EVENTS) --logsource-tsv $(TSV)

# Ours beside the engines of others, and where they differ. A workspace of its own, which nothing else builds:
# make bench-peers RULES=folder EVENTS=file TSV=file [ROUNDS=21] [DIFFERENCES=file], or make bench-peers CASES=detect/cases
bench-peers:
	cargo run --release --locked -q --manifest-path benches/peers/Cargo.toml -- \
	  $(if $(CASES),--cases $(CASES),--rules $(RULES) --events $(EVENTS) --logsource-tsv $(TSV)) \
	  $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(DIFFERENCES),--differences $(DIFFERENCES))

# A search for inputs that break the rule engine, in a workspace of its own: make fuzz TARGET=rule [SECONDS=60].
# With the nightly compiler and cargo-fuzz, `cargo fuzz run rule` in detect/ does the same under a sanitizer.
fuzz:
	@sh scripts/fuzz.sh $(TARGET) $(or $(SECONDS),60)

fmt:
	cargo fmt --all

setup:
	@sh scripts/setup.sh

test-deps:
	@sh scripts/test-deps.sh
