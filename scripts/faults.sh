#!/usr/bin/env bash
# Faults on purpose: hostile files for every reader, kills at random moments, system calls
# that fail, a full disk, limits. Each verdict is checked; one table ends it, and the exit
# code is 1 when something is short.
# usage: scripts/faults.sh [--smoke] [SEED]
# --smoke takes under three minutes on two processors, else it takes most of an hour. What a
# machine cannot do (strace, mounting) is skipped by name.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
kills=300 injections=200 spoiled=60
[ "${1:-}" != --smoke ] || { kills=3 injections=9 spoiled=2; shift; }
case "${1:-}" in -*) usage ;; esac
seed=${1:-1}
RANDOM=$seed
make_ready
work=$(mktemp -d)
trap 'umount "$work/full" 2>/dev/null || true; rm -rf "$work"' EXIT
(cd "$root" && go build -o "$work/faults" ./scripts/faults)
cd "$work"
export XDG_CACHE_HOME=$work/cache TMPDIR=$work
table=() short=0
row() { # KIND TRIED SHORT NOTE
	table+=("$(printf '%-34s %6d %6d  %s' "$@")")
	[ "$3" = 0 ] || short=1
}

# traced: whether the last command's messages have what no user should see
traced() { grep -qE '^goroutine |^panic|^fatal error|SIGSEGV|internal error' err; }

# verdict CODES COMMAND…: runs it; what is short is said, and the return code is 1.
verdict() {
	local codes=$1 code=0
	shift
	"$@" >out 2>err || code=$?
	local why=
	[[ " $codes " == *" $code "* ]] || why="exit code $code"
	! traced || why="a Go trace"
	[ "$code" = 0 ] || [ "$(grep -c 'yolofreeze: ' err)" -ge 1 ] || why="no message"
	[ -z "$why" ] || { say "short: $why: $*"; tail -n 3 err >&2; return 1; }
}

./faults .
"$yolofreeze" dataset synth -o ds --train 8 --val 4 --imgsz 64 >/dev/null
train() { "$yolofreeze" train --weights small.safetensors --data ds/data.yaml --imgsz 64 --batch-size 4 --epochs 3 --device cpu --workers 1 --noplots --freeze 1 "$@"; }
"$yolofreeze" export small.safetensors --imgsz 64 --format onnx,pt >/dev/null

