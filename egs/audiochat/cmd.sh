# shellcheck shell=bash disable=SC2034
# Where the jobs of this recipe run; sourced by run.sh.
#
# The commands take Kaldi's calling convention, "${train_cmd} [options] [JOB=1:N] <log> <command> ...", so
# a site's own queue.pl or slurm.pl can be set as train_cmd, cuda_cmd or decode_cmd below. Options such as --mem 16G are
# for clusters.

cmd_backend=${cmd_backend:-local} # local | slurm
slurm_opts=${slurm_opts:-}        # of every job, e.g. "--partition NAME --account NAME"; those given last win
. job_commands.sh                 # sets the commands
