# shellcheck shell=bash disable=SC2034,SC2154
# What the options of run.sh cannot be; sourced by it, so that nobody hears of it only after hours of training.

for system in ${systems}; do
    case ${system} in
        llm | frozen | encoder-decoder | rescored | cascade | cascade-llm) ;;
        *) die "--systems: no '${system}'; choose from llm frozen encoder-decoder rescored cascade cascade-llm" ;;
    esac
done
decodes=$([ "${stage}" -gt 6 ] || [ "${stop_stage}" -lt 6 ] || echo true) # whether stage 6 is asked for
if [[ -n "${decodes}" && " ${systems} " = *" rescored "* && " ${systems%%rescored*} " != *" encoder-decoder "* ]] &&
    [[ " ${systems} " = *" encoder-decoder "* || ! -d "${exp}/decode/encoder-decoder" ]]; then
    die "--systems: rescored ranks the n-best lists of encoder-decoder; name that before it"
fi
integration= # whether it is trained, analysed and packed: where a system needs it, or there is one
if [[ " ${systems} " =~ \ (llm|frozen|cascade|cascade-llm)\  ]] || [ -d "${exp}/llm" ]; then integration=true; fi
if [ "${preset}" = mini ] && [ -z "${corpora}" ] && [ "${stage}" -le 1 ] && [ "${target}" != en ]; then # later stages read none
    die "--target ${target}: the made-up corpus is translated into English (en) only; --corpora names a real one"
fi
if [ "${stage}" -gt 1 ] && [ -f "${data}/test/utt2prompt" ]; then # made for a target, which this run may have forgotten
    other=$(python -c 'import sys; from speechllm.data.prompts import LANGUAGES
found = {line.split(maxsplit=1)[1].strip() for line in open(sys.argv[2]) if len(line.split()) > 1}
print(*sorted(found & set(LANGUAGES.values()) - {LANGUAGES.get(sys.argv[1])}))' "${target}" "${data}/test/utt2prompt")
    [ -z "${other}" ] || die "--target ${target}: the texts of ${data} are to be put into ${other}; name that language"
fi
for phase in ${phases}; do
    [ "${phase}" = llm ] || [ -f "${conf}/train_llm_${phase}.yaml" ] ||
        die "--phases: no phase '${phase}', for there is no ${conf}/train_llm_${phase}.yaml"
done
[ "${phases##* }" = llm ] || die "--phases should end in llm, got '${phases}'"
if [[ -n "${decodes}" && " ${systems} " = *" frozen "* ]]; then
    if [ "${stage}" -le 5 ]; then
        [[ " ${phases} " = *" frozen "* ]] ||
            die "--systems: frozen is none of --phases '${phases}'; leave it out, or train it"
    else
        [ -e "${exp}/frozen/best" ] || die "--systems: frozen has not been trained, for there is no ${exp}/frozen/best"
    fi
fi
if [[ -n "${decodes}" && "${ctc_opts} " =~ --target[\ =]text\  && " ${systems} " = *" cascade "* ]]; then
    die "--systems cascade reads transcripts, but with --ctc_opts '${ctc_opts}' CTC writes translations; leave cascade out"
fi
if [[ -n "${decodes}" && "${stage}" -le 5 && " ${systems} " = *" cascade-llm "* ]]; then
    # shellcheck disable=SC2086  # options for a command are words to be split
    learnt=$(python -m speechllm.bin.train_llm --config "${conf}/train_llm.yaml" ${llm_opts} --print_config)
    python -c 'import sys, yaml; sys.exit("transcript" not in yaml.safe_load(sys.stdin)["other_tasks"])' <<<"${learnt}" ||
        die "--systems: cascade-llm reads transcripts of the LLM, which learns to write none; give their prompt by" \
            "--llm_opts \"--other_tasks.transcript ...\" or in ${conf}/train_llm.yaml, or leave cascade-llm out"
fi
