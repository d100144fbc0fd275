package term

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// openTerminal makes a terminal of so many columns: what is written to it comes out of
// screen.
func openTerminal(t *testing.T, columns int) (tty, screen *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	resize(t, tty, columns)
	t.Cleanup(func() { screen.Close(); tty.Close() })
	return tty, screen
}

func resize(t *testing.T, tty *os.File, columns int) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: uint16(columns)}); err != nil {
		t.Fatal(err)
	}
}

// TestBarFits: in terminals of any width from 60 columns, a bar with its text stays on one
// line, also where the terminal becomes narrower meanwhile.
func TestBarFits(t *testing.T) {
	cells := []string{"299/299", "12.6G", "0.05953", "0.05938", "0.03533", "12233", "1280"}
	for _, columns := range []int{60, 80, 100, 120, 138, 200} {
		tty, screen := openTerminal(t, columns)
		frames := make(chan string)
		go func() {
			var all []byte
			buf := make([]byte, 4096)
			for {
				n, err := screen.Read(buf)
				all = append(all, buf[:n]...)
				if err != nil || strings.Contains(string(all), "END") {
					frames <- string(all)
					return
				}
			}
		}()
		t.Setenv("TERM", "xterm")
		term := New(nil, tty, tty)
		b := term.Bar("", 1000)
		for i := range 1000 {
			b.Describe(Columns(b.Room(), cells, 1, 6, 5, 4))
			b.Add(1)
			if i%250 == 0 {
				time.Sleep(110 * time.Millisecond) // bars are drawn every 100 ms
			}
		}
		b.Finish()
		fmt.Fprint(tty, "END")
		text := <-frames
		drawn, most := 0, 0
		for frame := range strings.SplitSeq(ansi.ReplaceAllString(text, "\r"), "\r") {
			frame = strings.Trim(frame, "\n")
			if strings.Contains(frame, "%") {
				drawn++
			}
			most = max(most, utf8.RuneCountInString(strings.TrimRight(frame, " ")))
		}
		if drawn < 4 || most > columns {
			t.Errorf("%d columns: %d lines of a bar, the longest of %d:\n%q", columns, drawn, most, text)
		}
		if shows := strings.Contains(text, "0.05953"); !shows {
			t.Errorf("%d columns: no loss is shown: %q", columns, text)
		}
		if columns >= 100 && !strings.Contains(text, "12.6G") {
			t.Errorf("%d columns: a cell is left out: %q", columns, text)
		}
	}
}

var ansi = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")

// TestQuiet: what is no result, warning or error is not said.
func TestQuiet(t *testing.T) {
	var out, log strings.Builder
	term := New(nil, &out, &log)
	term.Hush()
	term.Logf("a")
	term.Stage("[1/4]", "b")
	b := term.Bar("c", 10)
	b.Add(10)
	b.Finish()
	term.Warnf("d")
	if log.String() != "warning: d\n" {
		t.Errorf("said %q", log.String())
	}
}
