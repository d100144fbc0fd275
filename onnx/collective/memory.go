package collective

import (
	"fmt"
	"slices"
	"sync"
)

// InProcess returns the ranks of a group within this process, one for each goroutine that is to
// take part. Sums are taken in the order of the ranks.
func InProcess(size int) []*Group {
	h := &hall{size: size, brought: make([]any, size)}
	h.all.L = &h.mu
	groups := make([]*Group, size)
	for rank := range groups {
		groups[rank] = &Group{rank: rank, size: size, link: &seat{h, rank}, local: Local{rank, size}}
	}
	return groups
}

// hall is where the goroutines of a group meet.
type hall struct {
	mu      sync.Mutex
	all     sync.Cond
	size    int
	here    int
	round   int
	brought []any
	taken   []any
	gone    []int
}

// seat is one rank's link.
type seat struct {
	*hall
	rank int
}

// exchange returns what all ranks have brought, which none may write to.
func (s *seat) exchange(value any) ([]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.brought[s.rank] = value
	s.here++
	round := s.round
	if s.here == s.size {
		s.taken, s.here = slices.Clone(s.brought), 0
		s.round++
		s.all.Broadcast()
	}
	for s.round == round {
		if len(s.gone) > 0 {
			return nil, &LostError{Rank: s.gone[0], Reason: "it has left"}
		}
		s.all.Wait()
	}
	return s.taken, nil
}

func (s *seat) meet(kind operation, number int) (int, error) {
	all, err := s.exchange([2]int{int(kind), number})
	if err != nil {
		return 0, err
	}
	most, kinds := 0, map[operation]bool{}
	for _, v := range all {
		pair := v.([2]int)
		most = max(most, pair[1])
		kinds[operation(pair[0])] = true
	}
	return most, mixed(kinds, most)
}

// mixed refuses ranks that meet for different things, unless one leaves with an error.
func mixed(kinds map[operation]bool, most int) error {
	if len(kinds) > 1 && most < leftFrom {
		return fmt.Errorf("the ranks are not at the same operation: %v", kinds)
	}
	return nil
}

func (s *seat) sum(data any) error {
	switch data := data.(type) {
	case []float32:
		return sumOf(s, data)
	case []float64:
		return sumOf(s, data)
	}
	return fmt.Errorf("no sums of %T", data)
}

func sumOf[T float32 | float64](s *seat, data []T) error {
	all, err := s.exchange(slices.Clone(data))
	if err != nil {
		return err
	}
	clear(data)
	for _, part := range all {
		for i, v := range part.([]T) {
			data[i] += v
		}
	}
	return nil
}

func (s *seat) broadcast(data []byte, root int) error {
	all, err := s.exchange(slices.Clone(data))
	if err == nil {
		copy(data, all[root].([]byte))
	}
	return err
}

func (s *seat) gather(data []byte, _ []int) ([][]byte, error) {
	all, err := s.exchange(slices.Clone(data))
	if err != nil {
		return nil, err
	}
	parts := make([][]byte, len(all))
	for i, part := range all {
		parts[i] = slices.Clone(part.([]byte))
	}
	return parts, nil
}

func (s *seat) close(bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = append(s.gone, s.rank)
	s.all.Broadcast()
}

func (s *seat) abort(int) {}

func (s *seat) check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.gone) > 0 {
		return &LostError{Rank: s.gone[0], Reason: "it has left"}
	}
	return nil
}
