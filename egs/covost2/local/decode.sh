#!/usr/bin/env bash
# Decode dev and test by one system into EXP/decode/<system>.
#
# usage: local/decode.sh --system NAME --conf DIR --exp DIR --data DIR --ctc DIR --llm NAME [options]
#   --system NAME               llm, frozen, encoder-decoder, rescored (lists of encoder-decoder), cascade (of CTC's transcripts)
#                               or cascade-llm (of the LLM's own, which it must have learnt to write)
#   --conf DIR                  holds decode.yaml and decode_encoder_decoder.yaml
#   --exp DIR, --data DIR       of the run
#   --ctc DIR                   CTC encoder, which writes the transcripts of the cascade
#   --llm NAME, --tokenize NAME by which n-best lists are rescored; tokenizer of the BLEU that this is tuned by (13a)
#   --ngpu N, --nproc N         GPUs (0), or processes on the CPU (1)
#   --opts "..."                overrides of decode.yaml, by which all decode but encoder-decoder

# shellcheck disable=SC2086  # options for a command are words to be split
set -euo pipefail
system="" conf="" exp="" data="" ctc="" llm="" tokenize=13a ngpu=0 nproc=1 opts=""
. parse_options.sh

launch="launch.sh --ngpu ${ngpu} --nproc ${nproc}" out=${exp}/decode sets="${data}/dev ${data}/test"
case ${system} in
    llm | frozen)
        ${launch} speechllm.bin.decode --config "${conf}/decode.yaml" --model "${exp}/${system}" \
            --out "${out}/${system}" ${opts} ${sets}
        ;;
    encoder-decoder)
        ${launch} speechllm.bin.decode --config "${conf}/decode_encoder_decoder.yaml" --model "${exp}/${system}" \
            --out "${out}/${system}" ${sets}
        ;;
    rescored)
        lists=${out}/encoder-decoder
        launch.sh --ngpu "$((ngpu > 0))" speechllm.bin.score_nbest --llm_name "${llm}" "${lists}/dev" "${lists}/test"
        python -m speechllm.bin.rescore --ref "${data}/dev" --hyp "${lists}/dev" --scores decoder,llm --metric bleu \
            --tokenize "${tokenize}" --out "${out}/rescored" "${lists}/test"
        ;;
    cascade | cascade-llm)
        heard=${exp}/transcripts reader=${ctc}
        [ "${system}" = cascade ] || heard=${exp}/transcripts_llm reader=${exp}/llm
        ${launch} speechllm.bin.decode --config "${conf}/decode.yaml" --model "${reader}" \
            --out "${heard}" ${opts} --task transcript ${sets}
        ${launch} speechllm.bin.translate --config "${conf}/decode.yaml" --model "${exp}/llm" \
            --heard "${heard}" --out "${out}/${system}" ${opts} ${sets}
        ;;
    *) die "--system should be llm, frozen, encoder-decoder, rescored, cascade or cascade-llm, got '${system}'" ;;
esac
