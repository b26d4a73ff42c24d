package pgstore

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
)

// The SQLSTATEs that mean something of their own here.
const (
	uniqueViolation     = "23505"
	foreignKeyViolation = "23503"
	checkViolation      = "23514"
	undefinedTable      = "42P01"
	lockNotAvailable    = "55P03"
	deadlockDetected    = "40P01"
	leaseLost           = "ML001" // raised by our own function ledger_lease
	mirrorSuspended     = "ML002" // raised by our own trigger on leases
	secondWriter        = "ML003" // raised by our own trigger on mailboxes
	oneServer           = "ML004" // raised by our own trigger on links
	mustNotWrite        = "ML005" // raised by our own trigger on leases, and by claim_accounts
	directoryCircle     = "ML006" // raised by our own trigger on links
	directoryRefused    = "ML007" // raised by our own trigger on leases
	linkRunning         = "ML008" // raised by our own trigger on leases
	leaseRival          = "ML009" // raised by our own trigger on leases
)

// What an operator can do about mailboxes and stores that are one.
const (
	writerHint = "nothing was added; remove the mailbox from the other link first. If the logins differ only in their case and both stores tell " +
		"them apart: mailmirror store edit STORE --login-case exact. If the mailbox shall be mirrored back to where it came from: mailbox add --reverse"
	serverHint = "source and target must be two servers; if they are, give each an id of its own: mailmirror store edit STORE --server-id ID"
	parkedHint = "Mailmirror writes nothing to this mailbox. Remove one of the mailboxes from its link, or correct the address of the store. If the " +
		"accounts are different ones on different servers, give each server an id of its own: mailmirror store edit STORE --server-id ID"
)

// What an operator can do about a directory that would be mirrored back to where it
// comes from.
const (
	circleHint = "nothing was changed. If a link shall mirror messages alone: link add ... --directory off, or mailmirror link edit LINK --directory off. " +
		"If the directory shall be mirrored back to where it came from: remove the other link first, and use --directory reverse"
	refusedHint = "Mailmirror does not write to this directory. If the link shall mirror messages alone: mailmirror link edit LINK --directory off. " +
		"If the directory shall be mirrored by this link: remove the other link first, then mailmirror link edit LINK --directory reverse"
)

const schemaHint = "the database's schema is missing or of another release: run mailmirror migrate, or start a worker of this release"

// classify gives an error of the database its fault kind, once. An error that
// has one already, and nil, pass unchanged. An error that says only that the
// database failed holds fault.ErrDatabase.
//
// The texts of PostgreSQL are taken without their DETAIL, which would quote
// rows. Our own trigger on leases names the link there.
func classify(op string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		// No answer of the server: no connection, a lost one, or our own
		// context's end. Whether a statement was carried out is not known.
		hint := ""
		if _, connecting := errors.AsType[*pgconn.ConnectError](err); connecting {
			hint = "check that PostgreSQL runs and that the database address is right"
		}
		return fault.New(fault.Transient, op, &failure{text: err.Error(), err: err}, hint)
	}
	text := "database: " + pg.Message + " (SQLSTATE " + pg.Code + ")"
	cause, failed := errors.New(text), &failure{text: text}
	switch {
	case pg.Code == leaseLost:
		return fault.New(fault.Conflict, op+": the write lease was lost to another writer", nil, "")
	case pg.Code == mirrorSuspended:
		return fault.New(fault.Conflict, op, &lease.SuspendedError{Link: pg.Detail}, strings.TrimSpace("mailmirror resume "+pg.Detail))
	case pg.Code == linkRunning:
		return fault.New(fault.Conflict, op, &lease.RunningError{Link: pg.Detail}, "mailmirror suspend "+pg.Detail)
	case pg.Code == leaseRival:
		return fault.New(fault.Conflict, op+": another lease permits to write", nil, "")
	case pg.Code == secondWriter:
		return fault.New(fault.Conflict, op, errors.New(pg.Message), writerHint)
	case pg.Code == oneServer:
		return fault.New(fault.Config, op, errors.New(pg.Message), serverHint)
	case pg.Code == mustNotWrite:
		return fault.New(fault.Config, op, errors.New(pg.Message), parkedHint)
	case pg.Code == directoryCircle:
		return fault.New(fault.Conflict, op, errors.New(pg.Message), circleHint)
	case pg.Code == directoryRefused:
		return refusedDirectory(op, pg.Message)
	case pg.Code == uniqueViolation:
		return fault.New(fault.Conflict, op, cause, "")
	case pg.Code == foreignKeyViolation:
		return fault.New(fault.NotFound, op, cause, "")
	case strings.HasPrefix(pg.Code, "28"): // invalid authorization
		return fault.New(fault.Config, op, failed, "check the user and password of the database address, and pg_hba.conf")
	case pg.Code == "3D000": // invalid catalog name
		return fault.New(fault.Config, op, failed, "create the database first, or correct its name in the database address")
	case pg.Code == "42501": // insufficient privilege
		return fault.New(fault.Config, op, failed, "the database user must own its database and be allowed to connect to it")
	case pg.Code == undefinedTable, pg.Code == "42703", pg.Code == "42883", pg.Code == "3F000":
		return fault.New(fault.Config, op, failed, schemaHint)
	case pg.Code == "25006": // read-only transaction
		return fault.New(fault.Transient, op, failed, "the database is a standby; the address must lead to the primary")
	case strings.HasPrefix(pg.Code, "22"), strings.HasPrefix(pg.Code, "23"), pg.Code == "21000":
		// Data that does not fit: trying it again gives the same answer.
		return fault.New(fault.Permanent, op, cause, "")
	default:
		// Serialization, deadlock, shutdown, no room, too many connections, an
		// I/O error, and what nobody thought of: later it may work.
		return fault.New(fault.Transient, op, failed, "")
	}
}

// failure is a cause that says that the database itself failed; err is what it
// came from, nil where only the text may be kept.
type failure struct {
	text string
	err  error
}

func (f *failure) Error() string { return f.text }

func (f *failure) Unwrap() error { return f.err }

// Is reports fault.ErrDatabase, and leaves all else to the chain.
func (f *failure) Is(target error) bool { return target == fault.ErrDatabase }

// violates reports whether err is the given kind of violation, of the named
// constraint where the name is not empty.
func violates(err error, code, constraint string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == code && (constraint == "" || pg.ConstraintName == constraint)
}

// rivalWait is for how long another lease rejects one.
func rivalWait(err error) time.Duration {
	pg, _ := errors.AsType[*pgconn.PgError](err)
	milliseconds, _ := strconv.ParseInt(pg.Detail, 10, 64)
	return time.Duration(milliseconds) * time.Millisecond
}
