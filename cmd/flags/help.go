package flags

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/term"
)

func init() {
	// One sentence in the description replaces a variable's name on every line of help.
	describe := cli.FlagStringer
	cli.FlagStringer = func(f cli.Flag) string {
		text, _, _ := strings.Cut(describe(f), " [$YOLOFREEZE_")
		return text
	}
	cli.HelpPrinter = func(w io.Writer, text string, data any) {
		cli.HelpPrinterCustom(w, text, data, map[string]any{"groups": groups, "codes": codes})
	}
	cli.AppHelpTemplate += exitCodeTemplate
	cli.CommandHelpTemplate = commandTemplate + exitCodeTemplate
	cli.SubcommandHelpTemplate = cli.CommandHelpTemplate
}

// commandTemplate has flags by groups, in the order in which a command lists them;
// urfave/cli's own sorts groups by name.
const commandTemplate = `NAME:
   {{template "helpNameTemplate" .}}

USAGE:
   {{template "usageTemplate" .}}{{if .Description}}

DESCRIPTION:
   {{template "descriptionTemplate" .}}{{end}}{{if .VisibleCommands}}

COMMANDS:{{template "visibleCommandCategoryTemplate" .}}{{end}}
{{range groups .VisibleFlags}}
{{.Name}}:{{range .Flags}}
   {{.}}{{end}}
{{end}}`

const exitCodeTemplate = `
EXIT CODES:
   {{codes}}
`

// flagGroup is a heading of help and what stands under it.
type flagGroup struct {
	Name  string
	Flags []cli.Flag
}

// groups sorts flags by their groups, those of none to the last.
func groups(flags []cli.Flag) []*flagGroup {
	var list []*flagGroup
	named := map[string]*flagGroup{}
	add := func(name string, f cli.Flag) {
		g := named[name]
		if g == nil {
			g = &flagGroup{Name: name}
			named[name], list = g, append(list, g)
		}
		g.Flags = append(g.Flags, f)
	}
	var others []cli.Flag
	for _, f := range flags {
		if c, ok := f.(cli.CategorizableFlag); ok && c.GetCategory() != "" {
			add(strings.ToUpper(c.GetCategory()), f)
		} else {
			others = append(others, f)
		}
	}
	rest := "OTHERS"
	if len(list) == 0 {
		rest = "OPTIONS"
	}
	for _, f := range others {
		add(rest, f)
	}
	return list
}

// codes lists the exit codes of all commands.
func codes() string {
	list := make([]string, len(term.ExitCodes))
	for i, c := range term.ExitCodes {
		list[i] = fmt.Sprintf("%-5d%s", c.Code, c.Means)
	}
	return strings.Join(list, "\n   ")
}
