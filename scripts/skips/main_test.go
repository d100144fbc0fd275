package main

import (
	"strings"
	"testing"
)

// TestRun: passing tests are silent, failing ones are not, skips are counted by reason, in one package or several.
func TestRun(t *testing.T) {
	var out strings.Builder
	err := run(strings.NewReader(`{"Action":"output","Package":"a","Test":"TestA","Output":"=== RUN TestA\n"}
{"Action":"output","Package":"a","Test":"TestA","Output":"    x_test.go:3: the shared folder, and so /x/y, is absent\n"}
{"Action":"skip","Package":"a","Test":"TestA"}
{"Action":"output","Package":"a","Test":"TestB","Output":"    x_test.go:9: the shared folder, and so /x/z, is absent\n"}
{"Action":"skip","Package":"a","Test":"TestB"}
{"Action":"output","Package":"b","Test":"TestA","Output":"    x_test.go:3: tier webgpu: there is none\n"}
{"Action":"skip","Package":"b","Test":"TestA"}
{"Action":"output","Package":"b","Test":"TestC","Output":"silent\n"}
{"Action":"pass","Package":"b","Test":"TestC"}
{"Action":"output","Package":"b","Output":"ok  \tb\t0.1s\n"}
{"Action":"pass","Package":"b"}
go: downloading x
`), &out)
	want := "ok  \tb\t0.1s\ngo: downloading x\n3 tests were skipped\n    2: recordings and real models are absent (YOLOFREEZE_SHARED)\n    1: tier webgpu\n"
	if err != nil || out.String() != want {
		t.Errorf("%v, printed\n%swant\n%s", err, out.String(), want)
	}
	out.Reset()
	err = run(strings.NewReader(`{"Action":"output","Package":"b","Test":"TestC","Output":"loud\n"}
{"Action":"fail","Package":"b","Test":"TestC"}
{"Action":"output","Package":"b","Test":"TestD","Output":"dies\n"}
{"Action":"fail","Package":"b"}`), &out)
	if err == nil || out.String() != "loud\ndies\n0 tests were skipped\n" {
		t.Errorf("%v, printed %q", err, out.String())
	}
}
