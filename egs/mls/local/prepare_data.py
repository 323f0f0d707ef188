"""Write a data directory from Multilingual LibriSpeech (openslr.org/94).

python local/prepare_data.py --corpora /data/mls --langs "en de" --set train data/train

Reads the folders mls_<language> (flac) or mls_<language>_opus as they come out of the archives. Of
the training set 5 % of the transcripts may lack their audio, of dev and test none.
"""

from speechllm.bin import cli
from speechllm.data.data_dir import write_data_dir
from speechllm.data.mls import LANGUAGES, SUBSETS, iter_mls


def get_parser():
    corpora, langs = "folder that holds mls_<language>[_opus]", " ".join(LANGUAGES)
    return cli.preparation_parser(__doc__, corpora, langs, ("full", *SUBSETS))


def main(argv=None):
    args = get_parser().parse_args(argv)
    langs = sorted(set(args.langs.split()))
    utterances = iter_mls(args.corpora, langs, args.set, args.subset)
    count = write_data_dir(args.data_dir, utterances)
    print(f"{args.data_dir}: {count} utterances in {' '.join(langs)}")


if __name__ == "__main__":
    cli.run(main)
