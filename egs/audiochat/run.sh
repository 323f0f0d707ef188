#!/usr/bin/env bash
# Spoken chat from speech recognition data alone: an LLM answers speech as it answers text (arXiv:2311.06753).
#
# usage: ./run.sh [options]
#   --preset NAME               mini: made-up speech on a CPU in minutes; paper: its sizes on GPUs; or a folder of conf (mini)
#   --corpora DIR               folder that holds mls_english or mls_english_opus (see db.sh; mini makes one)
#   --subset full|10h|1h|10min  limited supervision: the training set (full)
#   --llm NAME                  Hugging Face name or folder of the chat LLM (mini trains a small one)
#   --init_encoder PATH         start the encoder from that of another run, e.g. exp/mini/ctc, or from ESPnet's .pth
#   --tag NAME                  everything a run makes lies under data/NAME and exp/NAME (the preset)
#   --stage N, --stop_stage N   first and last stage (0, 10); finished and unchanged stages are skipped
#   --force true                run finished stages in this range again, as after audio files were replaced
#   --data DIR, --ctc DIR, --responses DIR  of another run: prepared data, pretrained encoder, the LLM's answers
#   --ngpu N, --nproc N         GPUs for training (0 in mini, 8 in paper), or processes on the CPU (1)
#   --nj N, --respond_nj N      parallel jobs for features (2), and for the LLM's answers (1, in paper one for each GPU)
#   --snrs "20 10 ..."          signal-to-noise ratios in dB at which cascade and audio are compared
#   --corpus_opts, --mini_llm_opts "..."  of the made-up corpus, overrides of conf/mini/llm.yaml
#   --ctc_opts, --respond_opts, --llm_opts, --chat_opts "..."  overrides of train_ctc, respond, train_llm and chat.yaml
#
# stages: 0 get the corpus, 1 prepare data, 2 extract fbank, 3 train tokenizer (mini: and the small chat LLM),
#   4 pretrain the CTC encoder, 5 let the LLM respond, 6 train the LLM integration, 7 decode, 8 score, 9 analyse, 10 pack

# shellcheck disable=SC2086  # options for a command are words to be split
set -euo pipefail
cd "$(dirname "$0")"
. ../../utils/path.sh
. ./cmd.sh
. ./db.sh

preset=mini corpora="" subset=full llm="" init_encoder="" tag="" data="" ctc="" responses="" snrs="" stage=0
stop_stage=10 force=false ngpu="" nproc=1 nj=2 respond_nj="" corpus_opts="" mini_llm_opts="" ctc_opts="" respond_opts="" llm_opts="" chat_opts="" corpus_size=""
. parse_options.sh
[ -f "conf/${preset}/defaults.sh" ] || die "--preset should be a folder in conf/ (mini, paper), got '${preset}'"
. "conf/${preset}/defaults.sh"
[ -z "${data}" ] || [ "${stage}" -ge 3 ] || stage=3 # the data of another run are as they are
exp=exp/${tag:=${preset}} data=${data:-data/${tag}} ctc=${ctc:-${exp}/ctc} corpora=${corpora:-${MLS}}
responses=${responses:-${exp}/respond} conf=conf/${preset} one_gpu=$((ngpu > 0))
train="launch.sh --ngpu ${ngpu} --nproc ${nproc}" decode="launch.sh --ngpu ${one_gpu}"
. stage.sh

made=$([ -n "${corpora}" ] || [ "${preset}" != mini ] || echo "${data}/corpus") corpora=${corpora:-${made}}
if run_stage 0 "get the corpus" -- "${corpora}" "${corpus_size}" "${corpus_opts}" "${preset}"; then
    [ -z "${made}" ] || ${train_cmd} --num_threads "${nj}" "${exp}/log/corpus.log" python -m speechllm.bin.make_mini_corpus \
        --layout mls --langs en --speech questions --nj "${nj}" ${corpus_size} ${corpus_opts} --out "${made}"
    finish_stage ${made:+"${made}"}
fi

if run_stage 1 "prepare data" "${corpora}?" -- "${corpora}" "${subset}" "${corpus_opts}"; then
    for set in train dev test; do
        python local/prepare_data.py --corpora "${corpora}" --set "${set}" --subset "${subset}" "${data}/${set}"
        python -m speechllm.bin.validate_data_dir "${data}/${set}"
    done
    finish_stage "${data}"/{train,dev,test}/text "${data}"/{dev,test}/dialogues.jsonl
fi

if run_stage 2 "extract fbank" "${data}"/{train,dev,test}/{wav.scp,text} "${conf}/fbank.yaml"; then
    for set in train dev test; do
        ${train_cmd} JOB=1:"${nj}" "${exp}/log/fbank_${set}.JOB.log" python -m speechllm.bin.extract_fbank \
            --config "${conf}/fbank.yaml" --data_dir "${data}/${set}" --num_parts "${nj}" --part JOB
        python -m speechllm.bin.merge_feats --data_dir "${data}/${set}" --num_parts "${nj}"
        python -m speechllm.bin.compile_manifest "${data}/${set}"
    done
    ${train_cmd} --num_threads "${nj}" "${exp}/log/cmvn.log" python -m speechllm.bin.compute_cmvn --nj "${nj}" "${data}/train"
    finish_stage "${data}"/{train,dev,test}/manifest.arrow "${data}/train/cmvn.ark"
fi

