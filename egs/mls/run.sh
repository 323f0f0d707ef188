#!/usr/bin/env bash
# Multilingual LibriSpeech: teach an LLM to transcribe eight languages (arXiv:2307.11795).
#
# usage: ./run.sh [options]
#   --preset NAME               mini: made-up speech on a CPU in minutes; paper: its sizes on GPUs; or a folder of conf (mini)
#   --corpora DIR               folder that holds mls_<language> or mls_<language>_opus (see db.sh; mini makes one)
#   --langs "en de ..."         languages to train on and to test (all eight)
#   --subset full|10h|1h|10min  limited supervision: the training set of every language (full)
#   --llm NAME                  Hugging Face name or folder of the LLM (mini trains a small one)
#   --init_encoder PATH         start the encoder from that of another run, e.g. exp/mini/ctc, or from ESPnet's .pth
#   --tag NAME                  everything a run makes lies under data/NAME and exp/NAME (the preset)
#   --stage N, --stop_stage N   first and last stage (0, 9); finished and unchanged stages are skipped
#   --force true                run finished stages in this range again, as after audio files were replaced
#   --data DIR, --ctc DIR       prepared data and pretrained encoder of another run (data/NAME, exp/NAME/ctc)
#   --ngpu N, --nproc N         GPUs for training (0 in mini, 8 in paper), or processes on the CPU (1)
#   --nj N, --decode_nj N       parallel jobs for features (2), processes that decode where there is no GPU (1)
#   --lm PATH|train             search CTC with n-gram LMs too: of PATH/mls_lm_<language>, an ARPA file, or of the training text
#   --corpus_opts "...", --mini_llm_opts "...", --ctc_opts "...", --llm_opts "...", --decode_opts "...", --analysis_opts "..."
#                               of the made-up corpus, overrides of llm, train_ctc, train_llm and decode.yaml, of stage 8
#
# stages: 0 get the corpus, 1 prepare data, 2 extract fbank, 3 train tokenizer (mini: and the small LLM),
#   4 pretrain the CTC encoder, 5 train the LLM integration, 6 decode, 7 score, 8 analyse, 9 pack

# shellcheck disable=SC2086  # options for a command are words to be split
set -euo pipefail
cd "$(dirname "$0")"
. ../../utils/path.sh
. ./cmd.sh
. ./db.sh

preset=mini corpora="" langs="en de nl fr es it pt pl" subset=full llm="" init_encoder="" tag="" data="" ctc="" lm="" stage=0
stop_stage=9 force=false ngpu="" nproc=1 nj=2 decode_nj=1 corpus_opts="" mini_llm_opts="" ctc_opts="" llm_opts="" decode_opts="" analysis_opts=""
. parse_options.sh
[ -f "conf/${preset}/defaults.sh" ] || die "--preset should be a folder in conf/ (mini, paper), got '${preset}'"
. "conf/${preset}/defaults.sh"
[ -z "${data}" ] || [ "${stage}" -ge 3 ] || stage=3 # the data of another run are as they are
exp=exp/${tag:=${preset}} data=${data:-data/${tag}} ctc=${ctc:-${exp}/ctc} corpora=${corpora:-${MLS}} lm_path=$([ "${lm}" = train ] || echo "${lm}")
. stage.sh

made=$([ -n "${corpora}" ] || [ "${preset}" != mini ] || echo "${data}/corpus") corpora=${corpora:-${made}}
if run_stage 0 "get the corpus" -- "${corpora}" "${langs}" "${corpus_opts}" "${preset}"; then
    [ -z "${made}" ] || ${train_cmd} --num_threads "${nj}" "${exp}/log/corpus.log" python -m speechllm.bin.make_mini_corpus \
        --layout mls --langs "${langs}" --nj "${nj}" ${corpus_opts} --out "${made}"
    finish_stage ${made:+"${made}"}
fi

