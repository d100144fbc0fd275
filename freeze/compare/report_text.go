package compare

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"

	"yolofreeze/freeze/runs"
)

const dash = "–" // stands for what is not known

func scoreText(f runs.Figure) string {
	if !f.Known() {
		return dash
	}
	return fmt.Sprintf("%.3f", float64(f))
}

func signedText(f runs.Figure, digits int) string {
	if !f.Known() {
		return dash
	}
	text := strconv.FormatFloat(math.Abs(float64(f)), 'f', digits, 64)
	switch {
	case strings.Trim(text, "0.") == "":
		return "±" + text
	case f < 0:
		return "−" + text
	}
	return "+" + text
}

// countText groups digits by threes.
func countText(f runs.Figure) string {
	if !f.Known() {
		return dash
	}
	text := strconv.FormatFloat(float64(f), 'f', -1, 64)
	whole, fraction, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "\u202f" + whole[i:] // narrow space that does not break
	}
	if fraction != "" {
		whole += "." + fraction[:min(len(fraction), 1)]
	}
	return whole
}

func secondsText(f runs.Figure) string {
	if !f.Known() {
		return dash
	}
	s := float64(f)
	switch {
	case s < 100:
		return fmt.Sprintf("%.1f s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %02d s", int(s+.5)/60, int(s+.5)%60)
	}
	return fmt.Sprintf("%d h %02d min", int(s/60+.5)/60, int(s/60+.5)%60)
}

func rateText(f runs.Figure) string {
	if !f.Known() {
		return dash
	}
	return significant(float64(f))
}

// significant writes three significant digits, more before the point.
func significant(v float64) string {
	digits := 2
	if v != 0 {
		digits = min(max(2-int(math.Floor(math.Log10(math.Abs(v)))), 0), 6)
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

func bytesText(f runs.Figure) string {
	if !f.Known() {
		return dash
	}
	if f >= 1<<30 {
		return fmt.Sprintf("%.2f GiB", float64(f)/(1<<30))
	}
	return fmt.Sprintf("%.0f MiB", float64(f)/(1<<20))
}

// timesText words a ratio: 5.0× and the word for more, or for less.
func timesText(own, of runs.Figure, more, less string) string {
	if !own.Known() || !of.Known() || own <= 0 || of <= 0 {
		return dash
	}
	ratio, word := float64(own/of), more
	if ratio < 1 {
		ratio, word = 1/ratio, less
	}
	switch {
	case ratio < 1.005:
		return "the same"
	case ratio < 2:
		return fmt.Sprintf("%.2f× %s", ratio, word)
	case ratio < 10:
		return fmt.Sprintf("%.1f× %s", ratio, word)
	}
	return fmt.Sprintf("%.0f× %s", ratio, word)
}

// spreadText writes the mean, and the deviation where there is one, with one unit for both.
func spreadText(s Spread, text func(runs.Figure) string) string {
	out := text(s.Mean)
	if !s.SD.Known() || s.SD == 0 {
		return out
	}
	deviation := text(s.SD)
	number, unit, _ := strings.Cut(out, " ")
	if unit != "" && strings.HasSuffix(deviation, " "+unit) && !strings.Contains(unit, " ") {
		return number + " ± " + deviation
	}
	return out + " ± " + deviation
}

// WriteText writes the summary as a table for a terminal, and what was found.
func (c *Comparison) WriteText(w io.Writer) error {
	t := c.summaryTable()
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, strings.Join(t.Head, "\t"))
	for _, row := range t.Rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(tab, "\t")
			}
			fmt.Fprint(tab, strings.Join(strings.Fields(cell.Text), " ")) // a folder's name may hold anything
			if cell.Sub != "" {
				fmt.Fprintf(tab, " (%s)", cell.Sub)
			}
		}
		fmt.Fprintln(tab)
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	for _, text := range c.findings() {
		if _, err := fmt.Fprintln(w, text); err != nil {
			return err
		}
	}
	return nil
}
