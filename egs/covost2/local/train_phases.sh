#!/usr/bin/env bash
# Train the LLM integration phase by phase, each from the one before, into EXP/<phase>.
#
# usage: local/train_phases.sh --cmd NAME --phases "..." --conf DIR --exp DIR --data DIR --ctc DIR --llm NAME [options]
#   --cmd NAME                  command that runs a training, see cmd.sh
#   --phases "frozen llm"       in this order; all but llm change CONF/train_llm.yaml by CONF/train_llm_<phase>.yaml
#   --conf DIR                  holds these and decode.yaml, by which the dev set is decoded
#   --exp DIR, --data DIR       of the run
#   --ctc DIR, --llm NAME       CTC encoder; LLM
#   --tokenize NAME             sacreBLEU's tokenizer for the BLEU of the dev set (13a)
#   --ngpu N, --nproc N         GPUs (0), or processes on the CPU (1)
#   --opts "..."                win over the YAML files, but a phase whose file has lora.rank 0 leaves the LLM as it is

# shellcheck disable=SC2086  # options for a command are words to be split
set -euo pipefail
cmd="" phases="" conf="" exp="" data="" ctc="" llm="" tokenize=13a ngpu=0 nproc=1 opts=""
. parse_options.sh

init=()
for phase in ${phases}; do
    changes=() fixed=()
    if [ "${phase}" != llm ]; then
        file=${conf}/train_llm_${phase}.yaml
        changes=(--config "${file}")
        rank=$(python -c 'import sys, yaml; print(yaml.safe_load(sys.stdin)["lora"]["rank"])' <"${file}" 2>/dev/null) ||
            rank="" # the file has none, or train_llm is going to say what is wrong with it
        [ "${rank}" != 0 ] || fixed=(--lora.rank 0)
    fi
    ${cmd} --gpu "${ngpu}" "${exp}/log/train_${phase}.log" launch.sh --ngpu "${ngpu}" --nproc "${nproc}" \
        speechllm.bin.train_llm --config "${conf}/train_llm.yaml" "${changes[@]}" \
        --valid_tokenize "${tokenize}" ${opts} "${fixed[@]}" \
        --train_dir "${data}/train" --valid_dir "${data}/dev" --decode_config "${conf}/decode.yaml" \
        --encoder "${ctc}" --llm_name "${llm}" "${init[@]}" --exp_dir "${exp}/${phase}"
    init=(--init "${exp}/${phase}")
done
