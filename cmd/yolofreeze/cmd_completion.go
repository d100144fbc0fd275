package main

import (
	"io"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
)

func completionCommand() *cli.Command {
	shell := func(name, install, script string) *cli.Command {
		return &cli.Command{
			Name:        name,
			Usage:       "print the script for " + name,
			Description: "To install it: " + install,
			Action: func(c *cli.Context) error {
				if err := flags.NeedArgs(c, 0, 0); err != nil {
					return err
				}
				return term.Of(c).Result(map[string]string{"shell": name, "script": script}, func(w io.Writer) error {
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

const bashScript = `# bash completion for yolofreeze
_yolofreeze() {
    local IFS=$'\n' words
    words=("${COMP_WORDS[@]:1:COMP_CWORD}")
    COMPREPLY=($("${COMP_WORDS[0]}" ` + flags.CompleteCommand + ` "${words[@]}" 2>/dev/null | cut -f1))
}
complete -o default -F _yolofreeze yolofreeze
`

const zshScript = `#compdef yolofreeze
# zsh completion for yolofreeze
_yolofreeze() {
    local -a lines offers
    local line
    lines=("${(@f)$("${words[1]}" ` + flags.CompleteCommand + ` "${(@)words[2,CURRENT]}" 2>/dev/null)}")
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
    yolofreeze ` + flags.CompleteCommand + ` $before[2..-1] "$word" 2>/dev/null
end
complete -c yolofreeze -a '(__yolofreeze_complete)'
`
