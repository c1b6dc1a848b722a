# The commands of this repository. Each works in a fresh clone, as root and as a normal user, beside a second copy.
SHELL := /bin/bash
.DEFAULT_GOAL := run
.PHONY: run test test-clients test-services fuzz-api test-spreadsheets bench check postgres stop-test-database

# Builds in release and serves; PostgreSQL's server programs are installed when none are found.
run: postgres
	cargo build --release --locked --bin leadledger
	exec ./target/release/leadledger serve

# The whole suite. nextest when it is there, because it runs test binaries in parallel.
test: postgres
	@if cargo nextest --version >/dev/null 2>&1; then \
	    cargo nextest run --locked --workspace --no-fail-fast; \
	else \
	    cargo test --locked --workspace --no-fail-fast; \
	fi

# The official clients of the GoHighLevel Users API, from npm and PyPI, through every user operation. Needs the network.
test-clients:
	scripts/test-clients

# Mail, avatars, identities and witnessed checkpoints against real SMTP, S3-compatible and OpenID Connect servers. Needs the network once.
test-services:
	scripts/test-services

# The API against its own document, with generated requests; FUZZ_EXAMPLES says how many. Needs the network once.
fuzz-api:
	scripts/fuzz-api

# Workbooks of a real spreadsheet program, read and written; where LibreOffice is installed.
test-spreadsheets:
	scripts/test-spreadsheets

# The tests' own PostgreSQL keeps running between runs, in memory; this stops it.
stop-test-database:
	cargo test --locked --test databases -- --ignored

# Compares with pgbench and with stock postgres-es, on a cluster of its own; writes target/bench/.
bench: postgres
	cargo bench --locked --bench ledger

# What must hold before a commit, besides the tests.
check:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

postgres:
	@scripts/install-postgresql
