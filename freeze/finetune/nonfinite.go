package finetune

import (
	"fmt"
	"strings"
)

// NonFiniteError says that training left the numbers.
type NonFiniteError struct {
	Epoch, Batch int
	What         string
	Pictures     []string
	Kept         string // the last good checkpoint, "" when there is none yet
}

func (e *NonFiniteError) Error() string {
	text := fmt.Sprintf("epoch %d, batch %d: %s", e.Epoch, e.Batch, e.What)
	if len(e.Pictures) > 0 {
		text += ", on pictures " + strings.Join(e.Pictures, ", ")
	}
	if e.Kept != "" {
		text += "; the last good checkpoint is " + e.Kept
	}
	return text
}

// NonFinite marks the error for the exit code.
func (e *NonFiniteError) NonFinite() bool { return true }

// Hint says what usually helps.
func (e *NonFiniteError) Hint() string {
	return "lower lr0 in the hyperparameters, or look at these pictures' labels"
}
