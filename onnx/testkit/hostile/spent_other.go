//go:build !unix

package hostile

import "time"

var start = time.Now()

// spent is the time since the start of the process.
func spent() time.Duration { return time.Since(start) }
