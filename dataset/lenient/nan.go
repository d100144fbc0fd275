package lenient

import (
	"bytes"
	"io"
)

// nanReader makes of JSON as Python writes it what the standard allows: the bare words
// NaN and Infinity become texts of the same length, so that places stay what they are.
type nanReader struct {
	r      io.Reader
	quoted bool // within a text
	escape bool // behind a backslash in it
	left   []byte
	err    error
	buf    []byte
}

const longest = len("-Infinity")

func (n *nanReader) Read(p []byte) (int, error) {
	for {
		if k := n.ready(); k > 0 {
			k = copy(p, n.left[:k])
			n.left = n.left[k:]
			return k, nil
		}
		if n.err != nil {
			return 0, n.err
		}
		n.fill()
	}
}

// ready is how much of what is left has been looked at: all but what may be the
// beginning of a word.
func (n *nanReader) ready() int {
	if n.err != nil {
		return len(n.left)
	}
	return max(0, len(n.left)-longest)
}

// fill reads on and looks at what has come.
func (n *nanReader) fill() {
	const chunk = 1 << 16
	if n.buf == nil {
		n.buf = make([]byte, 0, chunk+longest)
	}
	kept := copy(n.buf[:longest], n.left) // at most longest bytes, looked at but for words that they begin
	k, err := n.r.Read(n.buf[kept : kept+chunk])
	n.err = err
	n.left = n.buf[:kept+k]
	n.words(kept)
}

func (n *nanReader) words(from int) {
	data := n.left
	for i := from; i < len(data); i++ {
		switch c := data[i]; {
		case n.escape:
			n.escape = false
		case n.quoted && c == '\\':
			n.escape = true
		case c == '"':
			n.quoted = !n.quoted
		case n.quoted:
		case c == 'N' || c == 'y':
			// The last letter of Infinity, or the last of NaN, ends the word.
			for _, w := range [2]string{"NaN", "Infinity"} {
				if at := i + 1 - len(w); at >= 0 && bytes.Equal(data[at:i+1], []byte(w)) {
					if at > 0 && data[at-1] == '-' {
						at--
					}
					data[at], data[i] = '"', '"'
				}
			}
		}
	}
}