base_llm=${llm:-${exp}/chat_llm} own_llm=$([ -n "${llm}" ] || echo "${exp}/chat_llm") # made here, where none is named
if run_stage 3 "train tokenizer" "${data}/train/text" "${conf}"/{tokenizer.yaml,llm.yaml?} -- "${llm}" "${mini_llm_opts}"; then
    [ -z "${llm}" ] || python -m speechllm.bin.check_llm --config "${conf}/train_llm.yaml" ${llm_opts} "${llm}"
    python -m speechllm.bin.train_tokenizer --config "${conf}/tokenizer.yaml" --text "${data}/train/text" --out "${exp}/units.model"
    [ -n "${llm}" ] || ${train_cmd} "${exp}/log/chat_llm.log" python -m speechllm.bin.make_mini_llm \
        --config "${conf}/llm.yaml" --text "${data}/train/text" --out "${base_llm}" ${mini_llm_opts}
    finish_stage "${exp}/units.model" ${own_llm:+"${own_llm}/config.json"}
fi

if [ "${ctc}" = "${exp}/ctc" ] &&
    run_stage 4 "pretrain the CTC encoder" "${data}"/{train,dev}/{text,feats.scp} "${data}/train/cmvn.ark" "${exp}/units.model" \
    "${conf}"/{fbank,train_ctc}.yaml ${init_encoder:+"${init_encoder}"} -- "${ctc_opts}"; then
    discard_stale "${ctc}"
    ${cuda_cmd} --gpu "${ngpu}" "${exp}/log/train_ctc.log" ${train} speechllm.bin.train_ctc --config "${conf}/train_ctc.yaml" \
        --train_dir "${data}/train" --valid_dir "${data}/dev" --decode_config "${conf}/decode.yaml" --units "${exp}/units.model" --init_encoder "${init_encoder}" --exp_dir "${ctc}" ${ctc_opts}
    finish_stage "${ctc}/best"
fi

if [ "${responses}" = "${exp}/respond" ] &&
    run_stage 5 "let the LLM respond" "${data}"/{train,dev}/{text,feats.scp} "${conf}/respond.yaml" "${base_llm}?" -- "${base_llm}" "${respond_opts}"; then
    discard_stale "${responses}"/{train,dev}
    for set in train dev; do
        ${decode_cmd} --gpu "${one_gpu}" JOB=1:"${respond_nj}" "${exp}/log/respond_${set}.JOB.log" ${decode} \
            speechllm.bin.respond --config "${conf}/respond.yaml" --llm_name "${base_llm}" --data_dir "${data}/${set}" \
            --out "${responses}/${set}" --num_parts "${respond_nj}" --part JOB ${respond_opts}
        python -m speechllm.bin.merge_responses --data_dir "${data}/${set}" --num_parts "${respond_nj}" "${responses}/${set}"
        python -m speechllm.bin.compile_manifest "${responses}/${set}"
    done
    finish_stage "${responses}"/{train,dev}/manifest.arrow
fi

if run_stage 6 "train the LLM integration" "${ctc}/best" "${responses}"/{train,dev}/{text,feats.scp,utt2prompt?} \
    "${conf}/train_llm.yaml" "${base_llm}?" -- "${base_llm}" "${llm_opts}"; then
    discard_stale "${exp}/llm"
    ${cuda_cmd} --gpu "${ngpu}" "${exp}/log/train_llm.log" ${train} speechllm.bin.train_llm --config "${conf}/train_llm.yaml" \
        --train_dir "${responses}/train" --valid_dir "${responses}/dev" --decode_config "${conf}/decode.yaml" --llm_name "${base_llm}" --encoder "${ctc}" --exp_dir "${exp}/llm" ${llm_opts}
    finish_stage "${exp}/llm/best"
fi

score="python -m speechllm.bin.score_chat --decode ${exp}/decode --out ${exp} --commands ${exp}/commands"
converse="speechllm.bin.converse --config ${conf}/chat.yaml --fbank_config ${conf}/fbank.yaml --model ${exp}/llm --ctc ${ctc} --out ${exp}/decode ${chat_opts}"
if run_stage 7 "decode" "${ctc}/best" "${exp}/llm/best" "${conf}"/{chat,fbank}.yaml "${data}"/{dev,test}/dialogues.jsonl -- "${chat_opts}"; then
    ${decode_cmd} --gpu "${one_gpu}" "${exp}/log/decode.log" ${decode} ${converse} --own_ctc {dev="${data}/dev",test="${data}/test"}/dialogues.jsonl
    finish_stage "${exp}"/decode/*/{dev,test}/text
fi

if run_stage 8 "score" "${exp}"/decode/{{text,cascade,audio}/{dev,test}/{text,utt2status},cascade-llm/{dev,test}/text?} "${data}"/{dev,test}/dialogues.jsonl; then
    list_commands >"${exp}/commands"
    for set in dev test; do
        ${score} --set "${set}" "${data}/${set}/dialogues.jsonl"
    done
    finish_stage "${exp}/results.json"
fi

if run_stage 9 "analyse" "${ctc}/best" "${exp}/llm/best" "${conf}"/{chat,fbank}.yaml "${data}/test" -- "${snrs}" "${chat_opts}"; then
    . local/analyse.sh
    finish_stage "${exp}/analysis/frozen.json"
fi

if run_stage 10 "pack" "${exp}/llm/best" "${exp}/results.json"; then
    python -m speechllm.bin.pack --model "${exp}/llm" --out "${exp}/pack.tar.gz" "${exp}/RESULTS.md" "${exp}/results.json" ${own_llm:+"${own_llm}"}
    finish_stage "${exp}/pack.tar.gz"
fi
[ ! -f "${exp}/RESULTS.md" ] || cat "${exp}/RESULTS.md"
