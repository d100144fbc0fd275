package runs

import (
	"strings"
	"testing"
)

// TestCell: names of classes are no formulas in a spreadsheet, and are read back as they were.
func TestCell(t *testing.T) {
	for _, name := range []string{"=cmd|'/c calc'!A1", "+1", "-dog", "@sum", "\tx", "cat", "", "'quoted'", "a=b"} {
		lines, err := ClassLines(0, []Class{{Name: name}})
		if err != nil {
			t.Fatal(err)
		}
		cell := Cell(name)
		if strings.HasPrefix(cell, "=") || strings.HasPrefix(cell, "+") || strings.HasPrefix(cell, "-") || strings.HasPrefix(cell, "@") || CellText(cell) != name {
			t.Errorf("%q is written as %q and read as %q", name, cell, CellText(cell))
		}
		if strings.Contains(lines, ",=") || strings.Contains(lines, ",@") {
			t.Errorf("per_class.csv holds a formula: %s", lines)
		}
	}
}
