package compare

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	htmltemplate "html/template"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"yolofreeze/freeze/runs"
)

//go:embed report
var reportFiles embed.FS

// Files that WriteReport writes.
const (
	ReportHTML     = "report.html"
	ReportMarkdown = "report.md"
	ReportJSON     = "report.json"
)

// WriteReport writes a comparison into a folder: report.html, one page that
// needs no network, report.md and report.json. It returns their paths in that order.
func WriteReport(dir string, c *Comparison) ([]string, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("write the report: %w", err)
	}
	c.folder = dir
	var paths []string
	for _, file := range []struct {
		name  string
		bytes func() ([]byte, error)
	}{{ReportHTML, c.HTML}, {ReportMarkdown, c.Markdown}, {ReportJSON, c.JSON}} {
		data, err := file.bytes()
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", file.name, err)
		}
		path := filepath.Join(dir, file.name)
		if err := runs.WriteFile(path, data); err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// JSON writes the comparison with all figures of all epochs.
func (c *Comparison) JSON() ([]byte, error) {
	data, err := json.MarshalIndent(c, "", "  ")
	return append(data, '\n'), err
}

// reportView is what the templates see.
type reportView struct {
	*Comparison
	CSS      htmltemplate.CSS
	Findings []string
	Charts   []*chart
	Losses   []*chart
	Tables   []*reportTable
	Legend   []reportCell
}

// Pictures are read by the page alone, which shows them.
func (v *reportView) Pictures() []gallery { return v.galleries() }

func (c *Comparison) view() (*reportView, error) {
	css, err := reportFiles.ReadFile("report/report.css")
	if err != nil {
		return nil, err
	}
	v := &reportView{Comparison: c, CSS: htmltemplate.CSS(css), Findings: append(c.findings(), c.warnings()...), Tables: c.tables()}
	for _, chart := range c.charts() {
		if strings.Contains(chart.Title, "loss") {
			v.Losses = append(v.Losses, chart)
		} else {
			v.Charts = append(v.Charts, chart)
		}
	}
	for i, g := range c.Groups {
		v.Legend = append(v.Legend, groupCell(i, g))
	}
	return v, nil
}

// HTML renders the report as one page.
func (c *Comparison) HTML() ([]byte, error) {
	page, err := htmltemplate.ParseFS(reportFiles, "report/report.html.tmpl")
	if err != nil {
		return nil, err
	}
	return c.render(page)
}

// Markdown renders the report's findings and tables.
func (c *Comparison) Markdown() ([]byte, error) {
	plain := strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace
	funcs := template.FuncMap{"plain": plain, "cell": func(c reportCell) string {
		text := plain(c.Text)
		if c.Link != "" {
			text = "[" + strings.NewReplacer("[", `\[`, "]", `\]`).Replace(text) + "](" + c.Link + ")"
		}
		if c.Sub != "" {
			text += plain(" (" + c.Sub + ")")
		}
		return text
	}}
	page, err := template.New("report.md.tmpl").Funcs(funcs).ParseFS(reportFiles, "report/report.md.tmpl")
	if err != nil {
		return nil, err
	}
	return c.render(page)
}

// render fills a template of either kind.
func (c *Comparison) render(page interface{ Execute(io.Writer, any) error }) ([]byte, error) {
	v, err := c.view()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = page.Execute(&b, v)
	return b.Bytes(), err
}
