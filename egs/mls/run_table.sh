#!/usr/bin/env bash
# A table of arXiv:2307.11795: runs what its rows need and writes exp/<tag>/tables/<N>.{md,csv,json,png}.
#
# usage: ./run_table.sh --table N [options]
#   --table N                   1 systems, 2 encoder and frame rate, 3 rank of LoRA, 4 target masking, 5 choice of the LLM,
#                               6 past the paper: other adapters, masking by language, limited supervision
#   --row NAME                  this row only
#   --preset NAME               as for run.sh (mini)
#   --corpora DIR               as for run.sh
#   --langs "en de ..."         as for run.sh (all eight)
#   --llm NAME                  LLM of the rows that name none
#   --tag NAME                  run whose data, encoder and LLM the rows share; it is made if it is not there (the preset)
#   --ngpu N                    as for run.sh
#   --nj N                      rows that are made at the same time (with GPUs 1, else one for each core)
#
# The rows are described in conf/<preset>/tables/<N>.yaml. Finished rows are skipped; when one fails the others go on, and
# the table is written without it.

set -euo pipefail
cd "$(dirname "$0")"
. ../../utils/path.sh
. ./db.sh

table="" row="" preset=mini corpora="" langs="en de nl fr es it pt pl" llm="" tag="" ngpu="" nj=""
. parse_options.sh
[ -n "${table}" ] || die "--table N is missing; --help lists the tables"
[ -d "conf/${preset}/tables" ] || die "--preset should be a folder in conf/ with tables, got '${preset}'"
. "conf/${preset}/defaults.sh"
tag=${tag:-${preset}} corpora=${corpora:-${MLS}}

[ "${ngpu}" -eq 0 ] || nj=${nj:-1} # a row takes all of them

table=(--spec "conf/${preset}/tables/${table}.yaml" --preset "${preset}" --tag "${tag}" --row "${row}"
    --corpora "${corpora:-data/${tag}/corpus}" --langs "${langs}" --llm "${llm}" --nj "${nj:-$(env -u OMP_NUM_THREADS nproc)}"
    --more="--ngpu ${ngpu} --langs '${langs}'")
python -m speechllm.bin.table plan "${table[@]}" >/dev/null # what is wrong with them is said before an hour of training
if ! [ -f "exp/${tag}/results.json" ] || ! [ -e "exp/${tag}/ctc/best" ]; then
    ./run.sh --preset "${preset}" --tag "${tag}" --corpora "${corpora}" --langs "${langs}" \
        --llm "${llm}" --ngpu "${ngpu}" --stop_stage 7
fi
exec python -m speechllm.bin.table run "${table[@]}"
