# What the paper preset assumes where the command line is silent.
ngpu=${ngpu:-8}
llm=${llm:-meta-llama/Llama-2-7b-chat-hf}
snrs=${snrs:-"20 15 10 5 0"}
