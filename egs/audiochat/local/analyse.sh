# shellcheck shell=bash disable=SC2154,SC2086
# Stage 9, sourced by run.sh: dialogues of several turns, instructions in text, the same audio with and without a
# helpful turn before, noise, and whether the LLM is as it was.

list_commands >"${exp}/commands"
for test in "several several.jsonl" "first_spoken several.jsonl --spoken first" "last_spoken several.jsonl --spoken last" \
    "no_history several.jsonl --history drop" "instructed instructed.jsonl" "reminded_0dB reminded.jsonl --snr 0" \
    "unreminded_0dB reminded.jsonl --snr 0 --history drop"; do
    read -r name file options <<<"${test}"
    [ -f "${data}/test/${file}" ] || continue # a real corpus has single turns only
    ${decode_cmd} --gpu "${one_gpu}" "${exp}/log/decode_${name}.log" ${decode} ${converse} --set "${name}" ${options} "${data}/test/${file}"
    ${score} --set "${name}" "${data}/test/${file}"
done

for snr in ${snrs}; do
    ${decode_cmd} --gpu "${one_gpu}" "${exp}/log/decode_${snr}dB.log" ${decode} ${converse} --set "${snr}dB" --snr "${snr}" "${data}/test/dialogues.jsonl"
done
${score} --set noise --columns "$(printf '%sdB ' ${snrs})" "${data}/test/dialogues.jsonl"

python -m speechllm.bin.check_frozen --model "${exp}/llm" --responses "${responses}/train" \
    --out "${exp}/analysis/frozen.json" "${data}/test/dialogues.jsonl"
