package dataset_test

import (
	"fmt"
	"testing"

	"yolofreeze/dataset"
)

// TestJoinNames: a model's classes come first, the data's behind them, one name one class.
func TestJoinNames(t *testing.T) {
	for _, c := range []struct {
		data, model []string
		want        string
	}{
		{[]string{"x", "y"}, []string{"a", "b", "c"}, "[a b c x y] 3 4"},
		{[]string{"x", "b"}, []string{"a", "b", "c"}, "[a b c x] 3 1"},
		{[]string{"c", "a"}, []string{"a", "b", "c"}, "[a b c] 2 0"},
	} {
		labels := []dataset.Label{{Class: 0}, {Class: 1}}
		s := &dataset.Set{Names: c.data, Splits: map[string][]dataset.Sample{"val": {{Labels: labels}}}}
		s.JoinNames(c.model)
		if got := fmt.Sprint(s.Names, " ", labels[0].Class, " ", labels[1].Class); got != c.want {
			t.Errorf("%v behind %v: %s, want %s", c.data, c.model, got, c.want)
		}
		if c.model[0] != "a" || len(c.model) != 3 {
			t.Errorf("the model's list became %v", c.model)
		}
	}
}

// TestMatchNames: a class is its name before it is its number.
func TestMatchNames(t *testing.T) {
	for _, c := range []struct {
		data, model []string
		want        string
	}{
		{[]string{"a", "b"}, []string{"a", "b"}, "[a b] 0 1"},
		{[]string{"b", "a"}, []string{"a", "b"}, "[a b] 1 0 moved"},
		{[]string{"b", "c"}, []string{"a", "b", "c"}, "[a b c] 1 2 moved"},
		{[]string{"x", "y"}, []string{"class0", "class1"}, "[x y] 0 1"},
		{[]string{"a", "y"}, []string{"a", "b"}, "[a y] 0 1"},
		{[]string{"b", "y"}, []string{"a", "b"}, "x: its classes are not the model's: 2 in the data: b, y; 2 in the model: a, b"},
		{[]string{"x", "y"}, []string{"x"}, "x: its classes are not the model's: 2 in the data: x, y; 1 in the model: x"},
	} {
		labels := []dataset.Label{{Class: 0}, {Class: 1}}
		s := &dataset.Set{Path: "x", Names: c.data, Splits: map[string][]dataset.Sample{"val": {{Labels: labels}}}}
		moved, err := s.MatchNames(c.model)
		got := fmt.Sprint(s.Names, " ", labels[0].Class, " ", labels[1].Class)
		if moved {
			got += " moved"
		}
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%v of %v: %s, want %s", c.data, c.model, got, c.want)
		}
	}
}
