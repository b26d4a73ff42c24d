package verdict

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// Store is what a look at a store found.
type Store struct {
	Store   string `json:"store"`
	Address string `json:"imap"`
	// Server and Release are as the server names itself (ID, RFC 2971, or its
	// greeting); "" where it does not tell.
	Server         string `json:"server"`
	Release        string `json:"release"`
	MinimumRelease string `json:"minimum_release,omitempty"`
	// TLS is the version and cipher suite of the connection; "" without.
	TLS string `json:"tls,omitempty"`
	// CertificateExpires is the end of the server certificate's life.
	CertificateExpires time.Time `json:"certificate_expires,omitzero"`
	Capabilities       []string  `json:"capabilities"`
	// Connect is from dialling to the greeting, TLS included; LoginTime that of
	// the log-in; RoundTrip the median of several NOOPs.
	Connect   time.Duration `json:"connect_ns"`
	LoginTime time.Duration `json:"login_ns"`
	RoundTrip time.Duration `json:"round_trip_ns"`
	// Prefix and Separator are those of the personal namespace (RFC 2342).
	Prefix    string `json:"namespace_prefix"`
	Separator string `json:"namespace_separator"`
	// Overview is how the trusted server sees many mailboxes in one namespace
	// ("users/"), so that one command reviews hundreds; "" where it does not.
	Overview string `json:"overview"`
	// Load says how Mailmirror limits the load on the store below its settings, and
	// whether a list of all mailboxes is worth its cost.
	Load []string `json:"load,omitempty"`
	// Events is how the store is listened to, and EventsWhy why in this way.
	Events    site.ListenMode `json:"events"`
	EventsWhy string          `json:"events_why,omitempty"`
	// Mailbox is the mailbox that was acted for, with what it holds; "" where
	// none was named.
	Mailbox mailbox.Number `json:"mailbox,omitempty"`
	// Undetermined says of the other stores of its links what is not known of
	// whether they are the same server.
	Undetermined []string `json:"undetermined,omitempty"`
	Folders      int      `json:"folders"`
	Messages     int64    `json:"messages"`
	Greetings    int64    `json:"greetings"`
	// Advice is what is missing and what it costs, worst first.
	Advice []Advice `json:"advice"`
	// Directory is what was found of the store's directory; nil where it has none.
	Directory *Directory `json:"directory,omitempty"`
}

// Directory is what a look at a store's directory found.
type Directory struct {
	Address string `json:"ldap"`
	// Server and Release are as the server names itself; "" where it does not.
	Server  string `json:"server,omitempty"`
	Release string `json:"release,omitempty"`
	// TLS is the version and cipher suite of the connection; "" without.
	TLS                string        `json:"tls,omitempty"`
	CertificateExpires time.Time     `json:"certificate_expires,omitzero"`
	Connect            time.Duration `json:"connect_ns,omitempty"`
	// Entries is how many mailboxes were found, at least, where AtLeast is true.
	Entries int  `json:"entries"`
	AtLeast bool `json:"at_least,omitempty"`
	// Writable are the attributes that may be written, which is tried only of what is
	// the target of a link.
	Writable []string `json:"writable,omitempty"`
	// TriedOn is the name of the entry on which that was tried.
	TriedOn string `json:"tried_on,omitempty"`
	// Faults are what keeps the directory from being mirrored, Advice is what is
	// worse than it could be: sentences for the operator.
	Faults []string `json:"faults"`
	Advice []string `json:"advice"`
}

// Rights are what was found out about writing to a directory: see Directory.
type Rights struct {
	// Writable are the attributes that may be written, as the mapping names them.
	Writable []string
	// TriedOn is the name of the entry that was tried first; "" where none was.
	TriedOn string
	// Faults are what may not, Advice what could not be found out: sentences for the
	// operator.
	Faults, Advice []string
}

// StoreRun is the record of a look at a store that has ended.
type StoreRun struct {
	RunID string
	Store string
	// Mailbox is the mailbox that was acted for, "" for none.
	Mailbox               mailbox.Number
	StartedAt, FinishedAt time.Time
	Report                Store
	// Failure says what is wrong with the store or its settings; empty if the look
	// found nothing.
	Failure
}

// Advice names an extension that a store lacks and what is slower, or less
// sure, without it. If Missing is "", Effect says something else about the store.
type Advice struct {
	Missing string `json:"missing"`
	Effect  string `json:"effect"`
}

// CheckMinimum refuses a server that is older than the operator accepts, and
// one that does not say how old it is.
func (r Store) CheckMinimum(minimum string) error {
	if r.Release == "" {
		return fault.New(fault.Config, "the server does not tell its release, and "+minimum+" is the oldest that is accepted", nil,
			"clear the minimum with: mailmirror store edit "+r.Store+` --minimum-release ""`)
	}
	if compareReleases(r.Release, minimum) < 0 {
		return fault.New(fault.Config, fmt.Sprintf("the server's release %s is older than %s, the oldest that is accepted", r.Release, minimum), nil,
			"update the server, or lower the minimum with: mailmirror store edit "+r.Store+" --minimum-release "+r.Release)
	}
	return nil
}

// compareReleases compares the leading numbers of two releases: "2.3.19.1
// (9b53102964)" is above "2.3.19". A part that is missing counts as 0.
func compareReleases(a, b string) int {
	x, y := releaseNumbers(a), releaseNumbers(b)
	for i := range max(len(x), len(y)) {
		var n, m int
		if i < len(x) {
			n = x[i]
		}
		if i < len(y) {
			m = y[i]
		}
		if c := cmp.Compare(n, m); c != 0 {
			return c
		}
	}
	return 0
}

func releaseNumbers(release string) []int {
	release = strings.TrimLeft(release, "vV ")
	var numbers []int
	for part := range strings.SplitSeq(release, ".") {
		end := 0
		for end < len(part) && part[end] >= '0' && part[end] <= '9' {
			end++
		}
		n, err := strconv.Atoi(part[:end])
		if err != nil {
			break
		}
		numbers = append(numbers, n)
		if end < len(part) {
			break
		}
	}
	return numbers
}
