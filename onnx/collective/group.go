package collective

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"time"
)

// Group is the ranks of a run, as one of them sees it. Its operations are taken part in by all
// ranks, in the same order; each returns on all of them or fails on all of them. A nil Group is
// that of a run of one rank.
type Group struct {
	rank, size int
	link       link
	failed     error // why nothing goes on
	local      Local
	parent     net.Conn // to the process that has started the ranks, if that was one of ours
}

// link is how ranks reach each other.
type link interface {
	// meet waits until every rank has come to an operation of that kind, and returns the highest
	// number that one of them has brought.
	meet(kind operation, number int) (int, error)
	sum(data any) error // []float32 or []float64, in place
	broadcast(data []byte, root int) error
	gather(data []byte, sizes []int) ([][]byte, error) // sizes are what each rank brings
	check() error                                      // a rank that is lost
	close(clean bool)
	abort(code int) // ends all ranks by their launcher
}

// operation is what ranks meet for: the same on all, or the program is wrong.
type operation int

const (
	leaving operation = iota // Close, which meets any other
	summing
	broadcasting
	gathering
	meeting
)

// Rank counts from 0.
func (g *Group) Rank() int {
	if g == nil {
		return 0
	}
	return g.rank
}

// Size is the number of ranks.
func (g *Group) Size() int {
	if g == nil {
		return 1
	}
	return g.size
}

// Local is a rank among those of its host, which share its devices and processors.
type Local struct{ Rank, Size int }

// Local is this rank's place on its host.
func (g *Group) Local() Local {
	if g == nil {
		return Local{0, 1}
	}
	return g.local
}

// Root tells whether this is the rank that writes and speaks.
func (g *Group) Root() bool { return g.Rank() == 0 }

// PeerError says that another rank has ended with an error.
type PeerError struct {
	Rank, Code int
	Text       string
}

func (e *PeerError) Error() string { return fmt.Sprintf("rank %d: %s", e.Rank, e.Text) }

// ExitCode is that of the other rank.
func (e *PeerError) ExitCode() int { return e.Code }

// LostError says that a rank does not answer any more: its process has died or stands still.
type LostError struct {
	Rank   int
	Place  string // host and process, "" where they are not known
	Reason string
}

func (e *LostError) Error() string {
	where := ""
	if e.Place != "" {
		where = " (" + e.Place + ")"
	}
	return fmt.Sprintf("rank %d%s is lost: %s", e.Rank, where, e.Reason)
}

// ExitCode is that of a device that has gone.
func (e *LostError) ExitCode() int { return 4 }

// Hint says how the run goes on.
func (e *LostError) Hint() string {
	return "its messages or its host's log may say why; the run goes on from its last checkpoint with `resume-from`"
}

// together begins an operation: all ranks come to it, or one of them has left.
func (g *Group) together(kind operation, number int) (int, error) {
	if g.failed != nil {
		return 0, g.failed
	}
	n, err := g.link.meet(kind, number)
	if err == nil && n >= leftFrom {
		err = g.hear(n - leftFrom)
	}
	g.failed = err
	return n, err
}

// leftFrom and on are the numbers that who leaves brings to a meeting: its rank, added.
const leftFrom = 1 << 40

// farewell is what a rank that leaves with an error tells: its exit code, and its text.
const farewell = 1024

// hear takes part in a leaving rank's farewell.
func (g *Group) hear(rank int) error {
	text := make([]byte, farewell)
	if err := g.link.broadcast(text, rank); err != nil {
		return err
	}
	n := min(int(binary.LittleEndian.Uint16(text[2:])), farewell-4)
	return &PeerError{Rank: rank, Code: int(binary.LittleEndian.Uint16(text)), Text: string(text[4 : 4+n])}
}

// Sum puts the sum over all ranks in the place of data, the same bytes on all of them.
func (g *Group) Sum(data []float32) error { return sum(g, data) }

// SumFloat64 is Sum of float64.
func (g *Group) SumFloat64(data []float64) error { return sum(g, data) }

// Mean puts the mean over all ranks in the place of data.
func (g *Group) Mean(data []float32) error {
	err := g.Sum(data)
	for i := range data {
		data[i] /= float32(g.Size())
	}
	return err
}

func sum[T float32 | float64](g *Group, data []T) error {
	if g.Size() == 1 {
		return nil
	}
	n, err := g.together(summing, len(data))
	switch {
	case err != nil:
		return err
	case n != len(data):
		g.failed = fmt.Errorf("rank %d sums %d numbers, another %d", g.rank, len(data), n)
	case n > 0:
		g.failed = g.link.sum(data)
	}
	return g.failed
}

