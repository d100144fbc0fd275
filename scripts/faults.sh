#!/usr/bin/env bash
# Faults on purpose: hostile files for every reader, kills at random moments, system calls
# that fail, a full disk, limits. Each verdict is checked, and whatever was disturbed must go on
# to the same bytes; one table ends it, and the exit code is 1 when something is short.
# usage: scripts/faults.sh [--smoke] [SEED]
#        scripts/faults.sh --fuzz MINUTES [PATTERN]
# --smoke takes a minute on two processors, else it takes most of an hour. What a machine
# cannot do (notifications of system calls, mounting) is skipped by name. --fuzz runs every Fuzz
# function of the module so long, or those whose package and name fit the pattern, two at a time.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$root/scripts/faults/fuzz.sh"
. "$root/scripts/faults/runs.sh"
if [ "${1:-}" = --fuzz ]; then
	[[ "${2:-}" =~ ^[0-9.]+$ ]] || usage
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	fuzz "$2" "${3:-}"
	exit
fi
smoke= kills=300 injections=8 spoiled=60 injected=("${kinds[@]}") # injections: of each kind of run and of call
[ "${1:-}" != --smoke ] || { smoke=yes kills=4 injections=1 spoiled=1 injected=(export); shift; }
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
"$yolofreeze" convert small.safetensors -o art --imgsz 64 >/dev/null

# measured COMMAND…: its exit code, seconds of processor time, which a busy machine does not
# lengthen, and peak memory in MB; what takes a minute by the clock is ended
measured() {
	python3 - "$@" <<-'PYTHON' 2>/dev/null
	import resource, subprocess, sys
	try:
	    code = subprocess.run(sys.argv[1:], stdout=open("out", "w"), stderr=open("err", "w"), timeout=60).returncode
	except subprocess.TimeoutExpired:
	    code = "after-a-minute"
	used = resource.getrusage(resource.RUSAGE_CHILDREN)
	print(code, "%.2f" % (used.ru_utime + used.ru_stime), used.ru_maxrss // 1024)
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
kills "$kills"

say "system calls that fail"
code=125
! command -v gcc >/dev/null || ! gcc -O1 -o inject "$root/scripts/faults/inject/inject.c" 2>/dev/null || { code=0; ./inject write 0 0 count true || code=$?; }
if [ $code = 0 ]; then
	injections "$injections" "${injected[@]}"
else
	row "failing system calls" 0 0 "skipped: no gcc, or a kernel without seccomp's notifications"
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
tried=0 bad=0
limited() { (ulimit "$1" "$2" && shift 2 && exec "$@"); }
for limit in "-f 8" "-v 3000000" "-n 20"; do # KB of files and of memory; open files
	tried=$((tried + 1))
	rm -f limited.onnx
	codes="0 1 4"
	[ "$limit" != "-f 8" ] || codes="1 4"
	verdict "$codes" limited $limit "$yolofreeze" export small.safetensors -o limited.onnx --imgsz 64 || bad=$((bad + 1))
	[ ! -e limited.onnx ] || "$yolofreeze" inspect limited.onnx >/dev/null 2>&1 || { bad=$((bad + 1)); say "short: half a file under ulimit $limit"; }
done
row "limits" $tried $bad "of file size, memory and open files (ulimit)"

if [ -z "$smoke" ]; then
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
