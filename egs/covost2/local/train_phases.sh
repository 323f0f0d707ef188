# shellcheck shell=bash disable=SC2086,SC2154
# Stage 5: train the LLM integration phase by phase, each from the one before; sourced by run.sh.
#
# A phase changes train_llm.yaml by its own file; --llm_opts win over both, but a phase that leaves the LLM as it is
# (rank 0) goes on doing so.

for phase in ${phases}; do
    changes=${conf}/train_llm_${phase}.yaml own=()
    [ "${phase}" = llm ] || own=(--config "${changes}")
    fixed=()
    [ "${phase}" = llm ] || ! grep -qE '^  rank: 0( |$)' "${changes}" || fixed=(--lora.rank 0)
    ${cuda_cmd} --gpu "${ngpu}" "${exp}/log/train_${phase}.log" ${train} speechllm.bin.train_llm --config "${conf}/train_llm.yaml" \
        "${own[@]}" "${bleu[@]}" ${llm_opts} "${fixed[@]}" "${sets[@]}" --encoder "${ctc}" --decode_config "${conf}/decode.yaml" \
        --llm_name "${base_llm}" ${init:+--init "${init}"} --exp_dir "${exp}/${phase}"
    init=${exp}/${phase}
done
