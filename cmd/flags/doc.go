// Package flags is what the command line is read with: kinds of flags that urfave/cli does
// not have, the flags of train's options, which other commands share, and how flags come
// from words, variables and a file; their help and completion.
package flags
