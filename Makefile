# `make run` starts the program, `make test` runs all tests. Both install the Debian packages that they need.

BUILD_PACKAGES := cmake pkg-config libasound2-dev
TARGET := x86_64-unknown-linux-gnu
CROSS_aarch64-unknown-linux-gnu := gcc-aarch64-linux-gnu g++-aarch64-linux-gnu
STATIC_PACKAGES := gcc libc6-dev cmake dpkg-dev $(CROSS_$(TARGET))
PLAYERS_PACKAGES := gcc libc6-dev python3 python3-venv python3-gi gir1.2-gst-plugins-bad-1.0 gstreamer1.0-tools \
	gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-nice golang-go golang-github-pion-webrtc.v3-dev
PLAYERS := target/players
AIORTC := aiortc==1.16.0
TEST_PACKAGES := openssl pulseaudio pulseaudio-utils chromium firefox-esr iproute2 nftables procps nginx-light
BROWSER_TESTS := tests/browser
FUZZ_SECONDS := 60
DENY := cargo deny --locked --config tests/deny.toml check
ADVISORIES := https://github.com/RustSec/advisory-db
export PATH := $(HOME)/.cargo/bin:$(PATH)

# Installs those of the Debian packages that are missing; as root or through sudo.
install = missing=""; for p in $(1); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
		command -v apt-get >/dev/null || { echo "please install:$$missing"; exit 1; }; \
		sudo=""; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		echo "installing$$missing"; \
		$$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq $$missing >/dev/null; \
	fi

.PHONY: static static-test static-twice attack-test players-test run build test check deny audit rust-test browser-test bench fuzz build-packages test-packages clean

run: build
	./target/release/roomtone $(ARGS)

build: build-packages
	cargo build --release --locked

test: build-packages test-packages check deny rust-test browser-test

check:
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked

# Licences and sources of all dependencies, and crates that roomtone avoids. Known vulnerabilities too, if the database can be
# reached. Built without optimisation, cargo-deny is installed in a third of the time.
deny:
	@cargo deny --version >/dev/null 2>&1 || cargo install --locked --debug --version '~0.20' cargo-deny
	$(DENY) licenses bans sources
	@if GIT_TERMINAL_PROMPT=0 timeout 20 git ls-remote -q $(ADVISORIES) HEAD >/dev/null 2>&1; then \
		$(DENY) advisories; \
	else \
		echo "not checked for known vulnerabilities: $(ADVISORIES) cannot be reached"; \
	fi

# Known vulnerabilities, of the browser tests' packages too. Fails if a database cannot be reached.
audit: deny
	$(DENY) advisories
	cd $(BROWSER_TESTS) && npm audit

# The stress tests run at the end, one by one: each needs the whole machine, and would disturb tests that measure time.
rust-test:
	cargo test --locked -- --skip stress::
	cargo test --locked --test it -- stress:: --test-threads 1

browser-test:
	cargo build --locked
	cd $(BROWSER_TESTS) && npm ci --no-audit --no-fund --silent && npm test

bench: build-packages
	cargo bench --locked --bench capture_latency

# Fuzzes each parser of bytes from the network and from files for a minute; needs a nightly compiler. Keep the inputs that it
# finds in tests/fuzz/seeds. Leaks are not looked for: a server's thread that is just ending would be taken for one.
fuzz: build-packages
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
	set -e; for target in $$(cd tests/fuzz/targets && ls | sed 's/\.rs$$//'); do \
		mkdir -p tests/fuzz/corpus/$$target; \
		cargo +nightly fuzz run --fuzz-dir tests/fuzz $$target tests/fuzz/corpus/$$target tests/fuzz/seeds/$$target \
			-- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -detect_leaks=0; \
	done

# Builds one binary for any Linux, and an archive of it with its notices, in target/static. For ARM:
# TARGET=aarch64-unknown-linux-gnu.
static:
	@$(call install,$(STATIC_PACKAGES))
	examples/deploy/static/build $(TARGET)

# Builds the same sources again in another folder; both must give the same bytes.
static-twice: static
	rm -rf target/static/again
	mkdir -p target/static/again
	git ls-files -z | xargs -0 cp --parents -t target/static/again
	cd target/static/again && ROOMTONE_COMMIT=$$(git -C ../../.. rev-parse --short=12 HEAD)$$(git diff --quiet HEAD -- || echo +) \
		SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) examples/deploy/static/build $(TARGET)
	cd target/static && cmp $(TARGET)/roomtone again/target/static/$(TARGET)/roomtone
	cd target/static/again/target/static && for archive in *.tar.gz; do cmp $$archive ../../../$$archive || exit 1; done

# Tests that binary in a folder with nothing else in it; as root or through sudo, because of chroot and mount.
static-test: build-packages test-packages static
	cargo build --locked --example listen
	runner=$$(test "$$(id -u)" = 0 && echo env || echo "sudo -E env"); \
		ROOMTONE_STATIC=$(CURDIR)/target/static/$(TARGET)/roomtone \
		CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$$runner" \
		cargo test --locked --test it deploy:: -- --ignored --nocapture --test-threads=1

# Attacks that binary while listeners measure what they notice.
attack-test: build-packages static
	ROOMTONE_BINARY=$(CURDIR)/target/static/$(TARGET)/roomtone \
		cargo test --locked --test it stress::under_attack:: -- --ignored --nocapture --test-threads=1

# Foreign WebRTC stacks play a station: GStreamer, aiortc and Pion. Debian's Pion is built as old Go builds: from a GOPATH, and
# offline.
players-test: build-packages
	@$(call install,$(PLAYERS_PACKAGES))
	cargo build --locked
	mkdir -p $(PLAYERS)/go/src/players
	test -x $(PLAYERS)/python/bin/python || /usr/bin/python3 -m venv $(PLAYERS)/python
	$(PLAYERS)/python/bin/pip install --quiet --disable-pip-version-check $(AIORTC)
	cp -r tests/players/pion $(PLAYERS)/go/src/players/
	cd $(PLAYERS)/go/src/players/pion && GO111MODULE=off GOPATH=$(CURDIR)/$(PLAYERS)/go:/usr/share/gocode go build -o $(CURDIR)/$(PLAYERS)/pion .
	/usr/bin/python3 tests/players/run.py target/debug/roomtone

build-packages:
	@$(call install,$(BUILD_PACKAGES))

test-packages:
	@$(call install,$(TEST_PACKAGES))
	@command -v npm >/dev/null || { $(call install,nodejs npm); }

clean:
	cargo clean
