# Gurney's one front door. Each target works as the first command typed on a
# machine that has Go, gcc, make and git, and none needs root.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: all build tools demo test lint bench soak clean FORCE

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

# Without cgo a binary is static: it runs on nodes with another libc than this
# machine's. All is built so, for a package that is built both ways is built twice.
export CGO_ENABLED = 0

# What the tests drive beside the product: a real Consul, a real S3 server and
# the chef-solo stand-in. Each of the first two is a tool of a module of its
# own, so that its dependencies never touch the product's.
TOOLS := bin/consul bin/versitygw

all: build

build: bin/gurney

# Go decides what is stale.
bin/gurney: FORCE
	@$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $@ ./cmd/gurney

# With points at which the fault tests stop it, which no other build has.
bin/gurney-faults: FORCE
	@$(GO) build -trimpath -tags faults -ldflags '$(LDFLAGS)' -o $@ ./cmd/gurney

bin/chef-solo-standin: FORCE
	@$(GO) build -o $@ ./integration/chef-solo

tools: $(TOOLS)

bin/consul: tools/consul/go.mod tools/consul/go.sum
	@echo "building Consul, once: about 4 minutes on two cores" >&2
	cd tools/consul && $(GO) build -o ../../$@ github.com/hashicorp/consul

bin/versitygw: tools/versitygw/go.mod tools/versitygw/go.sum
	@echo "building the S3 gateway, once: about 1 minute on two cores" >&2
	cd tools/versitygw && $(GO) build -o ../../$@ github.com/versity/versitygw/cmd/versitygw

bin/golangci-lint: tools/golangci-lint/go.mod tools/golangci-lint/go.sum
	@echo "building the linter, once: about 3 minutes on two cores" >&2
	cd tools/golangci-lint && $(GO) build -o ../../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

# A fleet of three hosts in one process: no download beyond Go modules.
demo: bin/gurney bin/chef-solo-standin
	@$(GO) run ./cmd/demo $(DEMO)

# With CI set, a test that skips fails the run.
test: build tools bin/chef-solo-standin bin/gurney-faults
	@.ci/test

lint: bin/golangci-lint
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt these:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	bin/golangci-lint run ./...

# Pair by pair against Stretcher's way, on tmpfs; prints medians and ratios.
bench: build tools bin/chef-solo-standin
	$(GO) run ./integration/bench $(BENCH)

# The long runs: fuzzing, races, many random faults. The race detector needs cgo.
soak: build tools bin/chef-solo-standin bin/gurney-faults
	CGO_ENABLED=1 GURNEY_SOAK=1 $(GO) test -race -count=1 -timeout 120m ./...

clean:
	rm -rf bin
