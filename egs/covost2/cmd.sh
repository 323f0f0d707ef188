# shellcheck shell=bash disable=SC2034
# Where the jobs of this recipe run; sourced by run.sh.
#
# The commands take Kaldi's calling convention, "${train_cmd} [options] [JOB=1:N] <log> <command> ...", so
# a site's own queue.pl or slurm.pl can stand here. Options such as --mem 16G are for clusters.

cmd_backend=${cmd_backend:-local} # local | slurm

case ${cmd_backend} in
    local)
        train_cmd=job.py
        cuda_cmd=job.py
        decode_cmd=job.py
        ;;
    slurm) # add --partition NAME and --account NAME where the cluster wants them
        train_cmd="slurm.py --mem 8G"
        cuda_cmd="slurm.py --mem 64G --num_threads 8"
        decode_cmd="slurm.py --mem 32G --num_threads 4"
        ;;
    *)
        echo "cmd.sh: cmd_backend should be local or slurm, got '${cmd_backend}'" >&2
        exit 1
        ;;
esac
