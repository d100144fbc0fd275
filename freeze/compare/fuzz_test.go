package compare

import (
	"os"
	"path/filepath"
	"testing"

	"yolofreeze/freeze/runs"
	"yolofreeze/onnx/testkit/hostile"
)

// FuzzRead reads folders of runs in which one file is anything; the first byte says which.
func FuzzRead(f *testing.F) {
	class, err := runs.ClassLines(0, []runs.Class{{Name: "cup"}})
	if err != nil {
		f.Fatal(err)
	}
	sound := []struct{ name, text string }{
		{runs.ResultsFile, runs.ResultsHeader() + runs.Row{}.Line() + runs.Row{Epoch: 1}.Line()},
		{runs.PerClassFile, runs.ClassHeader + class},
		{runs.TimingFile, runs.TimingHeader + "0,1,.1,.6,.1,.1,.1,0,40,1000000\n1,2,.2,1.2,.2,.2,.2,0,40,1000000\n"},
		{runs.SummaryFile, `{"seconds":3,"phases":{"data":1},"images_per_second":40}`},
		{"opt.yaml", "weights: a.pt\nfreeze: [10]\nseed: 1\nplans: [a, b]\n"},
		{"hyp.yaml", "lr0: 0.01\n"},
		{"freeze.yaml", string(madePlan(f, []string{"2"}).YAML())},
		{"events.out.tfevents.1", string(eventFile([][2]float64{{100, -1}, {107, 0}, {112.5, 1}}))},
	}
	dir := f.TempDir()
	write := func(t testing.TB, name, text string) {
		hostile.Put(t, filepath.Join(dir, name), []byte(text))
	}
	for i, file := range sound {
		f.Add(append([]byte{byte(i)}, file.text...))
		write(f, file.name, file.text)
	}
	last := len(sound) - 1
	hostile.Fuzz(f, func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		which := int(data[0]) % len(sound)
		if which == last { // read only where nothing else tells the times
			os.Remove(filepath.Join(dir, runs.TimingFile))
			defer write(t, runs.TimingFile, sound[2].text)
		}
		write(t, sound[which].name, string(data[1:]))
		defer write(t, sound[which].name, sound[which].text)
		r, err := Read(dir)
		if err != nil {
			hostile.OneLine(t, err)
			return
		}
		if len(r.Curve) == 0 || r.Epochs < 1 {
			t.Errorf("no epochs: %+v", r)
		}
	})
}
