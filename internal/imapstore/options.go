package imapstore

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/endpoint"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
)

// Logins tells by which log-in the store knows a mailbox. It answers at once, and
// another answer holds from then on: what listens under the one before connects
// anew within Timeouts.Quiet.
type Logins interface {
	// Login returns it. An error is Permanent: the mailbox is not to be opened.
	Login(number mailbox.Number) (string, error)
}

// Timeouts bound every wait on the network. Zero fields take the defaults.
type Timeouts struct {
	// Connect bounds connecting, the TLS handshake and the greeting together.
	Connect time.Duration // default 15 s
	// Read bounds the silence of a server that owes an answer. It is long,
	// because a commit of a big message on a busy disk takes its time.
	Read time.Duration // default 2 min
	// Write bounds one write of at most 64 kB.
	Write time.Duration // default 1 min
	// Quiet is how long a listening connection may be silent until the server
	// is asked whether it is still there, and Answer how long it may take to
	// say so. Together they are less than a minute, and far less than the 29
	// minutes after which an IDLE has to be renewed (RFC 2177).
	Quiet  time.Duration // default 25 s
	Answer time.Duration // default 20 s
	// Listing is how long Overview waits for a list of all mailboxes, which then
	// goes on without it.
	Listing time.Duration // default 20 s
}

// Options describes one store.
type Options struct {
	Name        string // as the operator calls it, for errors and logs
	Address     string // host:port
	Security    site.Security
	CAFile      string // PEM; the system's authorities where empty
	Login       site.Login
	Separator   string // for site.LoginSeparator; default "*"
	TrustedName string
	Password    seal.Secret
	// Logins tells the log-ins of mailboxes; nil where they are their numbers.
	Logins   Logins
	Timeouts Timeouts
	Logger   *slog.Logger
	// Gate bounds the load on the store; nil bounds nothing.
	Gate Gate
	// Memory, the same for all stores of the process, bounds what large answers take
	// together; nil bounds nothing.
	Memory *Memory

	// Reported, where not nil, is called with the id that the server reports about
	// itself, before an account's id is asked for. An error ends the session.
	Reported func(ctx context.Context, serverID string) error
	// Dial replaces net.Dialer.DialContext.
	Dial endpoint.Dial
}

// Store opens sessions on one IMAP message store. It is safe for concurrent
// use and holds no connection of its own.
type Store struct {
	opts Options
	tls  *tls.Config
	gate Gate

	mu sync.Mutex
	// personal is asked once and then believed of every mailbox: asking again
	// would cost each session a round trip. List notices when it has changed.
	personal *namespaces
	// overviewLearned is when it was last seen whether the store offers an
	// overview, overviewSize how many mailboxes that last told of.
	overviewLearned time.Time
	overviewOffered bool
	overviewSize    int
	listedNone      bool    // the last list of all mailboxes showed none
	nextCensus      *census // that has not begun; nil if there is none
	// self and all say until when a login is not tried that the server rejected:
	// that of the trusted account by itself, and that for any mailbox.
	self, all rejection
	// accounts is how the store is asked for the id of an account.
	accounts accountItem
	// lastActed is when the trusted account last acted for a mailbox.
	lastActed time.Time

	rooms *rooms
}

// The interfaces are the copy engine's; Session is asserted beside its type.
var (
	_ copier.Store      = (*Store)(nil)
	_ copier.Overviewer = (*Store)(nil)
)

// New checks the options and returns a Store; it does not connect. Every fault
// of the options is reported, as Config errors joined.
func New(opts Options) (*Store, error) {
	if opts.Separator == "" {
		opts.Separator = "*"
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Dial == nil {
		opts.Dial = (&net.Dialer{}).DialContext
	}
	opts.Timeouts = opts.Timeouts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	s := &Store{opts: opts, gate: opts.Gate, rooms: newRooms()}
	if s.gate == nil {
		s.gate = openGate{}
	}
	var err error
	if s.tls, err = endpoint.TLS(opts.Address, opts.Security, opts.CAFile); err != nil {
		return nil, err
	}
	return s, nil
}

func (t Timeouts) withDefaults() Timeouts {
	if t.Connect == 0 {
		t.Connect = 15 * time.Second
	}
	if t.Read == 0 {
		t.Read = 2 * time.Minute
	}
	if t.Write == 0 {
		t.Write = time.Minute
	}
	if t.Quiet == 0 {
		t.Quiet = 25 * time.Second
	}
	if t.Answer == 0 {
		t.Answer = 20 * time.Second
	}
	if t.Listing == 0 {
		t.Listing = listingPatience
	}
	return t
}

func (o Options) validate() error {
	var errs []error
	bad := func(what, hint string) {
		errs = append(errs, fault.New(fault.Config, "store "+o.Name+": "+what, nil, hint))
	}
	endpoint.Validate(o.Address, "imap.example.org:993", o.Security, bad)
	switch o.Login {
	case site.LoginAuthzid, site.LoginSeparator:
	default:
		bad("login "+strconv.Quote(string(o.Login))+" is unknown", "use authzid or separator")
	}
	if o.TrustedName == "" {
		bad("no trusted name", "give the name of the account that may act for every mailbox")
	}
	if o.Password.Empty() {
		bad("no trusted password", "give the file that holds the trusted account's password")
	}
	if !isPlainText(o.TrustedName) || !isPlainText(o.Separator) || !isPlainText(o.Password.Reveal()) {
		bad("the trusted name, separator or password holds a control character", "")
	}
	return errors.Join(errs...)
}

// isPlainText refuses the control characters that would end a SASL field (NUL)
// or a command line (CR, LF).
func isPlainText(s string) bool {
	for _, r := range s {
		if r < 0x20 || r == 0x7f {
			return false
		}
	}
	return true
}
