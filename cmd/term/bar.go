package term

import (
	"fmt"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Bar shows how far something is: live on a terminal, else a line per 10 %.
type Bar struct {
	t     *Terminal
	title string
	text  string
	total int
	done  int
	shown int // tenths told
	live  *progressbar.ProgressBar
}

// Bar starts one for total steps. Unknown totals are not shown.
func (t *Terminal) Bar(title string, total int) *Bar {
	b := &Bar{t: t, title: title, total: total}
	if t.Live && total > 0 {
		wide := t.wide()
		b.live = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(t.RawErr()), // which it measures at each refresh
			progressbar.OptionSetDescription(visible(title)),
			progressbar.OptionSetWidth(20),
			progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(wide),
			progressbar.OptionSetElapsedTime(wide),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetRenderBlankState(true),
			progressbar.OptionUseANSICodes(true),
			func(p *progressbar.ProgressBar) {
				if wide {
					progressbar.OptionShowIts()(p)
				}
			},
		)
	}
	return b
}

const (
	wideTerminal = 136 // columns, from which on rates and times have room beside all of a step's numbers
	leastBar     = 3
)

func (t *Terminal) wide() bool { return t.Width() == 0 || t.Width() >= wideTerminal }

// Room is how many columns there are now beside a bar of total steps; 0 is any number.
func (t *Terminal) Room(total int) int {
	width := t.Width()
	if width == 0 {
		return 0
	}
	bar := len(" 100% || (/) ") + leastBar + 2*len(fmt.Sprint(total))
	if t.wide() {
		bar += len(", 1000 it/min [1h00m00s:1h00m00s]")
	}
	return max(width-bar, 1)
}

// Room is how many columns there are now for what Describe says; 0 is any number.
func (b *Bar) Room() int { return b.t.Room(b.total) }

// Describe changes what stands beside the bar, such as running losses.
func (b *Bar) Describe(text string) {
	b.text = text
	if b.live != nil {
		b.live.Describe(visible(b.title + text))
	}
}

// Add counts n more steps.
func (b *Bar) Add(n int) {
	b.done = min(b.done+n, max(b.total, 0))
	if b.live != nil {
		b.live.Set(b.done)
		return
	}
	if b.total <= 0 {
		return
	}
	if tenth := 10 * b.done / b.total; tenth > b.shown {
		b.shown = tenth
		b.t.Logf("%s%s %3d %% (%d/%d)", b.title, b.text, 100*b.done/b.total, b.done, b.total)
	}
}

// Finish ends the bar's line, wherever it stands.
func (b *Bar) Finish() {
	if b.live == nil {
		return
	}
	b.live.Exit()
	fmt.Fprintln(b.t.Err)
	b.live = nil
}

// Columns sets cells right-aligned side by side, as YOLOv5 does, in so many columns; 0 is
// any number. Where that is little room, cells are narrower, and then those are left out
// whose numbers spare lists, the first first.
func Columns(room int, cells []string, spare ...int) string {
	width := 11
	left := len(cells)
	for room > 0 && left*width > room && width > 10 { // "Instances" has nine letters
		width--
	}
	out := map[int]bool{}
	for _, i := range spare {
		if room > 0 && left*width > room {
			out[i] = true
			left--
		}
	}
	var b strings.Builder
	for i, cell := range cells {
		if !out[i] {
			fmt.Fprintf(&b, "%*s", width, cell)
		}
	}
	return b.String()
}
