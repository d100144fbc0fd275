package term

import (
	"fmt"
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
		b.live = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(t.Err),
			progressbar.OptionSetDescription(title),
			progressbar.OptionSetWidth(20),
			progressbar.OptionShowCount(),
			progressbar.OptionShowIts(),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetRenderBlankState(true),
			progressbar.OptionUseANSICodes(true),
		)
	}
	return b
}

// Describe changes what stands beside the bar, such as running losses.
func (b *Bar) Describe(text string) {
	b.text = text
	if b.live != nil {
		b.live.Describe(b.title + text)
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
