#!/usr/bin/env bash
# Creates the four KinD clusters macula-hub, be-antwerp, be-brabant and be-east-flanders.
# Clusters that exist already are left alone.
#
# usage: create-belgian-clusters.sh [--image IMAGE] [--delete] [--dry-run] [--help]
#   --image IMAGE  node image, for a Kubernetes version of your choice
#   --delete       removes the four clusters, with all that is in them
#   --dry-run      shows the commands and runs none
set -euo pipefail
. "$(dirname "$0")/lib.sh"

image=()
delete=false
while (($#)); do
  case $1 in
    --image) image=(--image "${2:?--image needs a value}") && shift ;;
    --delete) delete=true ;;
    --dry-run) DRY_RUN=true ;;
    -h | --help) help ;;
    *) die "unknown argument $1; see --help" ;;
  esac
  shift
done

need_kind
existing=$(kind get clusters 2>/dev/null || true)

for cluster in "${CLUSTERS[@]}"; do
  if $delete; then
    run kind delete cluster --name "$cluster"
  elif grep -qx "$cluster" <<<"$existing"; then
    say "$cluster exists"
  else
    run kind create cluster --name "$cluster" --config "$K8S/scripts/kind/$cluster.yaml" "${image[@]}" --wait 120s
  fi
done

$delete || say "next: scripts/connect-registry.sh"
