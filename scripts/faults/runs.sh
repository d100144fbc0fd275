# Disturbed runs, sourced by scripts/faults.sh: every kind of run is killed at random moments,
# or has a system call fail, then goes on as a user would have it, and must end in the bytes of a
# run that nothing disturbed.

kinds=(plain features export compare stages convert dataset unfrozen amp freeze keep teacher label)

# command_of KIND: sets run, which works in the folder disturbed
command_of() {
	local tiny=(--data ds/data.yaml --imgsz 64 --batch-size 4 --device cpu --workers 1 --noplots)
	local train=("$yolofreeze" train --weights small.safetensors --project disturbed --name exp --epochs 3 "${tiny[@]}")
	case $1 in
	plain) run=("${train[@]}" --freeze 1) ;;
	unfrozen) run=("${train[@]}" --freeze 0) ;;
	features) run=("${train[@]}" --freeze 2 --cache-features 2) ;;
	amp) run=("${train[@]}" --freeze 1 --amp fp16) ;;
	stages) run=("${train[@]}" --freeze 2 --unfreeze 1:1,2:all) ;;
	keep) run=("${train[@]}" --freeze 1 --keep-classes) ;;
	teacher) run=("${train[@]}" --freeze 1 --teacher small.safetensors) ;;
	label) run=("$yolofreeze" dataset label --relabel --weights small.safetensors ds/images/val -o disturbed/labelled --imgsz 64 --conf-thres .0001) ;;
	compare) run=("$yolofreeze" compare --weights small.safetensors --freeze 0 --freeze 1 --epochs 1 -o disturbed/cmp "${tiny[@]}") ;;
	export) run=("$yolofreeze" export small.safetensors -o disturbed/a.onnx --imgsz 64) ;;
	convert) run=("$yolofreeze" convert small.safetensors -o disturbed/art --imgsz 64) ;;
	freeze) run=("$yolofreeze" freeze disturbed/art --freeze 2) ;;
	dataset) run=("$yolofreeze" dataset convert ds/data.yaml -o disturbed/voc --to voc) ;;
	esac
}

# clear KIND: what it begins with
clear_for() {
	rm -rf disturbed "$XDG_CACHE_HOME/yolofreeze/features"
	mkdir disturbed
	[ "$1" != freeze ] || cp -r art disturbed/art
}

# go_on KIND: what a user does after a disturbance
go_on() {
	case $1 in
	export | freeze) "${run[@]}" ;;
	compare) # whose trainings are told to stop when it is gone, and may be at that yet
		local n
		for n in {1..100}; do
			! "${run[@]}" 2>err || return 0
			grep -q 'is training here' err || return 1
			sleep .2
		done
		return 1
		;;
	convert) [ -e disturbed/art ] || "${run[@]}" ;;
	dataset) [ -e disturbed/voc ] || "${run[@]}" ;;
	label) [ -e disturbed/labelled ] || "${run[@]}" ;;
	*)
		if [ -e disturbed/exp/weights/last.safetensors ]; then
			"$yolofreeze" train --resume-from disturbed/exp || grep -q 'has finished' err
		else
			rm -rf disturbed/exp
			"${run[@]}"
		fi
		;;
	esac >out 2>err
}

# sums: of all that does not tell times
sums() {
	(cd disturbed && find . -type f \( -path '*/art/*' -o -path '*/voc/*' -o -path '*/labelled/*' -o -name '*.onnx' -o -name '*.safetensors' -o -name results.csv -o -name per_class.csv -o -name freeze.yaml \) \
		! -name last-before.safetensors | LC_ALL=C sort | xargs sha256sum)
}

# undisturbed KIND: keeps the sums and the milliseconds of such a run
declare -A want lasts
undisturbed() {
	command_of "$1"
	[ -z "${want[$1]:-}" ] || return 0
	clear_for "$1"
	local begin=$(date +%s%N)
	"${run[@]}" >out 2>err || { tail -n 3 err >&2; say "a run of kind $1 does not work undisturbed"; exit 1; }
	lasts[$1]=$((($(date +%s%N) - begin) / 1000000 + 1)) want[$1]=$(sums)
}

# ends_well KIND WHAT: whether it goes on to the same bytes
ends_well() {
	go_on "$1" || { say "short: $1, $2: it does not go on"; tail -n 2 err >&2; return 1; }
	[ "$(sums)" = "${want[$1]}" ] || { say "short: $1, $2: it ends in other bytes"; diff <(echo "${want[$1]}") <(sums) | head -n 4 >&2; return 1; }
}

# kills NUMBER
kills() {
	local i pid kind moment code tried=0 bad=0 middle=0
	for ((i = 0; i < $1; i++)); do
		kind=${kinds[i % ${#kinds[@]}]}
		undisturbed "$kind"
		clear_for "$kind"
		moment=$(awk "BEGIN { print $((RANDOM % lasts[$kind])) / 1000 }")
		"${run[@]}" >out 2>err &
		pid=$! code=0
		sleep "$moment"
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || code=$?
		tried=$((tried + 1))
		[ $code != 137 ] || middle=$((middle + 1))
		ends_well "$kind" "killed after $moment s" || bad=$((bad + 1))
		[ $((tried % 50)) != 0 ] || say "$tried kills, $middle of them in the middle, $bad short"
	done
	row "kills, gone on with" $tried $bad "$middle in the middle of a run; the same bytes as undisturbed"
}

# injections MOST KIND…: of each kind of run and of call up to MOST, evenly over the run
injections() {
	local most=$1 kind call nth step error i=0 tried=0 bad=0 code
	local -A errors=([write]="28 5" [sync]="5" [rename]="13 5" [open]="24 13" [mkdir]="28 13") # ENOSPC 28, EIO 5, EACCES 13, EMFILE 24
	shift
	for kind; do
		undisturbed "$kind"
		for call in write sync rename open mkdir; do
			clear_for "$kind"
			./inject $call 0 0 count "${run[@]}" >out 2>err || { say "short: $kind under notifications: $(tail -n 1 err)"; bad=$((bad + 1)); continue; }
			step=$(($(cat count) / most + 1))
			for ((nth = 1 + RANDOM % step; nth <= $(cat count); nth += step)); do
				error=(${errors[$call]})
				error=${error[i++ % ${#error[@]}]}
				clear_for "$kind"
				tried=$((tried + 1)) code=0
				verdict "0 1 2 3 4" ./inject $call $nth $error counted "${run[@]}" || { bad=$((bad + 1)); continue; }
				ends_well "$kind" "$call $nth of $(cat count), error $error" || bad=$((bad + 1))
			done
		done
		say "$kind: $tried calls failed so far, $bad short"
	done
	row "failing system calls" $tried $bad "one write, sync, rename, open or mkdir of each run; gone on with to the same bytes"
}
