#!/usr/bin/env bash
# Install if needed, then run the linters, the unit tests and the end-to-end tests of the recipes.
#
# usage: test/run.sh [--unit]
#   --unit   leave out the recipes (minutes less)

set -euo pipefail
cd "$(dirname "$0")/.."

recipes=true
for word in "$@"; do
    case ${word} in
        --unit) recipes=false ;;
        -h | --help)
            sed -n '2,/^$/s/^# \{0,1\}//p' test/run.sh
            exit 0
            ;;
        *)
            echo "test/run.sh: no such option '${word}'; see --help" >&2
            exit 1
            ;;
    esac
done
. utils/path.sh

ruff check .
ruff format --check --quiet .
python -m pytest -q --ignore test/recipes # one of them runs shellcheck
if [ "${recipes}" = true ]; then
    python -m pytest -q --durations 5 test/recipes
fi
