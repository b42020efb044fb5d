#!/usr/bin/env bash
# Tells Flux in the four clusters which repository to follow: applies clusters/<cluster>/flux-system. From then on a
# commit to the branch is a deployment.
#
# usage: configure-flux-gitops.sh [--url URL] [--branch BRANCH] [--dry-run] [--help]
#   --url URL        repository, as the clusters reach it; by default where this checkout came from
#   --branch BRANCH  main by default
#   --dry-run        prints what would be applied
set -euo pipefail
. "$(dirname "$0")/lib.sh"

url=
branch=main
while (($#)); do
  case $1 in
    --url) url=${2:?--url needs a value} && shift ;;
    --branch) branch=${2:?--branch needs a value} && shift ;;
    --dry-run) DRY_RUN=true ;;
    -h | --help) help ;;
    *) die "unknown argument $1; see --help" ;;
  esac
  shift
done

if [[ -z $url ]]; then
  url=$(git -C "$K8S" remote get-url origin 2>/dev/null || true)
  [[ -n $url ]] || die "this checkout has no remote called origin; say which repository with --url"
fi
# Flux wants a URL with a scheme: git@host:path becomes ssh://git@host/path.
if [[ $url =~ ^([^/@]+@[^:/]+):(.+)$ ]]; then url="ssh://${BASH_REMATCH[1]}/${BASH_REMATCH[2]}"; fi
[[ $url =~ ^(https?|ssh):// ]] || die "$url is no https:// or ssh:// URL, so no cluster can reach it; give one with --url"
[[ $url != *[\'\"\|\&\ ]* ]] || die "$url has characters that do not belong in a URL"
# A password in the URL would stand readable in every cluster.
[[ ! $url =~ ^https?://[^/]*@ ]] || die "the URL holds a user or password; use a deploy key, or a Secret and spec.secretRef"

need_kubectl
for cluster in "${CLUSTERS[@]}"; do
  objects=$(kubectl kustomize "$K8S/clusters/$cluster/flux-system" |
    sed -e "s|^  url: .*|  url: $url|" -e "s|^    branch: .*|    branch: $branch|")
  if $DRY_RUN; then
    printf '# %s\n%s\n' "$cluster" "$objects"
  else
    kubectl --context "kind-$cluster" apply -f - <<<"$objects"
  fi
done
if [[ $url == ssh://* ]]; then
  warn "a repository over ssh needs a key: flux create secret git cortex-iq-deploy --url=$url, and spec.secretRef in both GitRepositories"
fi
$DRY_RUN || say "watch it: flux get kustomizations --context kind-macula-hub --watch"
