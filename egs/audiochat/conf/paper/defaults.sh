# What the paper preset assumes where the command line is silent.
ngpu=${ngpu:-8}
respond_nj=${respond_nj:-$((ngpu > 1 ? ngpu : 1))}
if [ -z "${llm}" ]; then
    llm=meta-llama/Llama-2-7b-chat-hf
    [[ ${respond_opts} == *--licence* ]] || respond_opts+=" --licence llama2" # of what this LLM writes
fi
snrs=${snrs:-"20 15 10 5 0"}
