package dataset

import (
	"fmt"
	"slices"
	"strings"
)

// MatchNames gives the set the classes of a model. Where all of the set's are among them,
// objects are matched by name, whatever the order. Where as many have other names they are
// matched by number, but not if a name is that of another number in the model. All else
// is an error with both lists. It tells whether objects were matched anew.
func (s *Set) MatchNames(model []string) (moved bool, err error) {
	if slices.Equal(s.Names, model) {
		return false, nil
	}
	to, strange := make([]int, len(s.Names)), false
	for i, name := range s.Names {
		to[i] = slices.Index(model, name)
		strange = strange || to[i] < 0
		moved = moved || to[i] >= 0 && to[i] != i
	}
	switch {
	case strange && (moved || len(model) != len(s.Names)):
		return false, fmt.Errorf("%s: its classes are not the model's: %d in the data: %s; %d in the model: %s",
			s.Path, len(s.Names), ListNames(s.Names), len(model), ListNames(model))
	case strange:
		return false, nil
	}
	s.rename(model, to)
	return true, nil
}

// JoinNames puts the classes of a model, in its order, before those of the data that it
// does not have. Classes of one name are one.
func (s *Set) JoinNames(model []string) {
	joint, to := slices.Clone(model), make([]int, len(s.Names))
	for i, name := range s.Names {
		if to[i] = slices.Index(joint, name); to[i] < 0 {
			to[i], joint = len(joint), append(joint, name)
		}
	}
	s.rename(joint, to)
}

// rename gives the set other classes, to[i] in the place of i.
func (s *Set) rename(names []string, to []int) {
	for _, samples := range s.Splits {
		for i := range samples {
			for k := range samples[i].Labels {
				samples[i].Labels[k].Class = to[samples[i].Labels[k].Class]
			}
		}
	}
	s.Names = slices.Clone(names)
}

// ListNames is a list of classes for a line: the first of them.
func ListNames(names []string) string {
	const some = 20
	if len(names) > some {
		return strings.Join(names[:some], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}
