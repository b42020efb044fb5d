#!/usr/bin/env bash
# Makes all secrets of the four clusters and puts them there, before Flux comes: one authority of the mesh and a
# certificate for each gateway, the database's password, the dashboard's, Grafana's, and the admin token.
# What has been made is kept in a directory of yours and used again; certificates are renewed after half their life,
# and running gateways take up new ones by themselves. Nothing of it belongs in git; see README.md for SOPS.
#
# usage: create-secrets.sh [--dir DIR] [--write DIR] [--days N] [--hub-days N] [--database-user NAME] [--macula FILE]
#                          [--dry-run] [--help]
#   --dir DIR             where they are kept; $XDG_STATE_HOME/macula/cortex-iq by default
#   --write DIR           writes DIR/<cluster>.yaml instead of asking any cluster
#   --days N              life of the gateways' certificates, 365 by default
#   --hub-days N          the same for the hub. Browsers talk to its gateway directly only if this is at most 14;
#                         run this again every week then
#   --database-user NAME  postgres by default; CloudNativePG needs another
#   --macula FILE         the macula command; by default the one in PATH or in target/
set -euo pipefail
. "$(dirname "$0")/lib.sh"

directory=${XDG_STATE_HOME:-$HOME/.local/state}/macula/cortex-iq
write=
days=365
hub_days=
user=postgres
macula=
while (($#)); do
  case $1 in
    --dir) directory=${2:?--dir needs a value} && shift ;;
    --write) write=${2:?--write needs a value} && shift ;;
    --days) days=${2:?--days needs a value} && shift ;;
    --hub-days) hub_days=${2:?--hub-days needs a value} && shift ;;
    --database-user) user=${2:?--database-user needs a value} && shift ;;
    --macula) macula=${2:?--macula needs a value} && shift ;;
    --dry-run) DRY_RUN=true ;;
    -h | --help) help ;;
    *) die "unknown argument $1; see --help" ;;
  esac
  shift
done
[[ $user =~ ^[a-z][a-z0-9_]*$ ]] || die "--database-user $user: small letters, digits and _ make a name"

if [[ -z $macula ]]; then
  for candidate in "$(command -v macula || true)" "$K8S"/../target/{release,debug}/macula; do
    if [[ -x $candidate ]]; then
      macula=$candidate
      break
    fi
  done
fi
if [[ -z $macula ]]; then
  $DRY_RUN || die "the macula command is missing: cargo build --release -p macula-cli, or give it with --macula"
  macula=macula
fi
[[ -n $write ]] || need_kubectl

# The name under which the other gateways dial a cluster's.
gateway_of() {
  case $1 in
    macula-hub) echo gateway-hub ;;
    be-east-flanders) echo gateway-efl ;;
    *) echo "gateway-${1#be-}" ;;
  esac
}

# random FILE: 32 random bytes in letters that need no escaping anywhere, made once.
random() {
  if [[ ! -s $directory/$1 ]]; then
    say "+ making $directory/$1" >&2
    $DRY_RUN || head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$directory/$1"
  fi
}

# secret NAMESPACE NAME TYPE KEY=FILE…: prints the object. No value is ever an argument of a process.
secret() {
  local namespace=$1 name=$2 type=$3 pair
  shift 3
  printf -- '---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\n  namespace: %s\ntype: %s\ndata:\n' \
    "$name" "$namespace" "$type"
  for pair in "$@"; do
    printf '  %s: %s\n' "${pair%%=*}" "$(base64 -w0 <"${pair#*=}")"
  done
}

namespace() { printf -- '---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: %s\n' "$1"; }

objects() {
  local cluster=$1 tls=$directory/$1
  namespace cortex-iq
  namespace observability
  secret cortex-iq macula-mesh-tls kubernetes.io/tls tls.crt="$tls/tls.crt" tls.key="$tls/tls.key" ca.crt="$tls/ca.crt"
  secret cortex-iq macula-admin Opaque token="$directory/admin-token"
  if [[ $cluster == macula-hub ]]; then
    secret cortex-iq cortex-iq-database kubernetes.io/basic-auth username="$directory/database-user" \
      password="$directory/database-password" url="$directory/database-url"
    secret cortex-iq cortex-iq-dashboard Opaque secret-key-base="$directory/secret-key-base" \
      password="$directory/dashboard-password"
    secret observability grafana Opaque password="$directory/grafana-password"
  fi
}

umask 077
run mkdir -p "$directory"
for name in database-password secret-key-base-1 secret-key-base-2 admin-token dashboard-password grafana-password; do
  random "$name"
done
if ! $DRY_RUN; then
  # 64 bytes, as Phoenix would make it.
  cat "$directory"/secret-key-base-{1,2} >"$directory/secret-key-base"
  printf '%s' "$user" >"$directory/database-user"
  printf 'postgres://%s:%s@postgres:5432/cortex_iq_dashboard' "$user" "$(<"$directory/database-password")" \
    >"$directory/database-url"
fi

run "$macula" cert ca --dir "$directory/ca"
for cluster in "${CLUSTERS[@]}"; do
  life=$days
  [[ $cluster == macula-hub && -n $hub_days ]] && life=$hub_days
  names=(--name "$(gateway_of "$cluster")" --name "$cluster-control-plane" --name macula-gateway-service
    --name macula-gateway-service.cortex-iq --name macula-gateway-service.cortex-iq.svc
    --name macula-gateway-service.cortex-iq.svc.cluster.local --name macula-gateway-headless
    --name localhost --name 127.0.0.1)
  [[ $cluster == macula-hub ]] && names+=(--name hub.macula.local)
  run "$macula" cert issue --authority "$directory/ca" --dir "$directory/$cluster" --gateway "$cluster" --days "$life" "${names[@]}"
done

for cluster in "${CLUSTERS[@]}"; do
  if $DRY_RUN; then
    say "+ secrets of $cluster" >&2
  elif [[ -n $write ]]; then
    mkdir -p "$write"
    objects "$cluster" >"$write/$cluster.yaml"
    say "$write/$cluster.yaml"
  else
    objects "$cluster" | kubectl --context "kind-$cluster" apply --server-side --force-conflicts -f -
  fi
done
say "the dashboard's password is in $directory/dashboard-password"
[[ -n $write ]] || say "next: scripts/configure-flux-gitops.sh"
