# make test    every test that answers in minutes, after bringing the servers it talks to; what cannot be tested here fails,
#              unless STAPLED_MAY_SKIP=1, and is listed at the end
# make fast    the suites of these that take seconds
# make demo    the whole story before your eyes: a CA, HAProxy, stapled; about a minute once it is built
# make deb     Debian packages of the programs, in target/deb
# make book    the documentation as a book, in target/book
# make check   format, lints, documentation, dependencies and their licences
# make prove   what takes longer: proofs by many repetitions, fuzzing, and the benchmarks
# make packages builds each published crate from its package alone
# make semver  compares the public interfaces with those of the last release
# make counts  counts instructions, allocations and system calls, and the size of the program, and compares them with the tables in
#              docs/performance.md; make counts-table writes the tables anew; make counts-trial shows that they find more work
# make bench-short  runs the benches in a short form, and checks ratios
# make build-time   builds the program from nothing, and says how long that takes
# make bench-peers  measures this project beside other staplers; those that cannot be had are left out
# make mutants breaks the judgement in every place, one at a time, to see that a test notices
#
# A Rust toolchain with its C compiler must be there; everything else is brought under target/. Nothing is installed.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: test fast demo deb book check format lint doc deny words prove mutants packages semver counts counts-table counts-trial bench-short build-time bench-peers

test:
	@.ci/test

fast:
	@.ci/test --fast

demo:
	@examples/demo/demo.sh

book:
	@.ci/book

deb:
	cargo build --release -p stapled-bin -p stapled-ca
	@packaging/deb/build

check: format lint doc deny words

format:
	cargo fmt --all --check

lint:
	cargo clippy --workspace --all-targets --all-features -- -D warnings

doc:
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --all-features

deny:
	@.ci/deny

# Plain English: .ci/words says which words it counts.
words:
	@.ci/words

# How much: full, or short, which CI has time for.
STAPLED_PROVE ?= full
prove:
	@STAPLED_PROVE=$(STAPLED_PROVE) .ci/prove

packages:
	@.ci/packages

semver:
	@.ci/semver

counts:
	@environment=$$(tests/provide/provide.sh valgrind strace) && eval "$$environment" && .ci/counts

counts-trial:
	@environment=$$(tests/provide/provide.sh valgrind strace) && eval "$$environment" && .ci/counts --planted

counts-table:
	@environment=$$(tests/provide/provide.sh valgrind strace) && eval "$$environment" && .ci/counts --write

bench-short:
	@.ci/bench-short

build-time:
	@.ci/build-time

bench-peers:
	@if environment=$$(STAPLED_MAY_SKIP=1 tests/provide/provide.sh haproxy-next openssl); then eval "$$environment"; fi; \
	cargo run --release --manifest-path benches/peers/Cargo.toml --target-dir "$${CARGO_TARGET_DIR:-target}/peers"

mutants:
	@.ci/mutants