// Broadcast puts what root has in data there on all ranks; its length is the same on all.
func (g *Group) Broadcast(data []byte, root int) error {
	if g.Size() == 1 {
		return nil
	}
	n, err := g.together(broadcasting, len(data))
	switch {
	case err != nil:
		return err
	case n != len(data):
		g.failed = fmt.Errorf("rank %d broadcasts %d bytes, another %d", g.rank, len(data), n)
	case n > 0:
		g.failed = g.link.broadcast(data, root)
	}
	return g.failed
}

// Gather returns what each rank has brought, by rank, on all of them.
func (g *Group) Gather(data []byte) ([][]byte, error) {
	if g.Size() == 1 {
		return [][]byte{data}, nil
	}
	if _, err := g.together(gathering, 0); err != nil {
		return nil, err
	}
	sizes := make([]float64, g.size)
	sizes[g.rank] = float64(len(data))
	if g.failed = g.link.sum(sizes); g.failed != nil {
		return nil, g.failed
	}
	whole := make([]int, g.size)
	total := 0
	for i, n := range sizes {
		whole[i] = int(n)
		total += whole[i]
	}
	if total > math.MaxInt32 {
		g.failed = fmt.Errorf("gather %d bytes: at most %d", total, math.MaxInt32)
		return nil, g.failed
	}
	parts, err := g.link.gather(data, whole)
	g.failed = err
	return parts, err
}

// Barrier returns when every rank has come to it.
func (g *Group) Barrier() error {
	if g.Size() == 1 {
		return nil
	}
	_, err := g.together(meeting, 0)
	return err
}

// Fail is why the group does not go on, nil as long as it does.
func (g *Group) Fail() error {
	if g == nil {
		return nil
	}
	return g.failed
}

// Close leaves the group: with an error it is told to the others, in whose next operation it
// becomes a *PeerError; without one it waits until all leave. It returns
// the error that the run has ended with, which may be another rank's.
func (g *Group) Close(err error, code int) error {
	if g == nil || g.size == 1 {
		return err
	}
	if g.failed == nil {
		err = g.leave(err, code)
	}
	var lost *LostError
	g.link.close(!errors.As(g.failed, &lost))
	if err == nil {
		return g.failed
	}
	return err
}

// leave brings an error, or none, to the others.
func (g *Group) leave(own error, code int) error {
	if own == nil {
		_, err := g.together(leaving, 0)
		return err
	}
	n, err := g.link.meet(leaving, leftFrom+g.rank)
	if err != nil {
		g.failed = err
		return own
	}
	if first := n - leftFrom; first != g.rank { // two leave at once: the higher rank speaks
		g.failed = g.hear(first)
		return own
	}
	text := make([]byte, farewell)
	words := own.Error()
	words = words[:min(len(words), farewell-4)]
	binary.LittleEndian.PutUint16(text, uint16(cmp.Or(code, 1)))
	binary.LittleEndian.PutUint16(text[2:], uint16(len(words)))
	copy(text[4:], words)
	g.failed = g.link.broadcast(text, g.rank)
	if g.failed == nil {
		g.failed = own
	}
	return own
}

// Speaks tells whether this rank says how the run has ended: rank 0, or the first of the
// others where that is lost.
func (g *Group) Speaks() bool {
	var lost *LostError
	return g.Root() || errors.As(g.failed, &lost) && lost.Rank == 0 && g.rank == 1
}

// silent is what a rank that ends and leaves it to another to speak tells the parent.
const silent = "-"

// Exit returns what this process, which has left the group and said what it had to say, is to
// exit with for the exit code of the run: launchers take a rank that exits with another code than
// 0 for a crash of the whole, so only who speaks does so, and only to a launcher that is not ours.
// Where a rank was lost, what still stands would wait for ever: all are ended.
func (g *Group) Exit(code int) int {
	if g.Size() == 1 {
		return code
	}
	if g.parent != nil {
		word := silent
		if g.Speaks() {
			word = strconv.Itoa(code)
		}
		fmt.Fprintln(g.parent, word)
	}
	if lost := (*LostError)(nil); errors.As(g.failed, &lost) {
		time.Sleep(200 * time.Millisecond) // for what was said to get through
		if g.parent == nil && g.Speaks() {
			g.link.abort(code)
		}
		time.Sleep(10 * time.Second)
	}
	if g.parent != nil || !g.Speaks() {
		return 0
	}
	return code
}

// Share is the part of a list of n that falls to this rank where all take every Size-th.
func (g *Group) Share(n int) (indices []int) {
	for i := g.Rank(); i < n; i += g.Size() {
		indices = append(indices, i)
	}
	return slices.Clip(indices)
}
