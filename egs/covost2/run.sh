#!/usr/bin/env bash
# CoVoST 2: an LLM translates speech, through a CTC compressor and a small audio encoder (arXiv:2307.03917).
#
# usage: ./run.sh [options]
#   --preset NAME               mini: made-up speech on a CPU in minutes; paper: its sizes on GPUs; or a folder of conf (mini)
#   --corpora DIR               folder of Common Voice 4 and CoVoST 2 (see db.sh; mini makes one)
#   --langs "de fr ...", --target LANG  languages that are spoken (see conf/*/defaults.sh); to translate to (en)
#   --systems "llm ..."         of llm, frozen, encoder-decoder, rescored, cascade (those); cascade-llm: the LLM transcribes too;
#                               for encoder-decoder and rescored alone no integration is trained
#   --llm NAME, --tag NAME      Hugging Face name or folder of the LLM (mini trains one); data/NAME, exp/NAME hold the run (the preset)
#   --stage N, --stop_stage N, --force true  first and last stage (0, 9); finished ones are skipped, if not forced
#   --data DIR, --ctc DIR, --init_encoder PATH  data, CTC encoder of another run; an encoder to start from (exp/mini/ctc)
#   --phases "frozen llm"       trainings of stage 5, each from the one before: train_llm.yaml with train_llm_<phase>.yaml
#   --ngpu N, --nproc N, --nj N, --decode_nj N  GPUs (0 in mini) or processes that train; that extract (2); that decode
#   --corpus_opts "...", --prepare_opts "..."   of the made-up corpus; of local/prepare_data.py; and overrides of
#   --mini_llm_opts "...", --ctc_opts "...", --llm_opts "...", --baseline_opts "...", --decode_opts "..."  YAML files
#
# stages: 0 get the corpus, 1 prepare data, 2 extract fbank, 3 train tokenizer (mini: and the small LLM), 4 pretrain
#   the CTC compressor, 5 train the LLM integration, 5b train the baseline, 6 decode, 7 score, 8 analyse, 9 pack

# shellcheck disable=SC2046,SC2059,SC2086  # options for a command are words to be split
set -euo pipefail
cd "$(dirname "$0")"
. ../../utils/path.sh
. ./cmd.sh
. ./db.sh

preset=mini corpora="" langs="" target=en systems="llm encoder-decoder rescored cascade" llm="" init_encoder="" tag=""
data="" ctc="" stage=0 stop_stage=9 force=false phases="frozen llm" init_baseline="" ngpu="" nproc=1 nj=2 decode_nj=""
corpus_opts="" corpus_size="" prepare_opts="" mini_llm_opts="" ctc_opts="" llm_opts="" baseline_opts="" decode_opts=""
. parse_options.sh
[ -f "conf/${preset}/defaults.sh" ] || die "--preset should be a folder in conf/ (mini, paper), got '${preset}'"
. "conf/${preset}/defaults.sh"
[ -z "${data}" ] || [ "${stage}" -ge 3 ] || stage=3 # the data of another run are as they are
conf=conf/${preset} exp=exp/${tag:=${preset}} data=${data:-data/${tag}} ctc=${ctc:-${exp}/ctc} corpora=${corpora:-${COVOST2}}
. stage.sh
declare -A tokenizers=([zh-CN]=zh [ja]=ja-mecab) && tokenize=${tokenizers[${target}]:-13a} # of BLEU, in the target language
. local/check_options.sh

made=$([ -n "${corpora}" ] || [ "${preset}" != mini ] || echo "${data}/corpus") corpora=${corpora:-${made}}
if run_stage 0 "get the corpus" -- "${corpora}" "${langs}" "${corpus_size}" "${corpus_opts}" "${preset}"; then
    [ -z "${made}" ] || ${train_cmd} --num_threads "${nj}" "${exp}/log/corpus.log" python -m speechllm.bin.make_mini_corpus \
        --layout covost2 --langs "${langs}" --nj "${nj}" ${corpus_size} ${corpus_opts} --out "${made}"
    finish_stage ${made:+"${made}"}
fi

