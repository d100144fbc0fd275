package main

import (
	"io"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/flags"
	"yolofreeze/cmd/term"
)

// buildVersion is what versionCommand prints; its JSON keys are stable.
type buildVersion struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print the version",
		Action: func(c *cli.Context) error {
			if err := flags.NeedArgs(c, 0, 0); err != nil {
				return err
			}
			v := readVersion()
			return term.Of(c).Result(v, func(w io.Writer) error {
				_, err := term.Fprintf(w, "yolofreeze %s (%s, %s)\n", v.Version, v.Go, v.Platform)
				return err
			})
		},
	}
}

// release is the version that scripts/release.sh builds, "" elsewhere.
var release string

// readVersion says what the Go tool noted in the binary.
func readVersion() buildVersion {
	v := buildVersion{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	if release != "" {
		v.Version = release
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
