package compare

import (
	"fmt"
	"strings"

	"yolofreeze/freeze/runs"
)

// reportTable is a table of the report, whatever it is written as.
type reportTable struct {
	Title, Note string
	Head        []string
	Rows        [][]reportCell
	Folded      bool // the page shows it when asked
}

// reportCell is one entry of it.
type reportCell struct {
	Text string
	Sub  string // smaller, beside the text
	Tone string // good, bad, frozen or trains: how the page colours it
	Bar  int    // length of a bar in per cent, 0 for none
	Key  int    // 1 + the group whose line's sample stands before the text; 0 for none
	Link string // where the text leads, as a relative address; "" for nowhere
}

// Colour is the index of the group's colour.
func (c reportCell) Colour() int { return (c.Key - 1) % groupColours }

// Dashes are the group's, as SVG's stroke-dasharray has them.
func (c reportCell) Dashes() string {
	var parts []string
	for _, d := range dashOf(c.Key - 1) {
		parts = append(parts, fmt.Sprint(float64(d)))
	}
	return strings.Join(parts, " ")
}

func groupCell(i int, g *Group) reportCell {
	c := reportCell{Text: g.Name, Key: i + 1}
	if n := len(g.members); n > 1 {
		c.Sub = fmt.Sprintf("%d runs", n)
	}
	return c
}

func (c *Comparison) tables() []*reportTable {
	var list []*reportTable
	for _, t := range []*reportTable{c.summaryTable(), c.targetTable(), c.phaseTable(), c.classTable(), c.planTable(), c.settingTable(), c.environmentTable(), c.runTable()} {
		if t != nil && len(t.Rows) > 0 {
			list = append(list, t)
		}
	}
	return list
}

func (c *Comparison) base() *Group {
	for _, g := range c.Groups {
		if g.Name == c.Baseline {
			return g
		}
	}
	return c.Groups[0]
}

// measure is a column of the summary.
type measure struct {
	head   string
	of     func(*Group) Spread
	text   func(runs.Figure) string
	score  bool // compared by difference, not by ratio
	better int  // +1: more is better, -1: less is

	more, less string // how a ratio is worded
}

func constant(f runs.Figure) Spread { return Spread{Mean: f, SD: runs.Unknown, Min: f, Max: f, N: 1} }

var measures = []measure{
	{"mAP 0.5", func(g *Group) Spread { return g.MAP50 }, scoreText, true, 1, "", ""},
	{"mAP 0.5:0.95", func(g *Group) Spread { return g.MAP }, scoreText, true, 1, "", ""},
	{"wall time", func(g *Group) Spread { return g.Seconds }, secondsText, false, -1, "slower", "faster"},
	{"images/s", func(g *Group) Spread { return g.ImagesPerSecond }, rateText, false, 1, "faster", "slower"},
	{"peak memory", func(g *Group) Spread { return g.PeakRSS }, bytesText, false, -1, "more", "less"},
	{"trainable parameters", func(g *Group) Spread { return constant(g.Trainable) }, countText, false, 0, "more", "fewer"},
	{"frozen parameters", func(g *Group) Spread { return constant(g.Frozen) }, countText, false, 0, "more", "fewer"},
	{"epochs", func(g *Group) Spread { return g.Epochs }, countText, false, 0, "more", "fewer"},
}