if run_stage 1 "prepare data" "${corpora}?" -- "${corpora}" "${langs}" "${subset}" "${corpus_opts}"; then
    for set in train dev test; do
        python local/prepare_data.py --corpora "${corpora}" --langs "${langs}" --set "${set}" --subset "${subset}" "${data}/${set}"
        python -m speechllm.bin.validate_data_dir "${data}/${set}"
    done
    finish_stage "${data}"/{train,dev,test}/text
fi

if run_stage 2 "extract fbank" "${data}"/{train,dev,test}/{wav.scp,text,utt2lang?,utt2prompt?} "conf/${preset}/fbank.yaml"; then
    for set in train dev test; do
        ${train_cmd} JOB=1:"${nj}" "${exp}/log/fbank_${set}.JOB.log" python -m speechllm.bin.extract_fbank \
            --config "conf/${preset}/fbank.yaml" --data_dir "${data}/${set}" --num_parts "${nj}" --part JOB
        python -m speechllm.bin.merge_feats --data_dir "${data}/${set}" --num_parts "${nj}"
        python -m speechllm.bin.compile_manifest "${data}/${set}"
    done
    ${train_cmd} --num_threads "${nj}" "${exp}/log/cmvn.log" python -m speechllm.bin.compute_cmvn --nj "${nj}" "${data}/train"
    finish_stage "${data}"/{train,dev,test}/manifest.arrow "${data}/train/cmvn.ark"
fi

base_llm=${llm:-${exp}/base_llm} own_llm=$([ -n "${llm}" ] || echo "${exp}/base_llm") # made here, where none is named
if run_stage 3 "train tokenizer" "${data}/train/text" "conf/${preset}"/{tokenizer.yaml,llm.yaml?} \
    -- "${llm}" "${langs}" "${mini_llm_opts}"; then
    [ -z "${llm}" ] || python -m speechllm.bin.check_llm --config "conf/${preset}/train_llm.yaml" ${llm_opts} "${llm}"
    python -m speechllm.bin.train_tokenizer --config "conf/${preset}/tokenizer.yaml" --text "${data}/train/text" --out "${exp}/units.model"
    [ -n "${llm}" ] || ${train_cmd} "${exp}/log/base_llm.log" python -m speechllm.bin.make_mini_llm --config "conf/${preset}/llm.yaml" \
        --langs "${langs}" --text "${data}/train/text" --out "${base_llm}" ${mini_llm_opts}
    finish_stage "${exp}/units.model" ${own_llm:+"${own_llm}/config.json"}
fi

if [ "${ctc}" = "${exp}/ctc" ] &&
    run_stage 4 "pretrain the CTC encoder" "${data}"/{train,dev}/{text,feats.scp} "${data}/train/cmvn.ark" "${exp}/units.model" \
    "conf/${preset}"/{fbank,train_ctc}.yaml ${init_encoder:+"${init_encoder}"} -- "${ctc_opts}"; then
    discard_stale "${ctc}"
    ${cuda_cmd} --gpu "${ngpu}" "${exp}/log/train_ctc.log" launch.sh --ngpu "${ngpu}" --nproc "${nproc}" speechllm.bin.train_ctc \
        --config "conf/${preset}/train_ctc.yaml" --train_dir "${data}/train" --valid_dir "${data}/dev" \
        --decode_config "conf/${preset}/decode.yaml" --units "${exp}/units.model" --init_encoder "${init_encoder}" --exp_dir "${ctc}" ${ctc_opts}
    finish_stage "${ctc}/best"
fi

