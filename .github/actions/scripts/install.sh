#!/usr/bin/env bash
# Installs brewslm, as it is at the commit that the workflow pins, into an environment of its own and prints that
# environment's interpreter. The first argument names extras, such as train.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
venv=$RUNNER_TEMP/brewslm
python3 -I -m venv "$venv"
"$venv/bin/python" -I -m pip install --quiet --disable-pip-version-check "$source${1:+[$1]}" >&2
echo "$venv/bin/python"
