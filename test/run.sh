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

python -m ruff check .
python -m ruff format --check --quiet .
# A worker for each core, each with one thread: pools of threads on the same cores would wait for one another.
pytest=(python -m pytest -q --numprocesses "$(nproc)" --dist loadfile --durations 5)
export OMP_NUM_THREADS=1
"${pytest[@]}" --ignore test/recipes # one of them runs shellcheck
if [ "${recipes}" = true ]; then
    "${pytest[@]}" test/recipes
fi