# measured COMMAND…: its exit code, seconds and peak memory in MB
measured() {
	python3 - "$@" <<-'PYTHON' 2>/dev/null
	import resource, subprocess, sys, time
	start = time.time()
	code = subprocess.run(sys.argv[1:], stdout=open("out", "w"), stderr=open("err", "w")).returncode
	print(code, "%.2f" % (time.time() - start), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
	PYTHON
}

say "hostile files"
mkdir hostile
./faults hostile "$seed" "$spoiled" small.safetensors small.onnx small.pt "$(find ds/images -name '*.png' | head -n 1)" ds/data.yaml
tried=0 bad=0
if command -v python3 >/dev/null; then
	read -r _ base baseMB < <(measured "$yolofreeze" detect --weights small.safetensors "$(find ds/images -name '*.png' | head -n 1)" --imgsz 64 --nosave)
	for file in hostile/*; do
		case $file in
		*data.yaml | *.json | *.xml) command=(dataset check "$file") ;;
		*.yaml) command=(convert small.safetensors --hyp "$file" -o never) ;;
		*.png | *.jpg) command=(detect --weights small.safetensors "$file" --imgsz 64 --nosave) ;;
		*) command=(detect --weights "$file" "$(find ds/images -name '*.png' | head -n 1)" --imgsz 64 --nosave) ;;
		esac
		read -r code seconds MB < <(measured "$yolofreeze" "${command[@]}")
		tried=$((tried + 1)) why=
		case $code in 0 | 2 | 3) ;; *) why="exit code $code" ;; esac
		! traced || why="a Go trace"
		[ "$code" = 0 ] || [ "$(grep -c '^yolofreeze: ' err)" = 1 ] || why="not one line"
		awk "BEGIN { exit !($seconds > $base + 1) }" && why="$seconds seconds, a sound file takes $base"
		[ "$MB" -le $((baseMB + 300)) ] || why="$MB MB, a sound file takes $baseMB"
		[ ! -e MARKED ] || why="it ran code"
		[ -z "$why" ] || { bad=$((bad + 1)); say "short: $file (seed $seed): $why"; tail -n 2 err >&2; }
		rm -rf never
	done
	row "hostile and spoiled files" "$tried" "$bad" "a second and 300 MB over a sound file"
else
	row "hostile and spoiled files" 0 0 "skipped: no python3 to measure with"
fi

say "kills"
begin=$(date +%s%N)
train --project runs --name straight >/dev/null 2>&1
lasts=$((($(date +%s%N) - begin) / 1000000)) # milliseconds
sums() { (cd "$1" && sha256sum weights/last.safetensors weights/best.safetensors weights/best.onnx results.csv per_class.csv freeze.yaml); }
tried=0 bad=0 begun=0
for ((i = 0; i < kills; i++)); do
	rm -rf runs/killed
	train --project runs --name killed >/dev/null 2>&1 &
	pid=$!
	sleep "$(awk "BEGIN { print $((RANDOM % lasts)) / 1000 }")"
	pkill -KILL -P "$pid" 2>/dev/null || true
	kill -KILL "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
	tried=$((tried + 1))
	[ ! -e runs/killed ] || [ -e runs/killed/summary.json ] || begun=$((begun + 1))
	if [ -e runs/killed/weights/last.safetensors ]; then
		"$yolofreeze" train --resume-from runs/killed >/dev/null 2>err || grep -q 'has finished' err || { bad=$((bad + 1)); say "short: a killed run does not go on"; tail -n 2 err >&2; continue; }
	else
		rm -rf runs/killed
		train --project runs --name killed >/dev/null 2>&1
	fi
	# where the run lies is all that may differ in the state
	[ "$(sums runs/killed | grep -v last.safetensors)" = "$(sums runs/straight | grep -v last.safetensors)" ] || { bad=$((bad + 1)); say "short: a resumed run ends in other bytes"; }
done
row "kills of training, resumed" "$tried" "$bad" "$begun of them in the middle; the same bytes as a run that nothing killed"

say "system calls that fail"
tried=0 bad=0
if strace -f -o /dev/null true 2>/dev/null; then
	calls=(write fsync renameat openat) errors=(EIO ENOSPC EACCES EMFILE)
	for ((i = 0; i < injections; i++)); do
		call=${calls[RANDOM % 4]} error=${errors[RANDOM % 4]} nth=$((1 + RANDOM % 120))
		inject=(strace -f -qq -o /dev/null -e "trace=$call" -e "inject=$call:error=$error:when=$nth+")
		tried=$((tried + 1))
		rm -rf art new.onnx
		case $((i % 3)) in
		0) verdict "0 1 2 3 4" "${inject[@]}" "$yolofreeze" export small.safetensors -o new.onnx --imgsz 64 || bad=$((bad + 1))
			[ ! -e new.onnx ] || "$yolofreeze" inspect new.onnx >/dev/null 2>&1 || { bad=$((bad + 1)); say "short: $call $error $nth: half an export"; } ;;
		1) verdict "0 1 2 3 4" "${inject[@]}" "$yolofreeze" convert small.safetensors -o art --imgsz 64 || bad=$((bad + 1))
			[ ! -e art ] || "$yolofreeze" inspect art >/dev/null 2>&1 || { bad=$((bad + 1)); say "short: $call $error $nth: half a folder"; } ;;
		2) cp -r runs/straight runs/fault
			verdict "0 1 2 3 4" "${inject[@]}" "$yolofreeze" train --weights small.safetensors --data ds/data.yaml --imgsz 64 --batch-size 4 --epochs 2 --device cpu --workers 1 --noplots --project runs --name fault --exist-ok || bad=$((bad + 1))
			"$yolofreeze" inspect runs/fault/weights/last.safetensors >/dev/null 2>&1 || { bad=$((bad + 1)); say "short: $call $error $nth: the checkpoint is not whole"; }
			rm -rf runs/fault ;;
		esac
	done
	row "failing system calls (strace)" "$tried" "$bad" "EIO, ENOSPC, EACCES, EMFILE from the Nth call on"
else
	row "failing system calls" 0 0 "skipped: no strace that may trace here"
fi

say "full disk and limits"
mkdir full
if mount -t tmpfs -o size=12k tmpfs full 2>/dev/null; then
	bad=0
	verdict "1 4" "$yolofreeze" export small.safetensors -o full/a.onnx --imgsz 64 || bad=$((bad + 1))
	verdict "1 4" "$yolofreeze" convert small.safetensors -o full/art --imgsz 64 || bad=$((bad + 1))
	verdict "1 4" train --project full --name exp || bad=$((bad + 1))
	[ -z "$(find full -name '*.onnx' -o -name '.*tmp*')" ] || { bad=$((bad + 1)); say "short: a full disk keeps halves: $(find full)"; }
	umount full
	row "full disk" 3 "$bad" "a tmpfs of 12 KB"
else
	row "full disk" 0 0 "skipped: no tmpfs can be mounted here"
fi
bad=0
limited() { (ulimit "$1" "$2" && shift 2 && exec "$@"); }
verdict "1 4" limited -f 8 "$yolofreeze" export small.safetensors -o limited.onnx --imgsz 64 || bad=$((bad + 1))
[ ! -e limited.onnx ] || { bad=$((bad + 1)); say "short: half a file under a limit of size"; }
row "limit of file size" 1 "$bad" "ulimit -f"

if [ "$kills" -gt 3 ]; then
	say "advisories on what we depend on"
	code=0
	(cd "$root" && timeout 300 go run golang.org/x/vuln/cmd/govulncheck@v1.1.4 ./...) >out 2>err || code=$?
	case $code in
	0) row "advisories (govulncheck)" 1 0 "none that our code reaches" ;;
	3) cat out >&2; row "advisories (govulncheck)" 1 1 "see above" ;;
	*) row "advisories (govulncheck)" 0 0 "skipped: its database cannot be had here" ;;
	esac
fi

printf '%-34s %6s %6s  %s\n' kind tried short ""
printf '%s\n' "${table[@]}"
exit $short
