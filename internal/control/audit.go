package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"

	"mailmirror/internal/audit"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// AuditLog is the record of what actors changed. A changing method of any port to the
// database writes the entry of its context (audit.From) in the transaction of the
// change, unless an earlier one of the same command did.
type AuditLog interface {
	// Record writes an entry that belongs to no change of the database, and sets its
	// ID. An empty Outcome means audit.Done.
	Record(ctx context.Context, e *audit.Entry) error
	// SetOutcome records how the command of a row ended. A row that is no more is no error.
	SetOutcome(ctx context.Context, id int64, o audit.Outcome) error
	// Audit lists newest first, at most limit (0 means all). If a link is named, it
	// leaves out what is about other links, or about stores that the link does not
	// have. The link need not exist any more.
	Audit(ctx context.Context, link string, limit int) ([]audit.Entry, error)
}

// commands says which role each changing command needs.
var commands = map[string]audit.Role{
	"store add": audit.Administrator, "store edit": audit.Administrator, "store remove": audit.Administrator,
	"link add": audit.Administrator, "link edit": audit.Administrator, "link remove": audit.Administrator,
	"mailbox add": audit.Administrator, "mailbox remove": audit.Administrator,
	"guard set": audit.Administrator, "schedule set": audit.Administrator,
	"compare": audit.Operator, "sync": audit.Operator, "ledger rebuild": audit.Operator,
	"directory sync": audit.Operator, "directory retry": audit.Operator,
	"guard approve": audit.Operator, "guard refuse": audit.Operator,
	"schedule pause": audit.Operator, "schedule resume": audit.Operator, "schedule run-now": audit.Operator,
	"verify stop": audit.Operator, "suspend": audit.Operator, "resume": audit.Operator,
}

// As returns a Control whose commands run as an actor. One that New returned has no
// actor: it can only be asked.
func (c *Control) As(a audit.Actor) *Control {
	as := *c
	as.actor = a
	return &as
}

// Audit lists what actors changed: see AuditLog.
func (c *Control) Audit(ctx context.Context, link string, limit int) ([]audit.Entry, error) {
	return c.ports.Audit.Audit(ctx, link, limit)
}

// allow checks whether the actor may give the command of e. It records that the actor
// may not.
func (c *Control) allow(ctx context.Context, e *audit.Entry) error {
	e.Actor, e.Way = c.actor.Name, c.actor.Way
	role, known := commands[e.Command]
	if known && c.actor.May(role) {
		return nil
	}
	e.Outcome = audit.Denied
	denied := fault.New(fault.Config, e.Command, audit.ErrDenied, fmt.Sprintf("%s needs the role %s", e.Command, role))
	return errors.Join(denied, fault.Wrap(c.ports.Audit.Record(ctx, e), "record that the command was denied"))
}

// Begin begins a command that calls several changing methods. They are given the context
// that it returns, so that the command has one row of the audit log: e, of which Begin
// sets who. The function that it returns is deferred with the command's error.
func (c *Control) Begin(ctx context.Context, e audit.Entry) (context.Context, func(*error), error) {
	return c.begin(ctx, e)
}

// begin begins a changing command. If the actor may give it, begin returns the context
// for its work, by which its first change writes e, and a function that is deferred
// with the command's error. If ctx belongs to a command (Begin), e is a part of it: only
// the command has a row.
func (c *Control) begin(ctx context.Context, e audit.Entry) (context.Context, func(*error), error) {
	if err := errors.Join(c.allow(ctx, &e), c.options.Outdated); err != nil {
		return ctx, nil, err
	}
	if whole := audit.From(ctx); whole != nil {
		return ctx, func(err *error) {
			if *err == nil && whole.Outcome == audit.Done { // what follows may fail
				whole.Outcome = ""
			}
		}, nil
	}
	return audit.With(ctx, &e), func(err *error) {
		var outcome audit.Outcome
		switch asked := e.Outcome == audit.Asked; {
		case e.ID == 0: // nothing was changed
			return
		case asked && fault.Is(*err, fault.Transient): // Temporal may have made the change
			return
		case *err != nil && e.Outcome != audit.Done:
			outcome = audit.Failed
		case asked:
			outcome = audit.Done
		default:
			return
		}
		recording, cancel := ending(ctx)
		defer cancel()
		unrecorded := c.ports.Audit.SetOutcome(recording, e.ID, outcome)
		*err = errors.Join(*err, fault.Wrap(unrecorded, "record how the command ended"))
	}, nil
}

// ending is the context for what a command has to do at its end although the operator
// interrupted it. It ends by itself if the database or Temporal does not answer.
func ending(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
}

// detail says what the command changes, if its entry does not say it.
func detail(ctx context.Context, text string) {
	e := audit.From(ctx)
	e.Detail = cmp.Or(e.Detail, text)
}

// made says that the change of the command is made. If a later step fails, Mailmirror
// repeats that step by itself.
func made(ctx context.Context) { audit.From(ctx).Outcome = audit.Done }

// ask records that the command of ctx is about to ask Temporal for its change, which
// has no transaction in the database.
func (c *Control) ask(ctx context.Context) error {
	e := audit.From(ctx)
	e.Outcome = audit.Asked
	return c.ports.Audit.Record(ctx, e)
}

// changes names the fields in which two structs of a type differ: "imap address,
// password". It shows no value, which may be a secret.
func changes[T any](before, after T) string {
	return strings.Join(differing(reflect.ValueOf(before), reflect.ValueOf(after)), ", ")
}

func differing(before, after reflect.Value) []string {
	var names []string
	for i := range before.NumField() {
		switch field := before.Type().Field(i); {
		case field.Anonymous:
			names = append(names, differing(before.Field(i), after.Field(i))...)
		case !reflect.DeepEqual(before.Field(i).Interface(), after.Field(i).Interface()):
			names = append(names, words(field.Name))
		}
	}
	return names
}

// words splits the name of a field: "CAFile" is "ca file".
func words(name string) string {
	var text strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		next := i+1 < len(runes) && unicode.IsLower(runes[i+1])
		if i > 0 && unicode.IsUpper(r) && (next || unicode.IsLower(runes[i-1])) {
			text.WriteByte(' ')
		}
		text.WriteRune(unicode.ToLower(r))
	}
	return text.String()
}

// namedAtMost is how many mailboxes or holds a row of the audit log names.
const namedAtMost = 20

// named lists what a command is about.
func named[T mailbox.Number | int64](all []T) string {
	var names []string
	for i, one := range all {
		if i == namedAtMost {
			return fmt.Sprintf("%s and %d more", strings.Join(names, ", "), len(all)-namedAtMost)
		}
		names = append(names, fmt.Sprint(one))
	}
	return strings.Join(names, ", ")
}
