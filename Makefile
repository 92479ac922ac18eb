# Thin targets over `cargo xtask`. `make help` prints this list from the comments behind the targets.
export WSFS_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/workspacefs
export CARGO_TARGET_DIR ?= $(WSFS_CACHE)/target
export GOCACHE ?= $(WSFS_CACHE)/go-build
SUITE ?= shared
# Built first, aloud: the first time takes minutes.
XTASK := cargo build --bin xtask && cargo xtask

.DEFAULT_GOAL := help
.PHONY: xtask help demo test e2e mounts disks sanity conformance bench bench-gate lint generate images cluster-up cluster-down cluster-status

help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: ## cluster up, chart installed, examples applied; what happens is shown and checked
	@$(XTASK) demo

test: ## every test: unit, integration, then the cluster suites
	@$(XTASK) test

e2e: ## one suite on the test cluster: make e2e SUITE=shared
	@$(XTASK) e2e $(SUITE)

mounts: ## the node plugin's cases on real NFS mounts, inside a node
	@$(XTASK) mounts

disks: ## the embedded server's agent on real XFS and with real Ganesha, inside a node
	@$(XTASK) disks

sanity: ## csi-sanity against both drivers, inside a node, on the embedded NFS server and on a local disk
	@$(XTASK) sanity

conformance: ## Kubernetes' own storage suite, all specs of the driver (half an hour to an hour)
	@$(XTASK) conformance

bench: ## measure, and write docs/performance.md
	@$(XTASK) bench

bench-gate: ## trees of files, beside the programs that must not be faster: operations, ratios, memory (some minutes)
	@$(XTASK) bench gate

lint: ## formatting, clippy, tidy, licences, chart and manifests
	@$(XTASK) lint

generate: ## write the generated files: CRDs, kustomize base
	@$(XTASK) generate

images: ## build the container images
	@$(XTASK) images

cluster-up: ## start the test cluster
	@$(XTASK) cluster up

cluster-down: ## stop the test cluster and remove what it left
	@$(XTASK) cluster down

cluster-status: ## what of the test cluster runs
	@$(XTASK) cluster status

xtask: ## any command of cargo xtask with the caches set: make xtask ARGS="test --crates"
	@cargo xtask $(ARGS)
