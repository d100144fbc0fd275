package dataset

import (
	"io/fs"
	"math"
	"os"
	"time"

	"github.com/djherbis/times"

	"yolofreeze/dataset/picture"
)

// fileState is the rule by which all caches know a file again: while none of this changes, its
// content cannot have changed. The time of the last change of any kind, where the system keeps
// one, is what no program can set back. A hash of the content would say no more and cost more
// than it saves: 45 µs a picture for the first 4 KiB, as much as the header itself, against 3 µs.
type fileState struct {
	bytes, modified, changed int64 // length; times in nanoseconds, changed is 0 where there is none
}

// StateOf returns the state of a picture's file, that which links lead to.
func StateOf(path string) (fileState, error) {
	st, err := os.Stat(path)
	if err == nil && st.Mode().IsRegular() && st.Size() <= picture.MaxTextLink {
		if f, _, failed := picture.Open(path, math.MaxInt64); failed == nil {
			defer f.Close()
			st, err = f.Stat()
		}
	}
	if err != nil {
		return fileState{}, err
	}
	return stateOf(st), nil
}

func stateOf(st fs.FileInfo) fileState {
	state := fileState{bytes: st.Size(), modified: st.ModTime().UnixNano()}
	if t := times.Get(st); t.HasChangeTime() {
		state.changed = t.ChangeTime().UnixNano()
	}
	// A change within one tick of the system's clock would leave the times as they are.
	if age := time.Since(time.Unix(0, max(state.modified, state.changed))); age >= 0 && age < clockTick {
		time.Sleep(clockTick - age)
	}
	return state
}

const clockTick = 20 * time.Millisecond