if run_stage 1 "prepare data" "${corpora}?" -- "${corpora}" "${langs}" "${target}" "${prepare_opts}" "${corpus_opts}"; then
    for set in train dev test; do
        python local/prepare_data.py --corpora "${corpora}" --langs "${langs}" --target "${target}" --set "${set}" ${prepare_opts} "${data}/${set}"
        python -m speechllm.bin.validate_data_dir "${data}/${set}"
    done
    finish_stage "${data}"/{train,dev,test}/text
fi

if run_stage 2 "extract fbank" "${data}"/{train,dev,test}/{wav.scp,text,text.src,utt2lang,utt2prompt} "${conf}/fbank.yaml"; then
    for set in train dev test; do
        ${train_cmd} JOB=1:"${nj}" "${exp}/log/fbank_${set}.JOB.log" python -m speechllm.bin.extract_fbank \
            --config "${conf}/fbank.yaml" --data_dir "${data}/${set}" --num_parts "${nj}" --part JOB
        python -m speechllm.bin.merge_feats --data_dir "${data}/${set}" --num_parts "${nj}"
        python -m speechllm.bin.compile_manifest "${data}/${set}"
    done
    ${train_cmd} --num_threads "${nj}" "${exp}/log/cmvn.log" python -m speechllm.bin.compute_cmvn --nj "${nj}" "${data}/train"
    finish_stage "${data}"/{train,dev,test}/manifest.arrow "${data}/train/cmvn.ark"
fi

base_llm=${llm:-${exp}/base_llm} own_llm=$([ -n "${llm}" ] || echo "${exp}/base_llm") # made here, where none is named
if run_stage 3 "train tokenizer" "${data}/train"/text{,.src} "${conf}"/{tokenizer.yaml,llm.yaml?} -- "${llm}" "${langs}" "${mini_llm_opts}"; then
    [ -z "${llm}" ] || python -m speechllm.bin.check_llm --config "${conf}/train_llm.yaml" ${llm_opts} "${llm}"
    python -m speechllm.bin.train_tokenizer --config "${conf}/tokenizer.yaml" --text "${data}/train/text" --out "${exp}/text.model"
    python -m speechllm.bin.train_tokenizer --config "${conf}/tokenizer.yaml" --text "${data}/train/text.src" --out "${exp}/units.model"
    [ -n "${llm}" ] || ${train_cmd} "${exp}/log/base_llm.log" python -m speechllm.bin.make_mini_llm --config "${conf}/llm.yaml" \
        --langs "${langs}" --target "${target}" --text "${data}/train/text" --text_src "${data}/train/text.src" --out "${base_llm}" ${mini_llm_opts}
    finish_stage "${exp}"/{units,text}.model ${own_llm:+"${own_llm}/config.json"}
fi

sets=(--train_dir "${data}/train" --valid_dir "${data}/dev") bleu=(--valid_tokenize "${tokenize}") train="launch.sh --ngpu ${ngpu} --nproc ${nproc}"
if [ "${ctc}" = "${exp}/ctc" ] && run_stage 4 "pretrain the CTC compressor" "${data}"/{train,dev}/{text,text.src,feats.scp} \
    "${data}/train/cmvn.ark" "${exp}"/{units,text}.model "${conf}"/{fbank,train_ctc}.yaml ${init_encoder:+"${init_encoder}"} -- "${ctc_opts}"; then
    discard_stale "${ctc}"
    ${cuda_cmd} --gpu "${ngpu}" "${exp}/log/train_ctc.log" ${train} speechllm.bin.train_ctc --config "${conf}/train_ctc.yaml" "${sets[@]}" \
        --decode_config "${conf}/decode.yaml" --units "${exp}/units.model" --text_units "${exp}/text.model" --init_encoder "${init_encoder}" --exp_dir "${ctc}" ${ctc_opts}
    finish_stage "${ctc}/best"
fi

