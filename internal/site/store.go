package site

import (
	"net"
	"strings"
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/quota"
)

// PasswordIdentity is what a store's trusted-server password is sealed under.
func PasswordIdentity(store string) string { return "store/" + store + "/trusted_password" }

// PlainPassword reports whether the store's password crosses a network in
// clear, which an operator should know.
func PlainPassword(s Store) bool {
	host, _, err := net.SplitHostPort(s.IMAPAddress)
	if err != nil || s.Security != SecurityNone {
		return false
	}
	ip := net.ParseIP(host)
	return !strings.EqualFold(host, "localhost") && (ip == nil || !ip.IsLoopback())
}

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
	Events    ListenMode    `json:"events"`
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
	// see control.DirectoryConfig.
	LoginsVersion int64 `json:"-"`
}

// Bounds are the bounds of the load on the store; source is whether a link has it
// as its source.
func (s Store) Bounds(source bool) quota.Bounds {
	set := quota.Bounds{Sessions: s.MaxSessions, Listings: s.MaxListings, Logins: s.MaxLogins,
		Listeners: s.IdleLimit, Connections: s.MaxConnections}
	return set.Or(quota.DefaultBounds(source))
}
