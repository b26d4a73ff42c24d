// Package quota decides how several processes share what is bounded: how many
// of a store's connections each may hold, and how fast a link may copy at a
// given time. It must not know where the figures are kept, nor the clock.
package quota