if run_stage 5 "train the LLM integration" "${ctc}/best" "${data}"/{train,dev}/{text,feats.scp,utt2prompt?} \
    "conf/${preset}/train_llm.yaml" "${base_llm}?" -- "${base_llm}" "${llm_opts}"; then
    discard_stale "${exp}/llm"
    ${cuda_cmd} --gpu "${ngpu}" "${exp}/log/train_llm.log" launch.sh --ngpu "${ngpu}" --nproc "${nproc}" speechllm.bin.train_llm \
        --config "conf/${preset}/train_llm.yaml" --train_dir "${data}/train" --valid_dir "${data}/dev" \
        --decode_config "conf/${preset}/decode.yaml" --llm_name "${base_llm}" --encoder "${ctc}" --exp_dir "${exp}/llm" ${llm_opts}
    finish_stage "${exp}/llm/best"
fi

if run_stage 6 "decode" "${ctc}/best" "${exp}/llm/best?" "conf/${preset}/decode.yaml" "${data}"/{dev,test}/text \
    ${lm:+"${data}/train/text?"} ${lm_path:+"${lm_path}"} -- "${decode_opts}" ${lm:+"${lm}"}; then
    discard_stale "${exp}/decode" # with systems that this run does not decode
    for system in ctc llm; do
        model=$([ "${system}" = llm ] && echo "${exp}/llm" || echo "${ctc}")
        [ ! -e "${model}/best" ] || ${decode_cmd} --gpu "${ngpu}" "${exp}/log/decode_${system}.log" launch.sh --ngpu "${ngpu}" --nproc "${decode_nj}" \
            speechllm.bin.decode --config "conf/${preset}/decode.yaml" --model "${model}" --out "${exp}/decode/${system}" ${decode_opts} "${data}"/{dev,test}
    done
    [ -z "${lm}" ] || ${decode_cmd} --gpu "$((ngpu > 0))" "${exp}/log/decode_ngram.log" launch.sh --ngpu "$((ngpu > 0))" speechllm.bin.decode_ngram --config "conf/${preset}/decode.yaml" \
        ${decode_opts} --model "${ctc}" --lm "${lm}" --train_dir "${data}/train" --dev_dir "${data}/dev" --out "${exp}/decode/ctc+lm" "${data}"/{dev,test}
    finish_stage "${exp}"/decode/*/{dev,test}/text
fi

if run_stage 7 "score" "${exp}"/decode/*/{dev,test}/{text,utt2status} "${data}"/{dev,test}/{text,utt2lang?,utt2spk} -- "${langs}"; then
    discard_stale "${exp}/results.json" # with rows of systems that are gone
    list_commands >"${exp}/commands"
    for set in dev test; do
        hyps=$(for hyp in "${exp}"/decode/*; do echo "${hyp##*/}=${hyp}/${set}"; done)
        python -m speechllm.bin.score --ref "${data}/${set}" --hyp ${hyps} \
            --set "${set}" --out "${exp}" --langs "${langs}" --commands "${exp}/commands"
    done
    finish_stage "${exp}/results.json"
fi

if run_stage 8 "analyse" "${exp}/llm/best" "conf/${preset}/decode.yaml" "${data}/test/text" -- "${decode_opts}" ${analysis_opts:+"${analysis_opts}"}; then
    ${decode_cmd} --gpu "$((ngpu > 0))" "${exp}/log/analyse.log" launch.sh --ngpu "$((ngpu > 0))" speechllm.bin.analyse \
        --config "conf/${preset}/decode.yaml" --fbank_config "conf/${preset}/fbank.yaml" --model "${exp}/llm" --ctc "${ctc}" \
        --out "${exp}/analysis" ${decode_opts} ${analysis_opts} "${data}/test"
    finish_stage "${exp}/analysis/alignment.json"
fi

if run_stage 9 "pack" "${exp}/llm/best" "${exp}/results.json"; then
    python -m speechllm.bin.pack --model "${exp}/llm" --out "${exp}/pack.tar.gz" "${exp}/RESULTS.md" "${exp}/results.json" ${own_llm:+"${own_llm}"}
    finish_stage "${exp}/pack.tar.gz"
fi
[ ! -f "${exp}/RESULTS.md" ] || cat "${exp}/RESULTS.md"
