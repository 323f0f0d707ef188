# What the paper preset assumes where the command line is silent.
ngpu=${ngpu:-8}
llm=${llm:-huggyllama/llama-7b}
