#!/usr/bin/env bash
# Runs the four clusters on this machine without Kubernetes: builds the images, makes the secrets, and plays the built
# manifests with podman, one storage and one network per cluster, and a network `kind` where only gateways meet. Then
# asks everything that it promises: the mesh, contracts across regions, the database, ports, probes, SIGKILL, SIGTERM,
# sizes and memory. Needs root, and Debian's podman 4.3 or a later one; installs what is missing with apt-get.
#
# usage: play.sh [--keep] [--no-compile] [--minutes N] [--replicas] [--stop] [--dry-run] [--help]
#   --keep        leaves the clusters running; `play.sh --stop` ends them
#   --no-compile  takes the binaries that image/compile.sh made before
#   --minutes N   how long the market runs under load before memory is read; 2 by default
#   --replicas    also puts three gateways in the place of one, and takes one of them away
#   --stop        ends what --keep left
#   --dry-run     prints what the translator changes, and runs nothing
set -euo pipefail
. "$(dirname "$0")/lib.sh"

keep=()
compile=true
minutes=2
replicas=()
stop=false
while (($#)); do
  case $1 in
    --keep) keep=(--keep) ;;
    --no-compile) compile=false ;;
    --minutes) minutes=${2:?--minutes needs a value} && shift ;;
    --replicas) replicas=(--replicas) ;;
    --stop) stop=true ;;
    --dry-run) DRY_RUN=true ;;
    -h | --help) help ;;
    *) die "unknown argument $1; see --help" ;;
  esac
  shift
done
[[ $minutes =~ ^[0-9]+$ ]] || die "--minutes $minutes is no number"

scripts=$K8S/scripts
tools=$(realpath -m "$K8S/../target/k8s")
place=$tools/play
mkdir -p "$place"

# The same environment as validate.sh has.
if ! cmp -s "$scripts/requirements.txt" "$tools/venv/requirements.txt"; then
  need python3 "install Python 3.11 or later"
  rm -rf "$tools/venv"
  python3 -m venv "$tools/venv"
  "$tools/venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$scripts/requirements.txt"
  cp "$scripts/requirements.txt" "$tools/venv/requirements.txt"
fi
PATH=$tools/venv/bin:$PATH

play() { (cd "$scripts" && python3 -m play --place "$place" "$@"); }

if $DRY_RUN; then
  play --dry-run
  exit
fi

[[ $(id -u) == 0 ]] || die "the networks of several storages meet only for root; run this as root, best on a machine for tests"
missing=()
for tool in podman buildah runc conmon catatonit mmdebstrap iptables; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
for package in netavark aardvark-dns; do
  [[ -x /usr/lib/podman/$package ]] || missing+=("$package")
done
if ((${#missing[@]})); then
  command -v apt-get >/dev/null || die "${missing[*]} are missing, and there is no apt-get to install them"
  run apt-get update -qq
  run apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# No file of the machine's own podman is used, and no limit that a container in a container may not set.
cat >"$place/containers.conf" <<EOF
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
network_config_dir = "$place/networks"
EOF
cat >"$place/storage.conf" <<EOF
[storage]
driver = "overlay"
graphroot = "$place/images/graph"
runroot = "$place/images/run"
EOF
export CONTAINERS_CONF=$place/containers.conf CONTAINERS_STORAGE_CONF=$place/storage.conf BUILDAH_ISOLATION=chroot
mkdir -p "$place/networks"

exec 8>"$place/lock"
flock --nonblock 8 || die "another play.sh of this checkout runs"

# Nothing that a run began goes on after it, nor stays mounted.
child=
clean() {
  if [[ -n $child ]]; then
    kill -TERM -- "-$child" 2>/dev/null || true
    wait "$child" || true
  fi
  play --stop
  buildah rm --all >/dev/null 2>&1 || true
  podman image prune --force >/dev/null 2>&1 || true
  findmnt --raw --noheadings --output TARGET | grep "^$place/" | sort --reverse | xargs --no-run-if-empty umount || true
}
# In a group of its own, which can be ended whole.
supervised() {
  local code=0
  setsid "$@" &
  child=$!
  wait "$child" || code=$?
  child=
  return "$code"
}

if $stop; then
  clean
  exit
fi
# What an earlier run left behind, if its end was sudden or it was to be kept.
clean
trap 'exit 130' INT
trap 'exit 143' TERM
trap clean EXIT

say "== binaries"
if $compile || [[ ! -x $K8S/../target/image/out/macula ]]; then supervised "$K8S/image/compile.sh" >&2; fi

say "== images"
version=$(sed -n 's/^    newTag: //p' "$K8S/components/release/kustomization.yaml" | sort -u)
build() {
  supervised "$scripts/build-images.sh" --tool buildah --prebuilt --version "$version" "$@" >"$place/build.log" 2>&1 ||
    die "the images cannot be built: $(tail -n 5 "$place/build.log")"
}
built() {
  podman images --no-trunc --format '{{.Repository}}:{{.Tag}} {{.ID}}' --filter label=org.opencontainers.image.vendor=Macula | sort
}
build
first=$(built)
build --no-cache
[[ $(built) == "$first" ]] || die "the same binaries gave other images the second time"
say "ok built twice, every image is the same"
if [[ ! -s $place/postgres.tar || $scripts/play/postgres-entrypoint.sh -nt $place/postgres.tar ]]; then
  # The official image is in no registry that every machine reaches; this one has the same user and settings.
  # shellcheck disable=SC2016  # $1 is mmdebstrap's
  mmdebstrap --quiet --format=tar --variant=essential --include=postgresql-15 \
    --customize-hook='chroot "$1" groupmod --gid 70 postgres' \
    --customize-hook='chroot "$1" usermod --uid 70 --gid 70 postgres' \
    --customize-hook='rm -rf "$1/var/lib/postgresql" "$1/var/cache/apt" "$1/usr/share/doc" "$1/usr/share/locale"' \
    --customize-hook='install -d -o 70 -g 70 "$1/var/lib/postgresql/data" "$1/var/run/postgresql"' \
    --customize-hook="install -m 0755 $scripts/play/postgres-entrypoint.sh \"\$1/entrypoint.sh\"" \
    bookworm "$place/postgres.tar.new"
  mv "$place/postgres.tar.new" "$place/postgres.tar"
fi

say "== secrets"
secrets() {
  "$scripts/create-secrets.sh" --dir "$place/secrets" --write "$place/secrets/objects" \
    --macula "$K8S/../target/image/out/macula" >"$place/secrets.log" 2>&1 ||
    die "the secrets cannot be made: $(tail -n 5 "$place/secrets.log")"
  find "$place/secrets" -type f -exec sha256sum {} + | sort
}
made=$(secrets)
[[ $(secrets) == "$made" ]] || die "create-secrets.sh changed something the second time"
say "ok made twice, every secret is the same"

cd "$scripts"
if ((${#keep[@]})); then trap - EXIT; fi
supervised python3 -m play --place "$place" --minutes "$minutes" "${replicas[@]}" "${keep[@]}"
