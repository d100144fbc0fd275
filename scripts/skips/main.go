// Command skips shows what go test -json says as go test does, and in the end which tests were
// skipped, and why.
//
//	go test -json ./... | go run ./scripts/skips
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "skips:", err)
		os.Exit(1)
	}
}

// event is a line of go test -json.
type event struct{ Action, Package, Test, Output string }

// reason is what a skipped test says, behind its file and line.
var reason = regexp.MustCompile(`^\s+\S+\.go:\d+: (.*)`)

// run passes on what packages and failing tests print, and counts skips by reason.
func run(in io.Reader, out io.Writer) error {
	printed := map[string]string{} // by test
	skips, failed := map[string]int{}, false
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			break
		} else if err != nil && err != io.EOF {
			return err
		}
		var e event
		if json.Unmarshal(line, &e) != nil { // the Go tool's own words
			fmt.Fprintf(out, "%s", line)
			continue
		}
		key := e.Package + " " + e.Test
		switch {
		case e.Action == "output" && e.Test == "", e.Action == "build-output":
			if e.Output != "PASS\n" {
				fmt.Fprint(out, e.Output)
			}
		case e.Action == "output":
			printed[key] += e.Output
		case e.Action == "fail" && e.Test != "":
			fmt.Fprint(out, printed[key])
		case e.Action == "skip" && e.Test != "":
			skips[why(printed[key])]++
		}
		failed = failed || e.Action == "fail"
		if e.Action == "pass" || e.Action == "skip" || e.Action == "fail" {
			delete(printed, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(printed)) { // of tests that had no end, as where a process dies
		fmt.Fprint(out, printed[key])
	}
	total := 0
	for _, n := range skips {
		total += n
	}
	fmt.Fprintf(out, "%d tests were skipped\n", total)
	for _, text := range slices.SortedFunc(maps.Keys(skips), func(a, b string) int { return skips[b] - skips[a] }) {
		fmt.Fprintf(out, "%5d: %s\n", skips[text], text)
	}
	if failed {
		return fmt.Errorf("tests failed")
	}
	return nil
}

// why is the reason in what a skipped test printed, without the paths that differ from test to test.
func why(text string) string {
	for line := range strings.Lines(text) {
		if found := reason.FindStringSubmatch(line); found != nil {
			switch said := found[1]; {
			case strings.Contains(said, "shared folder"):
				return "recordings and real models are absent (YOLOFREEZE_SHARED)"
			case strings.HasPrefix(said, "tier "):
				tier, _, _ := strings.Cut(said, ":")
				return tier
			default:
				return said
			}
		}
	}
	return "no reason is given"
}
