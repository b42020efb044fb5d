#!/usr/bin/env bash
# Shows how the four clusters are: Flux, pods, and the mesh as the gateway of the hub sees it.
#
# usage: status.sh [--dry-run] [--help]
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

need_kubectl
failed=0
for cluster in "${CLUSTERS[@]}"; do
  say "== $cluster"
  kube "$cluster" -n flux-system get gitrepositories,kustomizations || failed=1
  kube "$cluster" -n cortex-iq get pods -o wide || failed=1
done
say "== mesh"
kube macula-hub -n cortex-iq exec deployment/macula-gateway-service -- /macula doctor || failed=1
exit $failed
