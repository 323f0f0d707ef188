# shellcheck shell=bash disable=SC2154,SC2086
# Stage 9, sourced by run.sh: dialogues of several turns, instructions in text, noise, and whether the LLM is as it was.

systems="text cascade audio"
list_commands >"${exp}/commands"
for test in "several several.jsonl" "first_spoken several.jsonl --spoken first" "last_spoken several.jsonl --spoken last" \
    "no_history several.jsonl --history drop" "instructed instructed.jsonl"; do
    read -r name file options <<<"${test}"
    [ -f "${data}/test/${file}" ] || continue # a real corpus has single turns only
    ${decode_cmd} --gpu "${one_gpu}" "${exp}/log/decode_${name}.log" launch.sh --ngpu "${one_gpu}" \
        ${converse} --set "${name}" ${options} "${data}/test/${file}"
    hyps=$(for system in ${systems}; do echo "${system}=${exp}/decode/${system}/${name}"; done)
    python -m speechllm.bin.score_chat --dialogues "${data}/test/${file}" --hyp ${hyps} --set "${name}" --out "${exp}" \
        --commands "${exp}/commands"
done

for snr in ${snrs}; do
    ${decode_cmd} --gpu "${one_gpu}" "${exp}/log/decode_${snr}dB.log" launch.sh --ngpu "${one_gpu}" \
        ${converse} --set "${snr}dB" --snr "${snr}" "${data}/test/dialogues.jsonl"
done
hyps=$(for system in ${systems}; do
    for snr in ${snrs}; do echo "${system}@${snr}dB=${exp}/decode/${system}/${snr}dB"; done
done)
python -m speechllm.bin.score_chat --dialogues "${data}/test/dialogues.jsonl" --hyp ${hyps} --set noise --out "${exp}" \
    --commands "${exp}/commands"

python -m speechllm.bin.check_frozen --model "${exp}/llm" --responses "${responses}/train" \
    --out "${exp}/analysis/frozen.json" "${data}/test/dialogues.jsonl"
