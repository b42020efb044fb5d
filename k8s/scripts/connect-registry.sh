#!/usr/bin/env bash
# Runs the registry `macula-registry`, connects it to the network of KinD as registry.macula.local, and tells every
# node where it is. What is done already is left alone.
#
# usage: connect-registry.sh [--dry-run] [--help]
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

container=macula-registry
host=${REGISTRY%%:*}
need_kind
tool=$(container_tool)

if [[ $("$tool" inspect -f '{{.State.Running}}' "$container" 2>/dev/null || true) != true ]]; then
  if "$tool" inspect "$container" >/dev/null 2>&1; then
    run "$tool" start "$container"
  else
    # Only this machine pushes to it, so only this machine reaches it from outside the network.
    run "$tool" run -d --restart=always --name "$container" -p 127.0.0.1:5000:5000 \
      -v macula-registry:/var/lib/registry docker.io/library/registry:2.8.3
  fi
fi

# shellcheck disable=SC2016  # the dollar is a variable of the template
networks=$("$tool" inspect -f '{{range $name, $network := .NetworkSettings.Networks}}{{$name}} {{end}}' "$container" 2>/dev/null || true)
if [[ " $networks" != *" kind "* ]]; then
  run "$tool" network connect --alias "$host" kind "$container"
fi

# Plain HTTP on a network of this machine; containerd reads the file at every pull, so nothing restarts.
hosts="server = \"http://$REGISTRY\"

[host.\"http://$REGISTRY\"]
  capabilities = [\"pull\", \"resolve\"]
"
for cluster in "${CLUSTERS[@]}"; do
  for node in $(kind get nodes --name "$cluster" 2>/dev/null || true); do
    directory=/etc/containerd/certs.d/$REGISTRY
    run "$tool" exec "$node" mkdir -p "$directory"
    say "+ $directory/hosts.toml on $node" >&2
    if ! $DRY_RUN; then
      printf '%s' "$hosts" | "$tool" exec -i "$node" cp /dev/stdin "$directory/hosts.toml"
    fi
  done
done

if ! grep -qs "[[:space:]]$host\b" /etc/hosts; then
  warn "this machine does not know $host; to push to it: echo '127.0.0.1 $host' | sudo tee -a /etc/hosts"
fi
say "next: scripts/build-images.sh --push"
