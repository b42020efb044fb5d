#!/usr/bin/env bash
# Builds the images of all binaries, and pushes them to the registry of the clusters.
#
# usage: build-images.sh [--version TAG] [--push] [--pin] [--prebuilt] [--no-cache] [--only NAME]… [--registry HOST:PORT]
#                        [--tool docker|podman|buildah] [--dry-run] [--help]
#   --version TAG      by default the version of the workspace and the commit; a tag is never given twice
#   --push             pushes them to the registry
#   --pin              writes the tag into components/release, to be committed: that deploys it
#   --prebuilt         takes the binaries that image/compile.sh made, instead of compiling in a container
#   --no-cache         makes every layer again
#   --only NAME        just this image, such as cortex-iq-homes; may be given several times
#   --registry HOST    registry.macula.local:5000 by default
#   --tool TOOL        the first of the three that is installed by default
#   --dry-run          shows the commands
#
# environment: RUST_IMAGE   image of the compiler
#              CACHE_BUST   a new value compiles again although nothing changed, for instance $(date +%s)
set -euo pipefail
. "$(dirname "$0")/lib.sh"

version=
push=false
pin=false
prebuilt=false
cache=true
tool=
images=()
while (($#)); do
  case $1 in
    --version) version=${2:?--version needs a value} && shift ;;
    --push) push=true ;;
    --pin) pin=true ;;
    --prebuilt) prebuilt=true ;;
    --no-cache) cache=false ;;
    --only) images+=("${2:?--only needs a value}") && shift ;;
    --registry) REGISTRY=${2:?--registry needs a value} && shift ;;
    --tool) tool=${2:?--tool needs a value} && shift ;;
    --dry-run) DRY_RUN=true ;;
    -h | --help) help ;;
    *) die "unknown argument $1; see --help" ;;
  esac
  shift
done

root=$(cd "$K8S/.." && pwd)
revision=$(git -C "$root" rev-parse HEAD 2>/dev/null || echo unknown)
if [[ -z $version ]]; then
  number=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$root/Cargo.toml")
  version=$number-${revision:0:10}
  [[ -z $(git -C "$root" status --porcelain 2>/dev/null) ]] || version+=-dirty
fi
[[ $version != latest ]] || die "latest is no version: nobody could tell what runs, and Flux would not notice a new one"
[[ $version =~ ^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$ ]] || die "$version is no tag"

if [[ -z $tool ]]; then
  for candidate in docker podman buildah; do
    if command -v "$candidate" >/dev/null; then
      tool=$candidate
      break
    fi
  done
fi
if [[ -z $tool ]]; then
  $DRY_RUN || die "none of docker, podman and buildah is installed; one of them is needed"
  tool=docker
fi
[[ $tool =~ ^(docker|podman|buildah)$ ]] || die "--tool $tool: docker, podman or buildah"

mapfile -t known < <(sed -n 's/^FROM \(base\|labelled\) AS \(.*-.*\)/\2/p' "$K8S/image/Dockerfile")
for image in "${images[@]}"; do
  [[ " ${known[*]} " == *" $image "* ]] || die "--only $image: there are ${known[*]}"
done
((${#images[@]})) || images=("${known[@]}")

common=(--file "$K8S/image/Dockerfile" --build-arg "VERSION=$version" --build-arg "REVISION=$revision"
  --build-arg "CACHE_BUST=${CACHE_BUST:-none}")
[[ -z ${RUST_IMAGE:-} ]] || common+=(--build-arg "RUST_IMAGE=$RUST_IMAGE")
if $prebuilt; then
  [[ -x $root/target/image/out/macula ]] || $DRY_RUN || die "there are no binaries yet; run k8s/image/compile.sh"
  common+=(--build-arg BINARIES=prebuilt)
fi
# Times of files and layers come from nowhere, so that the same source gives the same image.
case $tool in
  docker) build=(env SOURCE_DATE_EPOCH=0 DOCKER_BUILDKIT=1 docker build) ;;
  podman) build=(podman build --timestamp 0 --ignorefile "$K8S/image/Dockerfile.dockerignore") ;;
  # Without layers and --force-rm buildah leaves a stage that another one is built from behind, and mounted.
  buildah) build=(buildah bud --layers --force-rm --timestamp 0 --ignorefile "$K8S/image/Dockerfile.dockerignore") ;;
esac
$cache || build+=(--no-cache)
[[ $tool != buildah || -z ${BUILDAH_ISOLATION:-} ]] || build+=(--isolation "$BUILDAH_ISOLATION")

for image in "${images[@]}"; do
  name=$REGISTRY/macula/$image:$version
  run "${build[@]}" "${common[@]}" --target "$image" --tag "$name" "$root"
  if $push; then
    # The registry of a development machine speaks plain HTTP.
    case $tool in
      docker) run docker push "$name" ;;
      *) run "$tool" push --tls-verify=false "$name" ;;
    esac
  fi
done

if $pin; then
  release=$K8S/components/release/kustomization.yaml
  run sed -i -e "s|^\(    newName: \).*/macula/|\1$REGISTRY/macula/|" -e "s|^\(    newTag: \).*|\1$version|" "$release"
  say "commit $release: that deploys $version"
fi
