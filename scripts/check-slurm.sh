#!/usr/bin/env bash
# Runs compare's array job on a real Slurm of one node, which it starts in a folder of its own, and holds its
# runs and its report against those of a serial run. Needs Debian's slurm-wlm and munge, root, and the
# shared folder; skips by name where something is absent.
# usage: scripts/check-slurm.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
shared=${YOLOFREEZE_SHARED:-../shared}
skip() { echo "check-slurm: skipped: $*" >&2; exit 0; }
for program in munged slurmctld slurmd sbatch; do
	PATH=$PATH:/usr/sbin command -v $program >/dev/null || skip "$program is absent (Debian: slurm-wlm, munge)"
done
[ "$(id -u)" = 0 ] || skip "its daemons want root"
[ -d "$shared/data/voc20-devkit" ] || skip "the shared folder is absent"

work=$(mktemp -d)
daemons=()
finish() {
	for file in "${daemons[@]}"; do
		[ ! -s "$file" ] || kill "$(cat "$file")" 2>/dev/null || true
	done
	sleep 1
	rm -rf "$work"
}
trap finish EXIT
mkdir -m 700 "$work/munge"
mkdir "$work/state" "$work/spool"
(umask 077 && head -c 1024 /dev/urandom >"$work/munge/key")
host=$(hostname)
cat >"$work/slurm.conf" <<-CONF
	ClusterName=check
	SlurmctldHost=$host
	SlurmUser=root
	AuthInfo=socket=$work/munge/socket
	StateSaveLocation=$work/state
	SlurmdSpoolDir=$work/spool
	SlurmctldPidFile=$work/slurmctld.pid
	SlurmdPidFile=$work/slurmd.pid
	SlurmctldLogFile=$work/slurmctld.log
	SlurmdLogFile=$work/slurmd.log
	SlurmctldPort=26817
	SlurmdPort=26818
	ProctrackType=proctrack/pgid
	TaskPlugin=task/none
	SelectType=select/cons_tres
	SelectTypeParameters=CR_Core
	NodeName=$host CPUs=$(nproc)
	PartitionName=all Nodes=$host Default=YES
CONF
export SLURM_CONF=$work/slurm.conf
daemons=("$work/munge/pid" "$work/slurmd.pid" "$work/slurmctld.pid")
munged --force --key-file="$work/munge/key" --socket="$work/munge/socket" --pid-file="$work/munge/pid" \
	--log-file="$work/munge/log" --seed-file="$work/munge/seed" 2>/dev/null
slurmctld -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF" -N "$host"

go build -o "$work/yolofreeze" ./cmd/yolofreeze
export PATH=$work:$PATH
shared=$(cd "$shared" && pwd)
cd "$work"
run=(yolofreeze compare --weights "$shared/models/yolov5n-v7.0.pt" --data "$shared/data/voc20-devkit/VOC2017" --freeze 0 --freeze 10
	--seeds 0 --seeds 1 --epochs 1 --imgsz 96 --batch-size 16 --workers 1 --noplots --device cpu --kernels stock --quiet)
"${run[@]}" --output array --emit slurm >array.sh
echo "check-slurm: four tasks"
sbatch --wait array.sh >sbatch.log || { cat sbatch.log slurm-*.out; exit 1; }
"${run[@]}" --output array >array.txt
echo "check-slurm: one after the other"
"${run[@]}" --output serial >serial.txt
for dir in serial/*/; do
	name=$(basename "$dir")
	for file in results.csv weights/best.safetensors weights/best.onnx; do
		cmp "serial/$name/$file" "array/$name/$file"
	done
done
# without times and memory, and the row that others are compared with, which is made of them
untimed() {
	sed -E 's#(array|serial)/##g; s/[0-9.]+( ± [0-9.]+)?( s| MiB|) \([0-9.]+× (faster|slower|less|more)\)/…/g; /[0-9] s \|/d; /(seconds|images\/s|MiB)/d' "$1"
}
diff <(untimed array/report.md) <(untimed serial/report.md)
echo "check-slurm: the array's runs and report are the serial run's"
