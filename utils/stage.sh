# shellcheck shell=bash disable=SC2154
# Run the stages of a recipe that are asked for and not yet done; sourced once exp, data, stage and stop_stage are set.
# What init_encoder and lm name, where the recipe has them, must be there by then: it is read hours later.
#
#   if run_stage 4 "pretrain the encoder" "${data}/train/feats.scp" conf/ctc.yaml -- "${ctc_opts}"; then
#       discard_stale "${exp}/ctc"
#       train --exp_dir "${exp}/ctc" ${ctc_opts}
#       finish_stage "${exp}/ctc/best"
#   fi
#
# Words before "--" are files and folders that the stage reads (one that ends in "?" may be missing);
# "name=value" and all words after "--" are plain strings. A finished stage is skipped while they are unchanged
# and what finish_stage named is there. Otherwise, or with force=true, it runs again with overwrite=true: what
# the older run has left must be replaced. An interrupted stage runs with overwrite=false, to go on.

# Print a line with the time.
log() {
    printf '%(%F %T)T %s\n' -1 "$*"
}

# Print a line for file $1, or for each file in folder $1 that decides what a stage makes: tables, text, configs,
# weights, n-gram LMs. Audio, features and optimizers below it are not read; files above 64 MB count by size and time.
list_contents() {
    local file
    find -L "$1" ! -path "$1" \( -name '.?*' -o -name audio -o -name clips \) -prune -o -type f ! -name '*optim*.safetensors' \
        \( -path "$1" -o -name wav.scp -o -name feats.scp -o -name segments -o -name 'text*' -o -name 'utt2*' \
        -o -name '*.txt' -o -name '*.tsv' -o -name '*.json' -o -name '*.jsonl' -o -name '*.yaml' -o -name '*.model' -o -name '*.bin' \
        -o -name '*.safetensors' -o -name '*.arpa' \) -print0 | LC_ALL=C sort -z |
        while IFS= read -r -d '' file; do
            if [ "$(stat -Lc %s "${file}")" -gt 67108864 ]; then
                stat -Lc '%s %Y %n' "${file}"
            else
                sha256sum "${file}" || exit 1
            fi
        done
}

# Print what stage $1 would read, from the words given to run_stage.
list_inputs() {
    local number=$1 path
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        path=${1%\?}
        if [[ $1 =~ ^[A-Za-z_][A-Za-z0-9_.]*= ]]; then
            echo "string $1"
        elif [ -e "${path}" ]; then
            list_contents "${path}" || exit 1
        elif [ "${path}" = "$1" ]; then
            echo "./${0##*/}: stage ${number} reads ${path}, which is missing; run the stage that makes it first" >&2
            exit 1
        fi
        shift
    done
    printf 'string %s\n' "$@"
}

# run_stage NUMBER TITLE INPUT... [-- STRING...]: succeed if the stage has to run, and set overwrite. A part of a stage
# that has a stamp of its own has a letter behind the number, as 5b.
run_stage() {
    local number=${1%%[!0-9]*} # of "5b" it is 5
    local title="stage $1: $2" reason="" done_print="" started_print="" started_mark="" stamp output outputs=()
    if [ "${number}" -lt "${stage}" ] || [ "${number}" -gt "${stop_stage}" ]; then return 1; fi
    stage_file=${exp}/.stages/$1
    mkdir -p "${exp}/.stages"
    stage_print=$(list_inputs "$1" "${@:3}") || exit 1
    stage_print=$(sha256sum <<<"${stage_print}")
    stage_print=${stage_print%% *}
    overwrite=false

    if [ -f "${stage_file}.done" ]; then
        { read -r done_print && mapfile -t outputs; } <"${stage_file}.done"
        [ "${done_print}" = "${stage_print}" ] || reason="its inputs have changed"
        for output in "${outputs[@]}"; do [ -e "${output}" ] || reason="${output} is missing"; done
        [ "${force:-false}" = false ] || reason="force is true"
        if [ -z "${reason}" ]; then
            log "${title}: already done, skipped"
            return 1
        fi
    elif [ -f "${stage_file}.started" ]; then
        read -r started_print started_mark <"${stage_file}.started" || true
        if [ "${started_print}" != "${stage_print}" ]; then
            reason="its inputs have changed"
        elif [ "${started_mark}" = stale ]; then
            reason="it was interrupted"
        elif [ "${force:-false}" = true ]; then
            reason="force is true"
        else
            title+=" (goes on where it was interrupted)"
        fi
    fi
    if [ -n "${reason}" ]; then
        overwrite=true
        title+=" (stale: ${reason}; runs again)"
    fi
    rm -rf "${stage_file}.before"
    mkdir "${stage_file}.before"
    for stamp in "${stage_file}".{done,started,command}; do
        [ ! -f "${stamp}" ] || cp "${stamp}" "${stage_file}.before"
    done
    stage_runs=true stage_folders=() moved_away=()
    echo "${recipe_command:-$0}" >"${stage_file}.command"
    mark_started "$([ -z "${reason}" ] || echo stale)"
    rm -f "${stage_file}.done"
    log "${title}"
}

