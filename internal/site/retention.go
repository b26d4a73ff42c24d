package site

import (
	"time"
)

// Retention is how long the record of what was done is kept, from when it was
// recorded. What is older than History moves to the archive, month by month, and
// what is older than Archive is dropped.
type Retention struct {
	History time.Duration `json:"history_ns"`
	Archive time.Duration `json:"archive_ns"`
}

// Retained is what one purge did: months and records.
type Retained struct {
	Made     int `json:"made"`     // months for which room was made ahead
	Archived int `json:"archived"` // months that moved to the archive
	Dropped  int `json:"dropped"`  // months that were dropped
	Compares int `json:"compares"` // compares that were dropped
}
