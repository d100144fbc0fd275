package main

import (
	"fmt"
	"time"

	"github.com/schollz/progressbar/v3"
)

// bar shows how far something is: live on a terminal, else a line per 10 %.
type bar struct {
	t     *terminal
	title string
	text  string
	total int
	done  int
	shown int // tenths told
	live  *progressbar.ProgressBar
}

// bar starts one for total steps. Unknown totals are not shown.
func (t *terminal) bar(title string, total int) *bar {
	b := &bar{t: t, title: title, total: total}
	if t.live && total > 0 {
		b.live = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(t.err),
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

// describe changes what stands beside the bar, such as running losses.
func (b *bar) describe(text string) {
	b.text = text
	if b.live != nil {
		b.live.Describe(b.title + text)
	}
}

// add counts n more steps.
func (b *bar) add(n int) {
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
		b.t.logf("%s%s %3d %% (%d/%d)", b.title, b.text, 100*b.done/b.total, b.done, b.total)
	}
}

// finish ends the bar's line, wherever it stands.
func (b *bar) finish() {
	if b.live == nil {
		return
	}
	b.live.Exit()
	fmt.Fprintln(b.t.err)
	b.live = nil
}
