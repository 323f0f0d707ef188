# shellcheck shell=bash disable=SC2034
# What the mini preset assumes where the command line is silent.
ngpu=${ngpu:-0}
decode_nj=${decode_nj:-2}
langs=${langs:-de nl fr es it}
corpus_size="--train_hours 4 --dev_utts 30 --test_utts 60"
init_baseline=true # starts from the encoder that the LLM listens through
