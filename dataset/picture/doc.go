// Package picture decodes pictures as OpenCV does and changes their size and
// colours: 8-bit RGB in memory, within limits of size.
package picture
