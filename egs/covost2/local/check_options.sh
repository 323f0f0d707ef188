# shellcheck shell=bash disable=SC2034,SC2154
# What the options of run.sh cannot be; sourced by it, so that nobody hears of it only after hours of training.

for system in ${systems}; do
    case ${system} in
        llm | frozen | encoder-decoder | rescored | cascade | cascade-llm) ;;
        *) die "--systems: no '${system}'; choose from llm frozen encoder-decoder rescored cascade cascade-llm" ;;
    esac
done
if [[ " ${systems} " = *" rescored "* ]] && [[ " ${systems%%rescored*} " != *" encoder-decoder "* ]] &&
    [ ! -d "${exp}/decode/encoder-decoder" ]; then
    die "--systems: rescored ranks the n-best lists of encoder-decoder; name that before it"
fi
integration= # whether it is trained, analysed and packed: where a system needs it, or there is one
if [[ " ${systems} " =~ \ (llm|frozen|cascade|cascade-llm)\  ]] || [ -d "${exp}/llm" ]; then integration=true; fi
for phase in ${phases}; do
    [ "${phase}" = llm ] || [ -f "${conf}/train_llm_${phase}.yaml" ] ||
        die "--phases: no phase '${phase}', for there is no ${conf}/train_llm_${phase}.yaml"
done
[ "${phases##* }" = llm ] || die "--phases should end in llm, got '${phases}'"
if [[ "${ctc_opts} " =~ --target[\ =]text\  && ${stop_stage} -ge 6 && " ${systems} " = *" cascade "* ]]; then
    die "--systems cascade reads transcripts, but with --ctc_opts '${ctc_opts}' CTC writes translations; leave cascade out"
fi
