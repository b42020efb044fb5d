#!/usr/bin/env bash
# Installs Flux's source and kustomize controllers in the four clusters. Installing again upgrades.
#
# usage: install-flux.sh [--dry-run] [--help]
set -euo pipefail
. "$(dirname "$0")/lib.sh"

while (($#)); do
  case $1 in
    --dry-run) DRY_RUN=true ;;
    -h | --help) help ;;
    *) die "unknown argument $1; see --help" ;;
  esac
  shift
done

need_flux
need_kubectl
for cluster in "${CLUSTERS[@]}"; do
  run flux check --pre --context "kind-$cluster"
  # Nothing here uses Helm or notifications.
  run flux install --context "kind-$cluster" --components source-controller,kustomize-controller --timeout 5m
done
say "next: scripts/create-secrets.sh"