# Write the stamp of a running stage; $1 is "stale" while results of an older run may lie about.
mark_started() {
    echo "${stage_print} $1" >"${stage_file}.tmp"
    mv "${stage_file}.tmp" "${stage_file}.started"
}

# Print the commands that made what lies in ${exp}, in the order of the stages.
list_commands() {
    local number
    for number in {0..20}{,b}; do
        [ ! -f "${exp}/.stages/${number}.command" ] || cat "${exp}/.stages/${number}.command"
    done | awk '!seen[$0]++'
}

# discard_stale FOLDER...: move what an older run has left out of the way, once; an interruption after this is resumed.
# A finished model that was moved away stays until a later finished one takes its place; an unfinished training goes
# to FOLDER.unfinished where there is such a model.
discard_stale() {
    local folder aside
    stage_folders=("$@")
    [ "${overwrite}" = true ] || return 0
    for folder in "$@"; do
        [ -e "${folder}" ] || continue
        aside=${folder}.stale
        if [ -e "${aside}/best" ] && [ ! -e "${folder}/best" ]; then aside=${folder}.unfinished; fi
        rm -rf "${aside}"
        mv "${folder}" "${aside}"
        log "moved ${folder} to ${aside}"
        moved_away+=("${aside}")
    done
    overwrite=false
    mark_started ""
}

# At the end of a recipe: a stage that failed before it wrote anything but logs and `commands` in ${exp} and ${data}, as over a misspelt
# option, leaves all as it was.
stage_runs=false
put_back() {
    local status=$? folder aside stamp
    if [ "${status}" -eq 0 ] || [ "${stage_runs}" = false ]; then return 0; fi
    for folder in ${stage_folders[@]+"${stage_folders[@]}"}; do
        [ ! -e "${folder}" ] || return 0
    done
    [ -z "$(find -L "${exp}" "${data:-${exp}}" -mindepth 1 \( -name log -o -name .stages -o -path "${exp}/commands" \) -prune \
        -o -newer "${stage_file}.started" -print -quit 2>/dev/null)" ] || return 0
    for stamp in "${stage_file}".{done,started,command}; do
        if [ -f "${stage_file}.before/${stamp##*/}" ]; then
            mv "${stage_file}.before/${stamp##*/}" "${stamp}"
        else
            rm -f "${stamp}"
        fi
    done
    for aside in ${moved_away[@]+"${moved_away[@]}"}; do
        mv "${aside}" "${aside%.*}"
        log "moved ${aside} back to ${aside%.*}: nothing has replaced it"
    done
}
trap put_back EXIT

# finish_stage [OUTPUT...]: the last line of a stage.
finish_stage() {
    printf '%s\n' "${stage_print}" "$@" >"${stage_file}.tmp"
    mv "${stage_file}.tmp" "${stage_file}.done"
    rm -rf "${stage_file}".{started,before} ${stage_folders[@]+"${stage_folders[@]/%/.unfinished}"}
    stage_runs=false
}

[ "${stage}" -le "${stop_stage}" ] || die "--stop_stage ${stop_stage} is before --stage ${stage}, so there is nothing to do"
if [ -n "${init_encoder-}" ] && [ ! -f "${init_encoder}" ] && [ ! -f "${init_encoder}/best/model.safetensors" ] &&
    [ ! -f "${init_encoder}/model.safetensors" ]; then
    die "--init_encoder should be a folder with a trained encoder, such as exp/mini/ctc, or ESPnet's .pth, got '${init_encoder}'"
fi
if [ -n "${lm-}" ] && [ "${lm}" != train ] && [ ! -e "${lm}" ]; then
    die "--lm should be train, a folder with n-gram LMs or an ARPA file, got '${lm}'"
fi
if [ "${subset:-full}" != full ] && [ "${data}" != "data/${tag}" ]; then
    die "--subset ${subset}: the data of another run (--data ${data}) are as they are; leave one of the two out"
fi
if [ -n "${data-}" ] && [ "${data}" != "data/${tag-}" ] && [ ! -d "${data}/train" ]; then
    die "--data should be the data folder of another run, with train, dev and test, got '${data}'"
fi
