#!/usr/bin/env bash
# Score dev and test: BLEU and chrF of the systems, and the WER of the transcripts that cascades have read.
#
# usage: local/score.sh --systems "..." --conf DIR --exp DIR --data DIR --langs "..." --target LANG
#   --systems "..."             folders in EXP/decode
#   --conf DIR                  its published.tsv, if there is one, is shown for --target beside the test set's figures
#   --exp DIR, --data DIR       of the run
#   --langs "...", --target LANG   spoken languages; language of the translations
#   --tokenize NAME             sacreBLEU's tokenizer for it (13a)

# shellcheck disable=SC2086  # options for a command are words to be split
set -euo pipefail
systems="" conf="" exp="" data="" langs="" target=en tokenize=13a
. parse_options.sh

baseline="" published=""
[[ " ${systems} " != *" encoder-decoder "* ]] || baseline="--baseline encoder-decoder"
if [ -f "${conf}/published.tsv" ]; then # of this target language
    awk -F '\t' -v target="${target}" 'NR == 1 || $3 == target' "${conf}/published.tsv" >"${exp}/published.tsv"
    published="--published ${exp}/published.tsv"
fi
score="python -m speechllm.bin.score --out ${exp} --commands ${exp}/commands"
for set in dev test; do
    hyps=$(for system in ${systems}; do echo "${system}=${exp}/decode/${system}/${set}"; done)
    read=$([[ " ${systems} " != *" cascade "* ]] || echo "ctc=${exp}/transcripts/${set}")
    read+=$([[ " ${systems} " != *" cascade-llm "* ]] || echo " llm=${exp}/transcripts_llm/${set}")
    [ -z "${read}" ] || ${score} --ref "${data}/${set}" --text text.src --hyp ${read} --metrics wer --set "${set}" --langs "${langs}"
    ${score} --ref "${data}/${set}" --hyp ${hyps} --metrics bleu,chrf --tokenize "${tokenize}" ${baseline} \
        --set "${set}" --langs "${langs}" ${published}
done
