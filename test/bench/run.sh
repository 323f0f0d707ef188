#!/usr/bin/env bash
# Measure against other libraries, each benchmark in a process of its own: test/bench/{RESULTS.md,results.json}.
#
# usage: test/bench/run.sh [benchmark ...]
#
# Without names all of them run: startup fbank stage2 manifest encoder stage4 llm_step llm_memory stage5 greedy
# beam4.
# The first run installs the peers (tools/install.sh --bench) and makes half an hour of the mini preset's corpus.
# Leave the machine alone meanwhile. OMP_NUM_THREADS says how many threads training and decoding take (2).

set -euo pipefail
cd "$(dirname "$0")/../.."

case " $* " in
    *" --help "* | *" -h "*)
        sed -n '2,/^$/s/^# \{0,1\}//p' test/bench/run.sh
        exit 0
        ;;
esac
threads=${OMP_NUM_THREADS:-2}
benchmarks=("$@")
if [ $# -eq 0 ]; then
    benchmarks=(startup fbank stage2 manifest encoder stage4 llm_step llm_memory stage5 greedy beam4)
    rm -f test/bench/RESULTS.md test/bench/results.json
fi
for name in "${benchmarks[@]}"; do
    if ! [ -f "test/bench/${name}.py" ]; then
        echo "test/bench/run.sh: no benchmark '${name}'; see --help" >&2
        exit 1
    fi
done

[ -n "${SPEECHLLM_PYTHON:-}" ] || tools/install.sh --bench --if-needed
. utils/path.sh
export CUDA_VISIBLE_DEVICES=''

corpus=egs/mls/data/bench
if ! [ -f "${corpus}/units.model" ]; then
    egs/mls/run.sh --tag bench --stop_stage 2 --corpus_opts "--train_hours 0.5 --dev_utts 2 --test_utts 2"
    python -m speechllm.bin.train_tokenizer --config egs/mls/conf/mini/tokenizer.yaml \
        --text "${corpus}/train/text" --out "${corpus}/units.model"
fi

status=0
for name in "${benchmarks[@]}"; do
    case ${name} in
        startup | fbank | stage2 | manifest | llm_memory) export OMP_NUM_THREADS=1 ;;
        *) export OMP_NUM_THREADS=${threads} ;;
    esac
    start=${SECONDS}
    if ! python "test/bench/${name}.py" --corpus "${corpus}"; then
        echo "test/bench/run.sh: ${name} failed, or its results are not equal" >&2
        status=1
    fi
    echo "${name}: $((SECONDS - start)) s"
done
[ ! -f test/bench/RESULTS.md ] || cat test/bench/RESULTS.md
exit "${status}"
