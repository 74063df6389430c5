# The one list of commands.
.PHONY: test fmt clippy setup

setup:
	@sh scripts/setup.sh

test: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo test --workspace --locked

fmt:
	cargo fmt --all