if [ -n "${integration}" ] && run_stage 5 "train the LLM integration" "${ctc}/best" "${data}"/{train,dev}/{text,text.src,feats.scp,utt2prompt?} \
    "${conf}"/train_llm{,_*}.yaml "${base_llm}?" -- "${base_llm}" "${llm_opts}" "${phases}"; then
    discard_stale "${exp}/frozen" $(printf "${exp}/%s " ${phases}) # frozen also where this run has no such phase
    local/train_phases.sh --cmd "${cuda_cmd}" --phases "${phases}" --conf "${conf}" --exp "${exp}" --data "${data}" --ctc "${ctc}" \
        --llm "${base_llm}" --tokenize "${tokenize}" --ngpu "${ngpu}" --nproc "${nproc}" --opts "${llm_opts}"
    finish_stage "${exp}/llm/best"
fi

text_units=${exp}/text.model
[ -f "${text_units}" ] || text_units=$(dirname "${ctc}")/text.model # of the run whose data and encoder this one shares
if [[ " ${systems} " = *" encoder-decoder "* ]] && run_stage 5b "train the baseline" "${ctc}/best" \
    "${data}"/{train,dev}/{text,feats.scp} "${text_units}" "${conf}/train_encoder_decoder.yaml" -- "${baseline_opts}"; then
    discard_stale "${exp}/encoder-decoder"
    ${cuda_cmd} --gpu "${ngpu}" "${exp}/log/train_encoder-decoder.log" ${train} speechllm.bin.train_encoder_decoder \
        --config "${conf}/train_encoder_decoder.yaml" "${sets[@]}" "${bleu[@]}" --decode_config "${conf}/decode_encoder_decoder.yaml" \
        --units "${text_units}" --init_encoder "${init_baseline:+${ctc}}" --exp_dir "${exp}/encoder-decoder" ${baseline_opts}
    finish_stage "${exp}/encoder-decoder/best"
fi

if run_stage 6 "decode" "${ctc}/best" "${exp}"/{llm,frozen,encoder-decoder}"/best?" "${conf}"/decode{,_encoder_decoder}.yaml \
    "${data}"/{dev,test}/text -- "${systems}" "${decode_opts}"; then
    for system in ${systems}; do
        ${decode_cmd} --gpu "${ngpu}" "${exp}/log/decode_${system}.log" local/decode.sh --system "${system}" --tokenize "${tokenize}" --conf "${conf}" --exp "${exp}" \
            --data "${data}" --ctc "${ctc}" --llm "${base_llm}" --ngpu "${ngpu}" --nproc "${decode_nj}" --opts "${decode_opts}"
    done
    finish_stage "${exp}"/decode/*/{dev,test}/text
fi

if run_stage 7 "score" "${exp}"/decode/*/{dev,test}/text "${exp}"/transcripts{,_llm}/{dev,test}"/text?" "${data}"/{dev,test}/{text,utt2lang,utt2spk} \
    "${conf}/published.tsv?" -- "${langs}" "${systems}"; then
    list_commands >"${exp}/commands"
    local/score.sh --systems "${systems}" --conf "${conf}" --exp "${exp}" --data "${data}" --langs "${langs}" --target "${target}" --tokenize "${tokenize}"
    finish_stage "${exp}/results.json"
fi

if [ -n "${integration}" ] && run_stage 8 "analyse" "${exp}/llm/best" "${conf}"/{decode,fbank}.yaml "${data}/test/text" -- "${decode_opts}"; then
    ${decode_cmd} --gpu "$((ngpu > 0))" "${exp}/log/analyse.log" launch.sh --ngpu "$((ngpu > 0))" speechllm.bin.analyse --metric bleu \
        --tokenize "${tokenize}" --config "${conf}/decode.yaml" --fbank_config "${conf}/fbank.yaml" --model "${exp}/llm" --out "${exp}/analysis" ${decode_opts} "${data}/test"
    finish_stage "${exp}"/analysis/{alignment,lengths,listening}.json
fi

if [ -n "${integration}" ] && run_stage 9 "pack" "${exp}/llm/best" "${exp}/results.json"; then
    python -m speechllm.bin.pack --model "${exp}/llm" --out "${exp}/pack.tar.gz" "${exp}"/{RESULTS.md,results.json} ${own_llm:+"${own_llm}"}
    finish_stage "${exp}/pack.tar.gz"
fi
[ ! -f "${exp}/RESULTS.md" ] || cat "${exp}/RESULTS.md"
