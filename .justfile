# The one door: `just --list`. Each recipe is a command that works without just, too.

# Lists the recipes.
default:
    @just --list

# Formatting, clippy, documentation, the documents.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --features moondrop-tests/soak --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
    python3 .ci/check_docs.py

# Formats the code.
fmt:
    cargo fmt --all

# The tests.
test:
    cargo test --workspace

# The example file, on this machine: `just run posts.csv` takes another.
run file="tests/fixtures/posts.csv":
    cargo run -- run {{ file }}

# Every named fault, one per test.
faults:
    cargo test --workspace --locked --features moondrop-tests/soak --test faults

# Every fault at every request, and schedules of several. `just crash 81 24` takes a sample.
crash cases="all" schedules="100":
    MOONDROP_CRASH_CASES={{ cases }} MOONDROP_SCHEDULES={{ schedules }} cargo test --workspace --locked --features moondrop-tests/soak --test crash -- --nocapture

# The model of the protocol, with its largest worlds.
model:
    cargo test --workspace --locked --features moondrop-tests/soak --test model

# The linters and scanners of the templates.
lint:
    infra/lint

# The template on an emulator of AWS. `just aws WORD…` takes only the steps with such a word in their names.
aws *words:
    tests/aws/run {{ words }}

# How fast it is, beside Python, polars and DuckDB; writes tests/BENCHMARKS.md. `just bench --only check` takes only that work.
bench *options:
    tests/bench/run {{ options }}

# The instructions of the loops over every byte, compared with those recorded; needs valgrind. `just instructions --record` records them.
instructions *options:
    tests/bench/instructions {{ options }}

# Everything that has to hold before a change is merged.
ci:
    .ci/run
