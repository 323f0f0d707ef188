# shellcheck shell=bash
# Make the rows of a table of several runs; sourced by run_table.sh.
#
#   python -m speechllm.bin.table plan ... | run_rows 2 exp/mini/tables/log
#
# Needs log of stage.sh. A line of the plan is the name of a job and options of run.sh; lines of one name are run one after the other. An empty
# line: what follows needs what stands before.

# run_rows NJ LOGS: run the jobs of a plan, NJ at a time, each with a log of its own. When one fails the others go on; the
# names of those that have failed are in the variable failed.
run_rows() {
    local nj=$1 logs=$2 line name options names=()
    local -A calls=()
    failed=""
    mkdir -p "${logs}"
    export OMP_NUM_THREADS=$((OMP_NUM_THREADS > nj ? OMP_NUM_THREADS / nj : 1)) # the jobs share the cores
    while IFS= read -r line || [ -n "${line}" ]; do
        if [ -z "${line}" ]; then
            run_jobs
            continue
        fi
        read -r name options <<<"${line}"
        [ -n "${calls[${name}]-}" ] || names+=("${name}")
        calls[${name}]+=${options}$'\n'
    done
    run_jobs
}

# Run the jobs of run_rows that are not yet done, and forget them.
run_jobs() {
    local name
    for name in "${names[@]}"; do
        while [ "$(jobs -rp | wc -l)" -ge "${nj}" ]; do wait -n || true; done
        run_job "${name}" &
    done
    wait
    for name in "${names[@]}"; do
        [ ! -e "${logs}/${name//\//_}.failed" ] || failed+="${failed:+ }${name}"
    done
    names=() calls=()
}

# Run the calls of job $1 of run_rows; a failed one leaves <name>.failed beside its log.
run_job() {
    local file=${logs}/${1//\//_} options start=${SECONDS}
    log "row $1: log in ${file}.log"
    rm -f "${file}.failed"
    while IFS= read -r options; do
        if ! eval "./run.sh ${options}" </dev/null; then
            touch "${file}.failed"
            break
        fi
    done <<<"${calls[$1]%$'\n'}" >"${file}.log" 2>&1
    if [ -e "${file}.failed" ]; then
        log "row $1: failed: $(tail -n 1 "${file}.log")"
    else
        log "row $1: done in $((SECONDS - start)) s"
    fi
}
