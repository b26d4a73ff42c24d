// Package hostile holds the tests in which a store does what no store should: it
// never ends, nests without end, announces what does not come, and quotes what
// nobody may be shown. They have a process of their own, whose memory is measured.
package hostile
