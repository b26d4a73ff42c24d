// Package dirsynctest holds two directories of a link and the record of the runs over
// them in memory, for tests of the engine and of what calls it.
package dirsynctest
