#!/usr/bin/env bash
# The study of one environment on a cluster: train, impute in shards, finish.
#   cd <folder of the project>; deploy/slurm/submit.sh hippocampus
# docs/how-to/deploy.md says what to adapt.
set -euo pipefail
export SLICEFILL_ENV=${1:?expected the name of an environment in conf/}
here=$(dirname "$0")
train=$(sbatch --parsable "$here/train.sbatch")
impute=$(sbatch --parsable --dependency="afterok:$train" "$here/impute.sbatch")
# After any end of the shards: what a lost one left is made by the last job.
finish=$(sbatch --parsable --dependency="afterany:$impute" "$here/finish.sbatch")
echo "train $train, impute $impute, finish $finish; squeue --me shows where they are"
