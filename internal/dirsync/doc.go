// Package dirsync mirrors the directory of a link's source to that of its target,
// change by change, over small ports. Package directory compares and plans; this
// package says what a run is, and looks at both sides before anything is written.
package dirsync
