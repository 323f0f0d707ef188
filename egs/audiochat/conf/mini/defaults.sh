# What the mini preset assumes where the command line is silent.
# shellcheck disable=SC2034  # run.sh reads it
ngpu=${ngpu:-0} respond_nj=${respond_nj:-1}
corpus_size="--train_hours 5 --dev_utts 200 --test_utts 400 --speakers 100"
snrs=${snrs:-"30 20 10"} # below that CTC hears hardly a word in white noise
