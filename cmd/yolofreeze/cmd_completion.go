package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// completeCommand is what the shells' scripts call with the words up to the
// cursor; it prints a line "word<TAB>description" for each that may stand there.
const completeCommand = "__complete"

func completionCommand() *cli.Command {
	shell := func(name, install, script string) *cli.Command {
		return &cli.Command{
			Name:        name,
			Usage:       "print the script for " + name,
			Description: "To install it: " + install,
			Action: func(c *cli.Context) error {
				if err := needArgs(c, 0, 0); err != nil {
					return err
				}
				return termOf(c).result(map[string]string{"shell": name, "script": script}, func(w io.Writer) error {
					_, err := io.WriteString(w, script)
					return err
				})
			},
		}
	}
	return &cli.Command{
		Name:  "completion",
		Usage: "print a completion script for a shell",
		Subcommands: []*cli.Command{
			shell("bash", "yolofreeze completion bash > ~/.local/share/bash-completion/completions/yolofreeze", bashScript),
			shell("zsh", `yolofreeze completion zsh > "${fpath[1]}/_yolofreeze"`, zshScript),
			shell("fish", "yolofreeze completion fish > ~/.config/fish/completions/yolofreeze.fish", fishScript),
		},
	}
}

// complete prints what may stand as the last of words. Where that is a value or
// an argument it prints nothing, and the shell offers files.
func complete(a *cli.App, words []string, w io.Writer) {
	if len(words) == 0 {
		words = []string{""}
	}
	before, word := words[:len(words)-1], words[len(words)-1]
	cmd, depth := find(a, before)
	if depth < len(before) && (cmd == nil || takesValue(cmd, before[len(before)-1])) {
		return
	}
	offer := func(name, usage string) {
		if strings.HasPrefix(name, word) {
			usage, _, _ = strings.Cut(strings.ReplaceAll(usage, "`", ""), "\n")
			fmt.Fprintf(w, "%s\t%s\n", name, usage)
		}
	}
	if strings.HasPrefix(word, "-") {
		if cmd != nil {
			for _, f := range cmd.Flags {
				if d, ok := f.(cli.DocGenerationFlag); ok {
					offer("--"+f.Names()[0], d.GetUsage())
				}
			}
		}
		offer("--help", "show help")
		return
	}
	list := a.Commands
	if cmd != nil {
		list = cmd.Subcommands
	}
	for _, c := range list {
		if depth == len(before) && !c.Hidden {
			offer(c.Name, c.Usage)
		}
	}
}

const bashScript = `# bash completion for yolofreeze
_yolofreeze() {
    local IFS=$'\n' words
    words=("${COMP_WORDS[@]:1:COMP_CWORD}")
    COMPREPLY=($("${COMP_WORDS[0]}" ` + completeCommand + ` "${words[@]}" 2>/dev/null | cut -f1))
}
complete -o default -F _yolofreeze yolofreeze
`

const zshScript = `#compdef yolofreeze
# zsh completion for yolofreeze
_yolofreeze() {
    local -a lines offers
    local line
    lines=("${(@f)$("${words[1]}" ` + completeCommand + ` "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    for line in $lines; do
        [[ -n $line ]] && offers+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    if (( ${#offers} )); then
        _describe yolofreeze offers
    else
        _files
    fi
}
if [[ $funcstack[1] == _yolofreeze ]]; then
    _yolofreeze "$@"
else
    compdef _yolofreeze yolofreeze
fi
`

const fishScript = `# fish completion for yolofreeze
function __yolofreeze_complete
    set -l before (commandline -opc)
    set -l word (commandline -ct)
    yolofreeze ` + completeCommand + ` $before[2..-1] "$word" 2>/dev/null
end
complete -c yolofreeze -a '(__yolofreeze_complete)'
`
