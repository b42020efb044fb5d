#!/usr/bin/env bash
# Checks everything under k8s/ without a cluster: builds every folder, checks schemas, references, alerts and
# dashboards, and lints manifests, scripts and the Dockerfile. Installs the tools it needs into target/k8s.
#
# usage: validate.sh [--fast] [--dry-run] [--help]
#   --fast     leaves out checkov, which takes a minute to install
#   --dry-run  lists the steps
set -euo pipefail
. "$(dirname "$0")/lib.sh"

fast=false
while (($#)); do
  case $1 in
    --fast) fast=true ;;
    --dry-run) DRY_RUN=true ;;
    -h | --help) help ;;
    *) die "unknown argument $1; see --help" ;;
  esac
  shift
done

tools=$K8S/../target/k8s
built=$tools/built
scripts=$K8S/scripts
kubernetes=1.32

step() {
  printf '== %s\n' "$*"
  ! $DRY_RUN
}

# environment NAME REQUIREMENTS: a virtual environment that holds just these, made again when they change.
environment() {
  local folder=$tools/$1 requirements=$2
  if ! cmp -s "$requirements" "$folder/requirements.txt"; then
    need python3 "install Python 3.11 or later"
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
    cp "$requirements" "$folder/requirements.txt"
  fi
}

if step "tools"; then
  mkdir -p "$tools" "$built"
  environment venv "$scripts/requirements.txt"
  PATH=$tools/venv/bin:$PATH
  if ! command -v promtool >/dev/null; then
    [[ -x $tools/prometheus/usr/bin/promtool ]] || (
      mkdir -p "$tools/prometheus" && cd "$tools/prometheus"
      command -v apt-get >/dev/null || die "promtool is missing: it comes with Prometheus"
      apt-get download -q prometheus >/dev/null 2>&1 || (apt-get update -qq && apt-get download -q prometheus >/dev/null)
      dpkg -x prometheus_*.deb .
    )
    PATH=$PATH:$tools/prometheus/usr/bin
  fi
fi

if step "every folder builds, and the API would take it"; then
  while read -r kustomization; do
    folder=$(dirname "$kustomization")
    # A component is built by the folders that use it.
    if grep -q '^kind: Component' "$kustomization"; then continue; fi
    name=${folder#"$K8S"/}
    kubectl kustomize "$folder" >"$built/${name//\//_}.yaml" || die "$name does not build"
  done < <(find "$K8S/base" "$K8S/clusters" "$K8S/examples" -name kustomization.yaml | sort)
  for file in "$built"/{base,clusters,examples}_*.yaml; do
    # Objects of other operators have schemas of their own; those of Flux are checked below.
    report=$(kubernetes-validate -k "$kubernetes" --strict "$file" 2>&1) || die "$file: $report"
    grep -v -e ' passed ' -e 'toolkit.fluxcd.io' -e 'cert-manager.io' -e 'postgresql.cnpg.io' <<<"$report" >&2 || true
  done
  unused=$(comm -23 <(find "$K8S/components" -name kustomization.yaml -printf '%h\n' | sed "s|$K8S/||" | sort) \
    <(grep -rhoE 'components/[a-z/-]+' "$K8S"/{clusters,examples} --include kustomization.yaml | sort -u))
  [[ -z $unused ]] || die "no cluster and no example uses $unused, so nothing checks it"
fi

if step "objects fit each other, the binaries and Flux"; then
  (cd "$scripts" && python3 -m check)
fi

if step "the checks notice what they are for, and the translator of play.sh changes nothing else"; then
  for tests in check/tests play/tests; do
    (cd "$scripts" && python3 -m unittest discover --quiet --start-directory "$tests" --top-level-directory .)
  done
fi

if step "alerts"; then
  prometheus=$K8S/base/observability/prometheus
  promtool check rules "$prometheus"/rules/*.yml
  promtool test rules "$prometheus"/tests/*.yml
  promtool check config --agent "$K8S/base/observability/agent/agent.yml"
fi

if step "style of manifests, scripts and the Dockerfile"; then
  yamllint --strict --config-file "$scripts/yamllint.yaml" "$K8S"
  shellcheck --external-sources --source-path "$scripts" "$scripts"/*.sh "$scripts"/play/*.sh "$K8S"/image/*.sh
  for script in "$scripts"/*.sh "$K8S"/image/*.sh; do
    [[ $script == */lib.sh ]] || bash "$script" --help | grep -q '^usage: ' || die "$script has no --help"
  done
  hadolint --config "$K8S/image/hadolint.yaml" "$K8S/image/Dockerfile"
fi

if step "every script shows what it would do, whatever is installed, and changes nothing"; then
  state=$(mktemp -d)
  for script in "$scripts"/*.sh; do
    name=${script##*/} more=()
    [[ $name != configure-flux-gitops.sh ]] || more=(--url https://git.test/cortex-iq-deploy)
    [[ $name != create-secrets.sh ]] || more=(--dir "$state/secrets")
    [[ $name == lib.sh || $name == validate.sh ]] || bash "$script" --dry-run "${more[@]}" >"$state/said" 2>&1 ||
      die "$name --dry-run: $(tail -n 3 "$state/said")"
  done
  [[ ! -e $state/secrets ]] || die "create-secrets.sh --dry-run made secrets"
  rm -r "$state"
fi

if ! $fast && step "security"; then
  environment checkov "$scripts/requirements-checkov.txt"
  "$tools/checkov/bin/checkov" --directory "$built" --config-file "$scripts/checkov.yaml"
fi
say "k8s: all checks passed"