func (c *Comparison) summaryTable() *reportTable {
	t := &reportTable{Title: "Side by side", Head: []string{"group"},
		Note: "The best epoch's accuracy, chosen as YOLOv5 does (0.1 mAP 0.5 + 0.9 mAP 0.5:0.95); ± is the standard deviation over seeds. Small figures compare with " + c.Baseline + "; they are coloured between groups of several runs, since what one seed shows may be chance."}
	base := c.base()
	var shown []measure
	for _, m := range measures {
		for _, g := range c.Groups {
			if m.of(g).Mean.Known() {
				shown = append(shown, m)
				t.Head = append(t.Head, m.head)
				break
			}
		}
	}
	for i, g := range c.Groups {
		row := []reportCell{groupCell(i, g)}
		for _, m := range shown {
			row = append(row, m.cell(g, base, c.Groups))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (m measure) cell(g, base *Group, groups []*Group) reportCell {
	own, of := m.of(g), m.of(base)
	out := reportCell{Text: spreadText(own, m.text)}
	most := runs.Figure(0)
	for _, other := range groups {
		if v := m.of(other).Mean; v.Known() {
			most = max(most, v)
		}
	}
	if own.Mean.Known() && most > 0 && len(groups) > 1 {
		out.Bar = max(1, int(100*own.Mean/most))
	}
	if g == base || !own.Mean.Known() || !of.Mean.Known() || own.Mean == of.Mean {
		return out
	}
	better := own.Mean > of.Mean == (m.better > 0)
	if m.score {
		out.Sub = signedText(own.Mean-of.Mean, 3)
	} else if of.Mean != 0 {
		out.Sub = timesText(own.Mean, of.Mean, m.more, m.less)
	}
	if m.better != 0 && own.N > 1 && of.N > 1 {
		out.Tone = map[bool]string{true: "good", false: "bad"}[better]
	}
	return out
}

func (c *Comparison) targetTable() *reportTable {
	if !c.BestMAP.Known() || c.BestMAP <= 0 {
		return nil
	}
	t := &reportTable{Title: "Time to reach", Head: []string{"group"},
		Note: fmt.Sprintf("Wall time until mAP 0.5:0.95 first reached a share of the best of all runs, %s.", scoreText(c.BestMAP))}
	for _, share := range c.Targets {
		t.Head = append(t.Head, fmt.Sprintf("%g %% (%s)", 100*share, scoreText(runs.Figure(share)*c.BestMAP)))
	}
	base, any := c.base(), false
	for i, g := range c.Groups {
		row := []reportCell{groupCell(i, g)}
		for k, s := range g.SecondsTo {
			out := reportCell{Text: spreadText(s, secondsText)}
			switch {
			case s.N == 0 && g.timed():
				out.Text = "not reached"
			case s.N < len(g.members):
				out.Sub = fmt.Sprintf("%d of %d runs", s.N, len(g.members))
			case g != base && base.SecondsTo[k].N == len(base.members):
				out.Sub = timesText(s.Mean, base.SecondsTo[k].Mean, "slower", "faster")
				if s.N > 1 && base.SecondsTo[k].N > 1 {
					out.Tone = map[bool]string{true: "good", false: "bad"}[s.Mean < base.SecondsTo[k].Mean]
				}
			}
			any = any || g.timed()
			row = append(row, out)
		}
		t.Rows = append(t.Rows, row)
	}
	if !any {
		return nil
	}
	return t
}

// timed reports whether the group's runs say when their epochs ended.
func (g *Group) timed() bool {
	return len(g.Band) > 0 && g.Band[len(g.Band)-1].Mean.Seconds.Known()
}

// phases are the columns of phaseTable; trains are those that every training picture passes.
var phases = []struct {
	head   string
	of     func(*runs.Phases) float64
	trains bool
}{
	{"waiting for pictures", func(p *runs.Phases) float64 { return p.Data }, true},
	{"forward and backward", func(p *runs.Phases) float64 { return p.Step }, true},
	{"optimizer", func(p *runs.Phases) float64 { return p.Optimizer }, true},
	{"validation", func(p *runs.Phases) float64 { return p.Validation }, false},
	{"saving", func(p *runs.Phases) float64 { return p.Saving }, false},
	{"caching features", func(p *runs.Phases) float64 { return p.Features }, false},
}

func (c *Comparison) phaseTable() *reportTable {
	t := &reportTable{Title: "Where the time goes", Head: []string{"group"}, Note: "Seconds of a run by phase, means over seeds, and training pictures per second of that phase alone."}
	for _, p := range phases {
		t.Head = append(t.Head, p.head)
	}
	t.Head = append(t.Head, "the rest")
	for i, g := range c.Groups {
		if g.members[0].Phases == nil {
			continue
		}
		row, rest := []reportCell{groupCell(i, g)}, g.Seconds.Mean
		for _, p := range phases {
			seconds := g.spread(func(r *Run) runs.Figure {
				if r.Phases == nil {
					return runs.Unknown
				}
				return runs.Figure(p.of(r.Phases))
			}).Mean
			images := g.spread(func(r *Run) runs.Figure { return r.Images }).Mean
			out := reportCell{Text: secondsText(seconds), Bar: int(100 * seconds / max(g.Seconds.Mean, 1e-9))}
			if p.trains && seconds > 0 && images.Known() {
				out.Sub = rateText(images/seconds) + " images/s"
			}
			row, rest = append(row, out), rest-seconds
		}
		t.Rows = append(t.Rows, append(row, reportCell{Text: secondsText(max(rest, 0)), Bar: int(100 * max(rest, 0) / max(g.Seconds.Mean, 1e-9))}))
	}
	return t
}

// mostClasses is how many classes the report shows unfolded.
const mostClasses = 20

func (c *Comparison) classTable() *reportTable {
	t := &reportTable{Title: "Class by class", Head: []string{"class", "objects", "AP " + c.Baseline}, Folded: len(c.Classes) > mostClasses,
		Note: "AP over IoU 0.5:0.95, largest differences first; ± is half the 95 % confidence interval over seeds (Student's t, by pairs of equal seeds), and a difference is coloured where the interval leaves out 0."}
	for _, g := range c.Groups {
		if g != c.base() {
			t.Head = append(t.Head, g.Name+" − "+c.Baseline)
		}
	}
	for _, d := range c.Classes {
		row := []reportCell{{Text: d.Name}, {Text: countText(runs.Figure(d.Instances))}, {Text: scoreText(d.Baseline)}}
		for i, g := range c.Groups {
			if g == c.base() {
				continue
			}
			diff := d.Groups[i]
			out := reportCell{Text: signedText(diff.Mean, 3)}
			if diff.Half.Known() {
				out.Text += " ± " + scoreText(diff.Half)
				switch {
				case diff.Mean > diff.Half:
					out.Tone = "good"
				case diff.Mean < -diff.Half:
					out.Tone = "bad"
				}
			}
			row = append(row, out)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (c *Comparison) planTable() *reportTable {
	t := &reportTable{Title: "Freeze plans", Head: []string{"layers"},
		Note: "What trains, layer by layer, and how BatchNorm normalises: eval by fixed running statistics, batch by the batch's own, affine-only by fixed statistics with scale and shift training."}
	for _, g := range c.Groups {
		t.Head = append(t.Head, g.Name)
	}
	for _, p := range c.Plans {
		layers := fmt.Sprint(p.First)
		if p.Last > p.First {
			layers = fmt.Sprintf("%d–%d", p.First, p.Last)
		}
		row := []reportCell{{Text: layers, Sub: p.Part}}
		for _, state := range p.Groups {
			tone := ""
			for _, prefix := range []string{"frozen", "trains"} {
				if strings.HasPrefix(state, prefix) {
					tone = prefix
				}
			}
			state, bn, _ := strings.Cut(state, ", ")
			row = append(row, reportCell{Text: orDash(state), Sub: bn, Tone: tone})
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (c *Comparison) settingTable() *reportTable {
	t := &reportTable{Title: "Settings that differ", Head: []string{"option"}, Note: "Options and hyperparameters; the seed and where results go are left out."}
	for _, g := range c.Groups {
		t.Head = append(t.Head, g.Name)
	}
	for _, d := range c.Settings {
		row := []reportCell{{Text: d.Name}}
		for _, v := range d.Values {
			row = append(row, reportCell{Text: orDash(v)})
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func orDash(text string) string {
	if text == "" {
		return dash
	}
	return text
}

func (c *Comparison) runTable() *reportTable {
	t := &reportTable{Title: "Every run", Folded: true,
		Head: []string{"run", "group", "seed", "frozen", "epochs", "best epoch", "P", "R", "mAP 0.5", "mAP 0.5:0.95", "wall time", "images/s", "peak memory"}}
	for _, r := range c.Runs {
		epochs := reportCell{Text: fmt.Sprint(r.Epochs)}
		if r.Asked.Known() && int(r.Asked) != r.Epochs {
			epochs.Sub = "of " + countText(r.Asked)
		}
		t.Rows = append(t.Rows, []reportCell{{Text: r.Name, Sub: r.Source, Link: c.linkTo(r)}, {Text: r.Group}, {Text: countText(r.Seed)}, {Text: freezeLabel(r.Freeze)},
			epochs, {Text: fmt.Sprint(r.BestEpoch + 1)}, {Text: scoreText(r.Precision)}, {Text: scoreText(r.Recall)},
			{Text: scoreText(r.MAP50)}, {Text: scoreText(r.MAP)}, {Text: secondsText(r.Seconds)}, {Text: rateText(r.ImagesPerSecond)}, {Text: bytesText(r.PeakRSS)}})
	}
	return t
}

// findings says in sentences how each group stands against the baseline.
func (c *Comparison) findings() []string {
	base := c.base()
	var list []string
	for _, g := range c.Groups {
		if g == base {
			continue
		}
		var parts []string
		add := func(own, of runs.Figure, more, less, what string, text func(runs.Figure) string) {
			if words := timesText(own, of, more, less); words != dash {
				parts = append(parts, fmt.Sprintf("%s %s (%s against %s)", words, what, text(own), text(of)))
			}
		}
		add(g.Seconds.Mean, base.Seconds.Mean, "slower", "faster", "in all", secondsText)
		add(g.ImagesPerSecond.Mean, base.ImagesPerSecond.Mean, "more", "fewer", "training images a second", rateText)
		add(g.PeakRSS.Mean, base.PeakRSS.Mean, "more", "less", "peak memory", bytesText)
		add(g.Trainable, base.Trainable, "more", "fewer", "trainable parameters", countText)
		text := fmt.Sprintf("%s: mAP 0.5 %s (%s against %s)", g.Name, spreadText(g.MAP50, scoreText), signedText(g.MAP50.Mean-base.MAP50.Mean, 3), base.Name)
		if len(parts) > 0 {
			text += "; " + strings.Join(parts, ", ")
		}
		list = append(list, text+".")
	}
	return list
}

// warnings are those of all runs.
func (c *Comparison) warnings() (list []string) {
	for _, r := range c.Runs {
		list = append(list, r.Warnings...)
	}
	return list
}
