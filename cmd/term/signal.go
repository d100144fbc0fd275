package term

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Interrupted is why a context ended when a signal ended it.
type Interrupted struct{ By os.Signal }

func (i Interrupted) Error() string     { return "interrupted by signal: " + i.By.String() }
func (i Interrupted) Signal() os.Signal { return i.By }

// StopGracefully says that the command heeds its context: the first signal then
// only ends the context, and the command does how, such as saving its state.
func (t *Terminal) StopGracefully(how string) { t.graceful.Store(how) }

// Saving is what training does when it is asked to stop.
const Saving = "finishing the step and saving"

// WatchSignals ends the context at an interrupt, or the process when the command
// does not stop gracefully or is asked again.
func (t *Terminal) WatchSignals(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals, done := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as nohup does
		signal.Notify(signals, syscall.SIGHUP)
	}
	signal.Ignore(syscall.SIGPIPE)
	go func() {
		for {
			select {
			case s := <-signals:
				reason := Interrupted{s}
				how := t.graceful.Load()
				if how == nil || ctx.Err() != nil {
					os.Exit(t.Fail(reason))
				}
				t.Warnf("%v: %s; once more leaves at once", reason, how)
				cancel(reason)
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}
