package options

import (
	"errors"
	"os"
	"testing"
)

// TestKeptData: paths of data are kept absolute, commas in them or between them.
func TestKeptData(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := errors.Join(os.Mkdir("site 3, north", 0o777), os.WriteFile("site 3, north/data.yaml", nil, 0o666)); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for data, want := range map[string]string{
		"": "", "site 3, north/data.yaml": dir + "/site 3, north/data.yaml", "/a/data.yaml": "/a/data.yaml",
		"train=a.json,val=/b.json": "train=" + dir + "/a.json,val=/b.json", "a.json,b.json": dir + "/a.json," + dir + "/b.json",
	} {
		if got := (Options{Inputs: Inputs{Data: data}}).Kept().Data; got != want {
			t.Errorf("%q is kept as %q, want %q", data, got, want)
		}
	}
}
