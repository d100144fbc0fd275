# Fuzzing, sourced by scripts/faults.sh: every Fuzz function of the module, whose inputs are
# held to the limits of onnx/testkit/hostile. What is found lies, as a seed that fails from then
# on, in testdata/fuzz beside the test.

fuzz_jobs=2 # at a time, each with one worker

# readers PATTERN: the Fuzz functions whose "PACKAGE FUNCTION" fits
readers() {
	(cd "$root" && grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9]*' cmd onnx freeze dataset) |
		sed -E 's|/[^/]*:func | |' | grep -E -- "$1" | sort
}

# fuzz_one PACKAGE FUNCTION MINUTES: fuzzes it and prints its row; a file says where that is short
fuzz_one() {
	local id=$work/fuzz/${1//\//-} findings=0 executions seconds=- MB=-
	local log=$id.$2.log worst=$id.$2.worst
	# What Go finds interesting it would shorten for up to a minute, in which it tries nothing
	# new: that is left out.
	(cd "$root/$1" && ulimit -v 8000000 &&
		YOLOFREEZE_FUZZ_WORST=$worst exec nice -n 19 "$id.test" -test.run '^$' -test.fuzz "^$2\$" -test.parallel 1 \
			-test.fuzztime "$(awk "BEGIN { print 60 * $3 }")s" -test.fuzzminimizetime 0 -test.fuzzcachedir "$work/fuzz/cache") \
		>"$log" 2>&1 || findings=1
	if [ $findings = 1 ] && grep -q 'hung or terminated' "$log" && (cd "$root/$1" && "$id.test" -test.run "^$2\$" -test.timeout 60s) >>"$log" 2>&1; then
		# Go ends what takes ten seconds by the clock, however little of them it was given.
		say "$2: ended by the clock on a busy machine; what it was at is sound by itself"
		findings=0
	fi
	executions=$(grep -oE 'execs: [0-9]+' "$log" | tail -n 1 | cut -d' ' -f2)
	[ ! -s "$worst" ] || read -r seconds MB <"$worst"
	if [ $findings = 1 ] || [ "${executions:-0}" = 0 ]; then
		touch "$work/fuzz/short"
		tail -n 15 "$log" >&2
	fi
	printf '%-40s %10d %8d %8s %8s\n' "$1 $2" "${executions:-0}" $findings "$seconds" "$MB"
}

# fuzz MINUTES [PATTERN]: a row for each reader, as it ends
fuzz() {
	local list package function
	mkdir -p "$work/fuzz"
	list=$(readers "${2:-.}") || { say "no reader fits $2"; exit 2; }
	for package in $(cut -d' ' -f1 <<<"$list" | sort -u); do
		(cd "$root" && go test -c -fuzz . -o "$work/fuzz/${package//\//-}.test" "./$package")
	done
	printf '%-40s %10s %8s %8s %8s\n' reader executions findings seconds MB
	while read -r package function; do
		while [ "$(jobs -rp | wc -l)" -ge $fuzz_jobs ]; do wait -n || true; done
		fuzz_one "$package" "$function" "$1" &
	done <<<"$list"
	wait
	[ ! -e "$work/fuzz/short" ]
}
