// Package options holds what a run of training can be told: one table from which the command
// line's flags, opt.yaml and what a resumed run may change come, and the values read from it.
package options
