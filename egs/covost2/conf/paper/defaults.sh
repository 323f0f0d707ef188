# shellcheck shell=bash disable=SC2034
# What the paper preset assumes where the command line is silent.
ngpu=${ngpu:-8}
decode_nj=${decode_nj:-1}
langs=${langs:-de zh-CN ar es fr it nl ja ru pt et sv-SE sl} # which the paper has is unverified, see README.md
llm=${llm:-huggyllama/llama-7b}
init_baseline=
