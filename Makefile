# The whole vocabulary of this checkout; `make` alone lists it.
.DEFAULT_GOAL := help
.PHONY: help prerequisites build up down status run test fuzz bench lint audit clean
# One target after the other, whatever -j says: they share servers and a target/.
.NOTPARALLEL:

MYPAY := target/release/mypay
RUN_COUNT ?= 20000
FUZZ ?= 15
BENCH ?= remittance --runs 5 --against naive

help: ## List the targets
	@echo "usage: make TARGET [RUN_COUNT=20000] [FUZZ=15] [BENCH=\"payment --runs 3\"] [MYPAY_STACK=local|docker]"
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

prerequisites: ## Check the tools that are needed; as root on Debian, install what is missing
	@scripts/prerequisites

build: prerequisites ## Build the one binary, target/release/mypay
	cargo build --release -p mypay

up: build ## Start Kafka, the registry and PostgreSQL (in Docker where it runs), and wait until they are ready
	@scripts/stack up

down: ## Stop everything that was started here; the data stays
	@scripts/stack down

status: ## Show what runs, where, and whether it answers
	@scripts/stack status

run: up ## Run a business day of RUN_COUNT requests through the pipeline, and audit it
	$(MYPAY) day --count $(RUN_COUNT)

test: build ## Run all tests against the real servers
	@scripts/test

fuzz: build ## Send the HTTP API what its description allows and what not, then audit (FUZZ=15 seconds a role)
	@scripts/fuzz $(FUZZ)

bench: build ## Measure: BENCH="payment --runs 3", BENCH="remittance --rate 1000 --count 15000" (docs/performance.md)
	$(MYPAY) bench $(BENCH)
	MYPAY_HOME=$${MYPAY_HOME:-.mypay/bench} $(MYPAY) stack down

lint: build ## Check formatting, lints, schemas, topics and docker-compose.yml
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	$(MYPAY) schemas check --offline
	$(MYPAY) topics lint
	scripts/check-compose

audit: build ## Compare topics, queue_log, ledger, results and bank; exit 1 when something is off
	$(MYPAY) audit

clean: ## Stop everything, delete its data and what was built
	@if [ -x $(MYPAY) ]; then $(MYPAY) stack down --wipe; fi
	cargo clean
