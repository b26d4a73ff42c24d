package control

import (
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/quota"
	"mailmirror/internal/watch"
)

// Security is how a connection is protected.
type Security string

// The three ways of RFC 8314 and before.
const (
	SecurityNone     Security = "none"
	SecurityStartTLS Security = "starttls"
	SecurityTLS      Security = "tls"
)

// Login is how the trusted server names the mailbox that it acts for.
type Login string

const (
	// LoginAuthzid is SASL PLAIN with an authorization identity (RFC 4616).
	LoginAuthzid Login = "authzid"
	// LoginSeparator is LOGIN as "mailbox<separator>trusted", Dovecot's master
	// user log-in.
	LoginSeparator Login = "separator"
)

// LoginCase says whether a store tells apart logins that differ only in their case.
type LoginCase string

const (
	// LoginFold means that such logins are one account. It is the default: if one
	// account were mirrored as two, its messages would be duplicated.
	LoginFold LoginCase = "fold"
	// LoginExact means that they are two accounts.
	LoginExact LoginCase = "exact"
)

// Store is one message store as the operator configured it.
type Store struct {
	Name        string   `json:"name"`
	IMAPAddress string   `json:"imap"` // host:port
	Security    Security `json:"imap_security"`
	CAFile      string   `json:"ca_file,omitempty"` // PEM; "" means the system's
	Login       Login    `json:"login"`
	Separator   string   `json:"separator,omitempty"`
	TrustedName string   `json:"trusted_name"`
	// SealedPassword is the trusted server's password, sealed with the key
	// file under the identity "store/<name>/trusted_password".
	SealedPassword []byte           `json:"-"`
	Greetings      mailbox.Patterns `json:"greetings"`
	// MinimumRelease is the oldest release of the server that the operator
	// accepts, compared by number ("2.3.19"); "" accepts every one.
	MinimumRelease string `json:"minimum_release,omitempty"`
	// MaxConnections is how many connections to the store all processes together
	// hold at most, those that listen included; 0 is no such bound. MaxSessions
	// bounds those that do not listen, MaxListings lists of all mailboxes by one
	// command at a time, MaxLogins logins per second; 0 is the default of
	// quota.DefaultBounds.
	MaxConnections int `json:"max_connections,omitempty"`
	MaxSessions    int `json:"max_sessions,omitempty"`
	MaxListings    int `json:"max_listings,omitempty"`
	MaxLogins      int `json:"max_logins,omitempty"`
	// Events is how the store is listened to, IdleLimit how many connections
	// of one mailbox each that may take, and PollEvery how often is read what
	// nobody hears of.
	Events    watch.Mode    `json:"events"`
	IdleLimit int           `json:"max_idle"`
	PollEvery time.Duration `json:"poll_every_ns"`
	CreatedAt time.Time     `json:"created_at"`
	UpdatedAt time.Time     `json:"updated_at"`
	// LoginCase says whether two spellings of a mailbox number are one account.
	LoginCase LoginCase `json:"login_case"`
	// ServerID is the id that the operator gave the server, ReportedID the one that
	// the server reports about itself (ID, RFC 2971); "" where there is none. Stores
	// with different ids are different servers, stores with the same id are one.
	ServerID   string `json:"server_id,omitempty"`
	ReportedID string `json:"reported_server_id,omitempty"`
	// Addresses are those at which the server was found: see ServerAddresses. Nil
	// leaves what is recorded as it is.
	Addresses []string `json:"server_addresses,omitempty"`
	// LoginsVersion is another one whenever log-ins of its mailboxes may be others:
	// see DirectoryConfig.Logins.
	LoginsVersion int64 `json:"-"`
}

// Bounds are the bounds of the load on the store; source is whether a link has it
// as its source.
func (s Store) Bounds(source bool) quota.Bounds {
	set := quota.Bounds{Sessions: s.MaxSessions, Listings: s.MaxListings, Logins: s.MaxLogins,
		Listeners: s.IdleLimit, Connections: s.MaxConnections}
	return set.Or(quota.DefaultBounds(source))
}

// Link is a directed pair of stores.
type Link struct {
	Name    string           `json:"name"`
	Source  string           `json:"source"`
	Target  string           `json:"target"`
	Exclude mailbox.Patterns `json:"exclude,omitempty"`
	// Bandwidth bounds what is copied, bytes per second, but in the windows, in
	// which another rate holds: see quota.ParseWindow. They are meant in the time
	// zone, "" is UTC.
	Bandwidth         quota.Rate `json:"bandwidth,omitempty"`
	BandwidthWindows  []string   `json:"bandwidth_windows,omitempty"`
	BandwidthTimezone string     `json:"bandwidth_timezone,omitempty"`
	CreatedAt         time.Time  `json:"created_at"`
	// Directory says whether the link mirrors the directories of its stores.
	Directory LinkDirectory `json:"mirror_directory,omitempty"`
}

// LinkDirectory says whether a link mirrors the directories of its stores.
type LinkDirectory string

const (
	// LinkDirectoryOn mirrors them if both stores have one, but never to where the
	// source's directory comes from or came from.
	LinkDirectoryOn LinkDirectory = ""
	// LinkDirectoryOff never mirrors them.
	LinkDirectoryOff LinkDirectory = "off"
	// LinkDirectoryReverse also mirrors them to where the source's directory came from
	// by a link that does not mirror it any more.
	LinkDirectoryReverse LinkDirectory = "reverse"
)

// MailboxState is what the operator sees of a mailbox's standing.
type MailboxState string

const (
	// StateNew: never compared yet.
	StateNew MailboxState = "new"
	// StateEqual: equal when last compared, and nothing is due.
	StateEqual MailboxState = "equal"
	// StateDiffering: equal but for lasting differences.
	StateDiffering MailboxState = "differing"
	// StateHeld: equal but for deletions that wait for the operator.
	StateHeld MailboxState = "held"
	// StateDirty: work is due.
	StateDirty MailboxState = "dirty"
	// StateParked: keeps failing; tried again at NextAttemptAt and by the next
	// compare.
	StateParked MailboxState = "parked"
)

// Mailbox is one participating mailbox and its state.
type Mailbox struct {
	Link            string         `json:"link"`
	Number          mailbox.Number `json:"number"`
	State           MailboxState   `json:"state"`
	DirtyGeneration int64          `json:"dirty_generation"`
	CleanGeneration int64          `json:"clean_generation"`
	// DirtySince is the oldest moment at which a change was seen and not yet
	// mirrored; zero where nothing is due.
	DirtySince   time.Time `json:"dirty_since,omitzero"`
	LastEqualAt  time.Time `json:"last_equal_at,omitzero"`
	LastReviewAt time.Time `json:"last_review_at,omitzero"`
	// Failures is the number of failed syncs in a row.
	Failures      int       `json:"failures"`
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	ErrorKind     string    `json:"error_kind,omitempty"`
	Error         string    `json:"error,omitempty"`
	Hint          string    `json:"hint,omitempty"`
	ErrorAt       time.Time `json:"error_at,omitzero"`
	Messages      int       `json:"messages"`
	Greetings     int       `json:"greetings"`
	Differences   int       `json:"differences"`
	// Held is how many messages of the target wait to be deleted.
	Held      int       `json:"held"`
	CreatedAt time.Time `json:"created_at"`
	// SourceLogin and TargetLogin are the IMAP log-ins by which each store knows
	// it; "" where that is the number, or not known. Only Control.Mailbox tells.
	SourceLogin string `json:"source_login,omitempty"`
	TargetLogin string `json:"target_login,omitempty"`
}
