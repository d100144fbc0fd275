package compare

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"image"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"yolofreeze/freeze/runs"
)

// The page is whole, names nothing outside itself and escapes what it is given.
// go test -artifacts keeps it for looking at.
func TestReport(t *testing.T) {
	c := madeComparison(t)
	c.Title = `Frozen <script>alert("x")</script> & unfrozen`
	c.Classes[0].Name = "cat|<b>"
	for _, r := range c.Runs[:2] {
		drawn := image.NewGray(image.Rect(0, 0, 1200, 30))
		var b bytes.Buffer
		if err := png.Encode(&b, drawn); err != nil {
			t.Fatal(err)
		}
		writeFiles(t, r.Dir, map[string]string{"confusion_matrix.png": b.String(), "val_batch0_pred.jpg": "no picture"})
	}
	dir := t.ArtifactDir()
	paths, err := WriteReport(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) != 3 {
		t.Fatalf("wrote %v", paths)
	}
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	page := read(ReportHTML)
	if links := regexp.MustCompile(`<a href="[^":]*/(unfrozen|backbone)-seed[012]/">`).FindAllString(page, -1); len(links) != 6 {
		t.Errorf("links to runs: %q", links)
	}
	if shots := strings.Count(page, `src="data:image/jpeg;base64,`); shots != 2 {
		t.Errorf("%d pictures, want each group's confusion matrix", shots)
	}
	page = regexp.MustCompile(`<a href="[^":]*">`).ReplaceAllString(page, "<a>")
	page = regexp.MustCompile(`src="data:image/jpeg;base64,[^"]*"`).ReplaceAllString(page, "")
	if found := regexp.MustCompile(`(?i)(src|href|@import|url\()\s*[=("']|https?:|<script`).FindString(strings.ReplaceAll(page, "&lt;script", "")); found != "" {
		t.Errorf("the page reaches out of itself or runs something: %q", found)
	}
	for _, text := range []string{"prefers-color-scheme: dark", `name="viewport"`, "Frozen &lt;script&gt;", "cat|&lt;b&gt;", "mAP 0.5:0.95 against wall time",
		"Time to reach", "Where the time goes", "Class by class", "Freeze plans", "Settings that differ", "Every run", "Machine and data", "AVX9000", `<td data-head="mAP 0.5">`, "var(--g1)", "var(--b1)", "unfrozen-seed2", "not reached"} {
		if !strings.Contains(page, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
	if strings.Contains(page, "#0101") || strings.Contains(page, ">-0") || strings.Contains(page, "NaN") || strings.Contains(page, "font-family:Liberation") {
		t.Error("the page holds a colour that stands for another, NaN, -0, or a font of its own")
	}
	balanced(t, page)
	markdown := read(ReportMarkdown)
	if !strings.Contains(markdown, `| cat\|&lt;b> |`) || !strings.Contains(markdown, "| [unfrozen-seed2](") || !strings.Contains(markdown, "| unfrozen (3 runs) | 0.6") {
		t.Errorf("report.md:\n%s", markdown)
	}
	var back struct {
		Runs []map[string]any `json:"runs"`
	}
	if err := json.Unmarshal([]byte(read(ReportJSON)), &back); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"name", "frozen", "epochs", "map50", "map", "seconds", "images_per_second", "peak_rss_bytes", "trainable"} {
		if _, ok := back.Runs[0][key]; !ok {
			t.Errorf("report.json: runs lack %s", key)
		}
	}
}

// balanced checks that every element that opens closes.
func balanced(t *testing.T, page string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var open []string
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			if name := e.Name.Local; name != "meta" && name != "img" {
				open = append(open, name)
			}
		case xml.EndElement:
			if n := len(open); n == 0 || open[n-1] != e.Name.Local {
				line, _ := d.InputPos()
				t.Fatalf("line %d: </%s> closes %v", line, e.Name.Local, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("left open: %v", open)
	}
}

// A report of one run of one epoch, of which next to nothing is known.
func TestReportOfLittle(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"results.csv": "epoch,metrics/mAP_0.5,metrics/mAP_0.5:0.95\n0,0,0\n"})
	r, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New("little", []*Run{r})
	if err != nil {
		t.Fatal(err)
	}
	page, err := c.HTML()
	if err != nil {
		t.Fatal(err)
	}
	balanced(t, string(page))
	text, err := c.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `"seconds": null`) {
		t.Errorf("an unknown figure is not null:\n%s", text)
	}
	if _, err := New("none", nil); err == nil {
		t.Error("no runs are compared")
	}
}

