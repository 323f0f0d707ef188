# shellcheck shell=bash disable=SC2154,SC2086
# Stage 9, sourced by run.sh: dialogues of several turns, instructions in text, the same audio with and without a
# helpful turn before, noise, and whether the LLM is as it was.

list_commands >"${exp}/commands"
tests=()
for test in several=several.jsonl first_spoken=several.jsonl,spoken=first last_spoken=several.jsonl,spoken=last \
    no_history=several.jsonl,history=drop instructed=instructed.jsonl reminded_0dB=reminded.jsonl,snr=0 \
    unreminded_0dB=reminded.jsonl,snr=0,history=drop; do
    file=${test#*=}
    [ ! -f "${data}/test/${file%%,*}" ] || tests+=("${test}") # a real corpus has single turns only
done
for snr in ${snrs}; do tests+=("${snr}dB=dialogues.jsonl,snr=${snr}"); done
${decode_cmd} --gpu "${one_gpu}" "${exp}/log/analyse.log" ${decode} ${converse} --own_ctc "${tests[@]/=/=${data}/test/}"

for test in "${tests[@]}"; do
    file=${test#*=}
    [ "${file%%,*}" = dialogues.jsonl ] || ${score} --set "${test%%=*}" "${data}/test/${file%%,*}"
done
${score} --set noise --columns "$(printf '%sdB ' ${snrs})" --plot "${exp}/analysis/noise.png" "${data}/test/dialogues.jsonl"

${decode_cmd} --gpu "${one_gpu}" "${exp}/log/check_frozen.log" ${decode} speechllm.bin.check_frozen --model "${exp}/llm" --responses "${responses}/train" \
    --out "${exp}/analysis/frozen.json" --results "${exp}" --commands "${exp}/commands" "${data}/test/dialogues.jsonl"
