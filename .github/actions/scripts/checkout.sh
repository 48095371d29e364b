#!/usr/bin/env bash
# Lays out the commit of the event in the folder named, with its parents' objects, and prints its first parent: for a
# pull request the tip of the base branch that it was merged with. git is told of no configuration, so that no hook,
# filter or submodule runs; the token stands in this call's environment alone and nowhere in the folder.
set -euo pipefail
folder=$1
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0
git init --quiet --template= "$folder"
cd "$folder"
header=
if [[ -n ${GH_TOKEN:-} ]]; then
  header="Authorization: Basic $(printf 'x-access-token:%s' "$GH_TOKEN" | base64 --wrap=0)"
fi
GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="http.$GITHUB_SERVER_URL/.extraHeader" GIT_CONFIG_VALUE_0="$header" \
  git fetch --quiet --no-tags --no-recurse-submodules --depth=2 "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY" "$GITHUB_SHA"
git -c advice.detachedHead=false checkout --quiet --detach "$GITHUB_SHA"
git rev-parse --verify --quiet "$GITHUB_SHA^1" || true
