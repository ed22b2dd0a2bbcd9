# Each command sets itself up; what is there already is not installed again.

PYTHON ?= python3
ARGS ?=
FULL ?=
export DESTDIR PYTHON

RUN_NEEDS := python3-venv
TEST_NEEDS := $(RUN_NEEDS) \
    busybox=busybox \
    chromedriver=chromium-driver \
    chromium=chromium \
    curl=curl \
    dropbear=dropbear-bin \
    faketime=faketime \
    fish=fish \
    ip=iproute2 \
    ksh93=ksh93u+m \
    mksh=mksh \
    nft=nftables \
    nsenter=util-linux \
    openssl=openssl \
    promtool=prometheus \
    ssh-keygen=openssh-client \
    sshd=openssh-server \
    strace=strace \
    systemd-analyze=systemd \
    tcsh=tcsh \
    tinysshd=tinysshd \
    yash=yash \
    zsh=zsh

BENCH_NEEDS := $(RUN_NEEDS) \
    ip=iproute2 \
    nsenter=util-linux \
    prometheus-node-exporter=prometheus-node-exporter \
    ssh=openssh-client \
    sshd=openssh-server

.PHONY: help run test bench soak fuzz lint install uninstall clean

help: ## what each command does
	@awk -F ':.*## ' '/^[a-z]+: ## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

run: ## the demo: six machines on this one, http://127.0.0.1:9822/ (ARGS="--machines 20")
	@deploy/setup-packages.sh $(RUN_NEEDS)
	@deploy/setup-venv.sh
	@.venv/bin/python -m collector demo $(ARGS)

test: ## all the tests (ARGS="-k session")
	@deploy/setup-packages.sh $(TEST_NEEDS)
	@deploy/setup-venv.sh grafana,lint,test
	@.venv/bin/python -m pytest $(ARGS)

bench: ## what it costs, beside what you would pick instead: 3 minutes; FULL=1 takes 50, and writes README's figures
	@deploy/setup-packages.sh $(BENCH_NEEDS)
	@deploy/setup-venv.sh bench,test
	@.venv/bin/python -m benchmarks $(if $(FULL),--full) $(ARGS)

soak: ## a fleet that faults befall at random, for 10 minutes (ARGS="--seconds 7200 --seed 7"); build/soak has a report
	@deploy/setup-packages.sh $(BENCH_NEEDS)
	@deploy/setup-venv.sh bench,test
	@.venv/bin/python -m benchmarks.soak $(ARGS)

fuzz: ## each parser fed with anything, a minute for all of them (ARGS="--seconds 600 known-hosts"); Python 3.11 to 3.13
	@deploy/setup-packages.sh $(RUN_NEEDS)
	@deploy/setup-venv.sh fuzz,test
	@PYTHONPATH=tests .venv/bin/python -m fuzz $(ARGS)

lint: ## ruff, ruff's format check and mypy --strict
	@deploy/setup-packages.sh $(RUN_NEEDS)
	@deploy/setup-venv.sh grafana,lint,test
	@.venv/bin/python -m ruff check
	@.venv/bin/python -m ruff format --check
	@.venv/bin/python -m mypy

# The service cannot see an interpreter that is in somebody's home: python3 of the PATH may be one, the system's is not.
install: PYTHON := /usr/bin/python3
install: ## as root: /opt/collector, the systemd unit and /etc/collector/collector.ini (DESTDIR=...)
	@deploy/setup-packages.sh $(RUN_NEEDS)
	@deploy/systemd/install.sh

uninstall: ## as root: takes away what install made, and leaves /etc/collector
	@deploy/systemd/install.sh --remove

clean: ## removes what the commands made in this tree
	rm -rf .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