// timing.csv of a run that was resumed after its second epoch.
func TestReadTiming(t *testing.T) {
	dir := madeRun{name: "run", epochs: 4, peak: .3}.write(t, t.TempDir())
	writeFiles(t, dir, map[string]string{
		"timing.csv": runs.TimingHeader +
			"0,10.5,1,6,1,2,0.5,0,20,1000\n" +
			"1,20.5,2,12,2,4,0.5,0,20,2000\n" +
			"2,11,1,7,1,2,0.1,0,10,1500\n" +
			"3,21,2,14,2,4,0.2,0,10,1800\n",
		"summary.json": `{"seconds": 22, "phases": {"data": 1.9996, "step": 14, "optimizer": 2, "validation": 4, "saving": 1}, "images_per_second": 10, "peak_rss_bytes": 1900}`,
	})
	r, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []runs.Figure{10.5, 20.5, 31.5, 41.5} {
		if r.Curve[i].Seconds != want {
			t.Errorf("epoch %d ends after %v s, want %v", i, r.Curve[i].Seconds, want)
		}
	}
	// 16 s at 20 images a second, then 18 s at 10.
	if r.Seconds != 42.5 || r.Images != 500 || math.Abs(float64(r.ImagesPerSecond)-500./34) > 1e-3 || r.PeakRSS != 2000 || r.Phases.Saving != 1.5 {
		t.Errorf("seconds %v, images %v, %v a second, peak %v, phases %+v", r.Seconds, r.Images, r.ImagesPerSecond, r.PeakRSS, r.Phases)
	}
	writeFiles(t, dir, map[string]string{"timing.csv": runs.TimingHeader + "0,x,1,6,1,2,0.5,0,20,1000\n"})
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), `timing.csv: line 2: column seconds: "x" is not a number`) {
		t.Errorf("a bad second: %v", err)
	}
}

func TestTexts(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{countText(1234567), "1\u202f234\u202f567"}, {countText(12), "12"}, {countText(123), "123"}, {countText(2.5), "2.5"}, {countText(runs.Unknown), "–"},
		{secondsText(3.14), "3.1 s"}, {secondsText(119.7), "2 min 00 s"}, {secondsText(3725), "1 h 02 min"},
		{significant(0.01234), "0.0123"}, {significant(1.234), "1.23"}, {significant(123.4), "123"}, {significant(12345), "12345"}, {significant(0), "0.00"},
		{signedText(-.0123, 3), "−0.012"}, {signedText(.0123, 3), "+0.012"}, {signedText(-.0001, 3), "±0.000"},
		{bytesText(300 << 20), "300 MiB"}, {bytesText(3 << 30), "3.00 GiB"}, {timesText(1, 5, "slower", "faster"), "5.0× faster"},
		{timesText(3, 2.5, "slower", "faster"), "1.20× slower"}, {timesText(250, 10, "more", "less"), "25× more"}, {timesText(1, 1.001, "more", "less"), "the same"},
		{timesText(1, 0, "more", "less"), "–"}, {timesText(runs.Unknown, 1, "more", "less"), "–"},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}

// TestChartFits: the vertical axis begins near the figures, and below 0 only where they do.
func TestChartFits(t *testing.T) {
	ticks := func(y ...float64) string {
		c := &chart{Title: "x", X: "epoch"}
		l := chartLine{y: y}
		for i := range y {
			l.x = append(l.x, float64(i+1))
		}
		c.lines = append(c.lines, l)
		svg, err := c.SVG()
		if err != nil {
			t.Fatal(err)
		}
		return string(svg)
	}
	for _, test := range []struct {
		y          []float64
		with, lack string
	}{{[]float64{.40, .41, .42}, ">0.410<", ">0.0"}, {[]float64{.001, .5}, ">0.0<", ">-"}, {[]float64{.3}, ">0.3<", ">0.0<"}, {[]float64{-1, 1}, ">-1", "NaN"}, {[]float64{0, 0}, ">0.0", ">-"}, {[]float64{.3, .3 + 1e-16}, ">0.3<", ">-"}} {
		if svg := ticks(test.y...); !strings.Contains(svg, test.with) || strings.Contains(svg, test.lack) {
			t.Errorf("%v: want %q, not %q in %s", test.y, test.with, test.lack, svg)
		}
	}
}

// TestNoColourOfOneSeed: what one run each shows may be chance.
func TestNoColourOfOneSeed(t *testing.T) {
	c := madeComparison(t)
	coloured := func(c *Comparison) (n int) {
		for _, table := range []*reportTable{c.summaryTable(), c.targetTable()} {
			for _, row := range table.Rows {
				for _, cell := range row {
					if cell.Tone != "" {
						n++
					}
				}
			}
		}
		return n
	}
	if coloured(c) == 0 {
		t.Error("no colour between groups of three seeds")
	}
	alone, err := New("alone", c.Runs[:2])
	if err != nil {
		t.Fatal(err)
	}
	if n := coloured(alone); n > 0 {
		t.Errorf("%d cells are coloured by one seed", n)
	}
}
