#!/bin/bash
# A TPU slice (v5e or v6e), a process a host. From where gcloud is set up:
#   launch/tpu_slice.sh NAME ZONE HOSTS CONFIG WORKDIR SHARDS [FIELD ...]
# HOSTS is the number of the slice's VMs, which have 4 chips each: 4 for v5litepod-16 and v6e-16. The project is
# installed on all in ~/reactface_jax/.venv with its extras "tpu" and "data"; WORKDIR and SHARDS are mounted on all (NFS, gcsfuse). A
# checkpoint is finished by renaming its folder, which gcsfuse does in a bucket with hierarchical namespace, and in a flat
# one only with --rename-dir-limit 200000.
set -euo pipefail

if [ $# -lt 6 ]; then
    echo "usage: $0 NAME ZONE HOSTS CONFIG WORKDIR SHARDS [FIELD ...]" >&2
    exit 2
fi
name=$1 zone=$2 hosts=$3 config=$4 workdir=$5 shards=$6
shift 6

# jax asks the slice's metadata for the first host and for each one's number; the count says that there are others.
words=(--config "$config" --workdir "$workdir" --data.dir "$shards" --resume --hosts.count "$hosts" "$@")
cache=JAX_COMPILATION_CACHE_DIR=$(printf '%q' "$workdir/compiled")
train="mkdir -p $(printf '%q' "$workdir") && cd ~/reactface_jax &&"
train="$train $cache .venv/bin/python train.py$(printf ' %q' "${words[@]}")"
# A host that is lost or told to end ends the job everywhere, and gcloud fails as often as any network: the same command goes
# on from the newest checkpoint. 2 is a mistake in the command, which no repetition mends.
for try in $(seq "${TRIES:-20}"); do
    code=0
    gcloud compute tpus tpu-vm ssh "$name" --zone "$zone" --worker=all --command "$train" || code=$?
    if [ "$code" -eq 0 ] || [ "$code" -eq 2 ]; then
        exit "$code"
    fi
    echo "try $try ended with code $code; again in ${PAUSE:-30} seconds" >&2
    sleep "${PAUSE:-30}"
done
exit "$code"
