# shellcheck shell=bash disable=SC2034,SC2154
# Set train_cmd, cuda_cmd and decode_cmd for the backend of a recipe; sourced by its cmd.sh.
#
#   cmd_backend=slurm slurm_opts="--partition gpu"
#   . job_commands.sh

case ${cmd_backend} in
    local)
        train_cmd=job.py
        cuda_cmd=job.py
        decode_cmd=job.py
        ;;
    slurm)
        train_cmd="slurm.py --mem 8G ${slurm_opts}"
        cuda_cmd="slurm.py --mem 64G --num_threads 8 ${slurm_opts}"
        decode_cmd="slurm.py --mem 32G --num_threads 4 ${slurm_opts}"
        ;;
    *)
        echo "cmd.sh: cmd_backend should be local or slurm, got '${cmd_backend}'" >&2
        exit 1
        ;;
esac
