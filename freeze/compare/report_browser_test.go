package compare

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// browser finds a Chromium; without one the test skips.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("tier browser: no chromium is installed")
	return ""
}

// render opens a page and returns what it is made of after its scripts have run. A shot is kept beside it.
func render(t *testing.T, page, scheme string, width int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	flags := []string{"--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--user-data-dir=" + t.TempDir(),
		fmt.Sprintf("--window-size=%d,1600", width), "--blink-settings=preferredColorScheme=" + map[string]string{"dark": "0", "light": "1"}[scheme]}
	run := func(more ...string) string {
		out, err := exec.CommandContext(ctx, browser(t), append(flags, more...)...).Output()
		if err != nil {
			t.Fatalf("chromium: %v", err)
		}
		return string(out)
	}
	run("--screenshot="+strings.TrimSuffix(page, ".html")+".png", "file://"+page)
	return run("--dump-dom", "file://"+page)
}

// measuring is a script that writes what the page in the frame takes into the frame's page.
const measuring = `<script>
const frame = document.querySelector("iframe");
frame.onload = () => {
  const page = frame.contentDocument, root = page.documentElement, style = frame.contentWindow.getComputedStyle;
  const out = [...page.querySelectorAll("main *:not(.scroll *):not(thead *):not(thead)")].filter(e => e.getBoundingClientRect().right > root.clientWidth + 1).map(e => e.tagName + "." + e.className);
  const small = [...page.querySelectorAll("p, td, th, small, li")].filter(e => e.textContent.trim() && parseFloat(style(e).fontSize) < 12).length;
  document.querySelector("output").textContent = JSON.stringify({width: root.clientWidth, scroll: root.scrollWidth, small, out: out.slice(0, 5), ink: style(page.body).color, paper: style(page.body).backgroundColor, height: root.scrollHeight});
};
</script>`

// TestReportInBrowser: on a phone and on a desk, in dark and light, nothing runs
// off the page, no text is tiny, and ink stands out from paper.
// go test -artifacts keeps the screenshots.
func TestReportInBrowser(t *testing.T) {
	browser(t)
	report, err := madeComparison(t).HTML()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.ArtifactDir()
	for _, width := range []int{390, 1280} {
		for _, scheme := range []string{"light", "dark"} {
			name := fmt.Sprintf("%s-%d", scheme, width)
			page := filepath.Join(dir, name+".html")
			frame := fmt.Sprintf(`<!doctype html><body style="margin:0"><iframe style="border:0" width="%d" height="6000" srcdoc="%s"></iframe><output></output>%s`,
				width, html.EscapeString(string(report)), measuring)
			if err := os.WriteFile(page, []byte(frame), 0o666); err != nil {
				t.Fatal(err)
			}
			_, after, _ := strings.Cut(render(t, page, scheme, max(width, 500)), "<output>")
			text, _, _ := strings.Cut(after, "</output>")
			var seen struct {
				Width, Scroll, Small, Height int
				Out                          []string
				Ink, Paper                   string
			}
			if err := json.Unmarshal([]byte(html.UnescapeString(text)), &seen); err != nil {
				t.Fatalf("%s: measured %q: %v", name, text, err)
			}
			if seen.Width != width || seen.Scroll > seen.Width || len(seen.Out) > 0 || seen.Small > 0 || seen.Height < 1000 {
				t.Errorf("%s: %+v", name, seen)
			}
			if dark := brightness(t, seen.Paper) < brightness(t, seen.Ink); dark != (scheme == "dark") {
				t.Errorf("%s: ink %s on paper %s", name, seen.Ink, seen.Paper)
			}
		}
	}
}

// brightness of rgb(r, g, b), 0 to 765.
func brightness(t *testing.T, colour string) int {
	t.Helper()
	var r, g, b int
	if _, err := fmt.Sscanf(colour, "rgb(%d, %d, %d)", &r, &g, &b); err != nil {
		t.Fatalf("colour %q: %v", colour, err)
	}
	return r + g + b
}
