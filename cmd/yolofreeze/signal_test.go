//go:build unix

package main

import (
	"os"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"yolofreeze/cmd/term"
)

func init() {
	programs["probing"] = func() {
		os.Exit(execute([]*cli.Command{signalled()}, os.Args, os.Stdin, os.Stdout, os.Stderr))
	}
}

// signalled sends itself signals, as an impatient user does.
func signalled() *cli.Command {
	send := func(s syscall.Signal) { syscall.Kill(os.Getpid(), s) }
	return &cli.Command{
		Name:  "signalled",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "graceful"}, &cli.BoolFlag{Name: "twice"}, &cli.BoolFlag{Name: "term"}, &cli.BoolFlag{Name: "hup"}},
		Action: func(c *cli.Context) error {
			first := syscall.SIGINT
			if c.Bool("term") {
				first = syscall.SIGTERM
			}
			if c.Bool("hup") {
				first = syscall.SIGHUP
			}
			if c.Bool("graceful") {
				term.Of(c).StopGracefully(term.Saving)
			}
			send(first)
			select {
			case <-c.Context.Done():
			case <-time.After(10 * time.Second):
				return term.Usagef("the context did not end")
			}
			if c.Bool("twice") {
				send(syscall.SIGTERM)
				time.Sleep(10 * time.Second)
			}
			c.App.Writer.Write([]byte("saved\n"))
			return c.Context.Err()
		},
	}
}
