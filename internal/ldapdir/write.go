package ldapdir

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/go-ldap/ldap/v3"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
)

// Write sends one operation, nothing of it at or after the deadline of ctx. The
// kind of its error says what is known:
//
//   - Transient: the operation may have been carried out, or the server is busy;
//     read again;
//   - Conflict: the entry is another than it was read, is gone, or is there
//     already; read again and plan anew;
//   - Permanent: the server refuses this operation on this entry;
//   - Config: the server refuses every such operation.
//
// Where the operation has a Version, the server compares it where it has the
// assertion control (RFC 4528); where it has none, it is read just before, which
// leaves a moment for others.
func (s *Session) Write(ctx context.Context, op directory.Operation) error {
	v, err := s.learn(ctx)
	if err != nil {
		return err
	}
	w := write{session: s, server: v}
	s.wrote = true
	switch {
	case op.Add != nil:
		return w.add(ctx, *op.Add)
	case op.Modify != nil:
		return w.modify(ctx, *op.Modify)
	case op.Rename != nil:
		return w.rename(ctx, *op.Rename)
	case op.Delete != nil:
		return w.remove(ctx, op.Delete.Ref)
	}
	return fault.New(fault.Permanent, s.op("write"), errors.New("an operation without a content"), "")
}

// write is one operation under way.
type write struct {
	session *Session
	server  *server
	what    string
	adds    bool
	values  map[string][][]byte
}

func (w *write) add(ctx context.Context, a directory.Add) error {
	w.what, w.adds, w.values = "add an entry", true, a.Attributes
	if err := w.inside(a.DN); err != nil {
		return err
	}
	request := &ldap.AddRequest{DN: a.DN}
	for _, name := range slices.Sorted(maps.Keys(a.Attributes)) {
		if values := a.Attributes[name]; len(values) > 0 {
			request.Attributes = append(request.Attributes, ldap.Attribute{Type: name, Vals: texts(values)})
		}
	}
	return w.send(ctx, func(c *ldap.Conn) error { return c.Add(request) })
}

func (w *write) modify(ctx context.Context, m directory.Modify) error {
	w.what, w.values = "modify an entry", m.Replace
	if len(m.Replace) == 0 {
		return nil
	}
	controls, err := w.guard(ctx, m.Ref)
	if err != nil {
		return err
	}
	request := &ldap.ModifyRequest{DN: m.DN, Controls: controls}
	for _, name := range slices.Sorted(maps.Keys(m.Replace)) {
		request.Replace(name, texts(m.Replace[name]))
	}
	return w.send(ctx, func(c *ldap.Conn) error { return c.Modify(request) })
}

func (w *write) rename(ctx context.Context, r directory.Rename) error {
	w.what = "rename an entry"
	if parsed, err := directory.ParseDN(r.NewRDN); err != nil || len(parsed) != 1 {
		return fault.New(fault.Permanent, w.session.op(w.what), errors.New("the new name is no relative distinguished name"), "")
	}
	controls, err := w.guard(ctx, r.Ref)
	if err != nil {
		return err
	}
	request := &ldap.ModifyDNRequest{DN: r.DN, NewRDN: r.NewRDN, DeleteOldRDN: true, Controls: controls}
	return w.send(ctx, func(c *ldap.Conn) error { return c.ModifyDN(request) })
}

func (w *write) remove(ctx context.Context, ref directory.Ref) error {
	w.what = "delete an entry"
	controls, err := w.guard(ctx, ref)
	if err != nil {
		return err
	}
	request := &ldap.DelRequest{DN: ref.DN, Controls: controls}
	return w.send(ctx, func(c *ldap.Conn) error { return c.Del(request) })
}

// inside refuses what lies outside of the base: nothing there is ours, whatever
// was planned.
func (w *write) inside(name string) error {
	parsed, err := directory.ParseDN(name)
	if err == nil && parsed.Below(w.session.store.base) {
		return nil
	}
	return fault.New(fault.Permanent, w.session.op(w.what), errors.New("the entry is not below the base of the mapping"), "check the base DN")
}

// guard makes an operation fail where the entry is no longer what was read.
func (w *write) guard(ctx context.Context, ref directory.Ref) ([]ldap.Control, error) {
	if err := w.inside(ref.DN); err != nil {
		return nil, err
	}
	var same []string
	if ref.ID != "" && w.server.id != "" {
		same = append(same, equals(w.server.id, ref.ID))
	}
	if ref.Version != "" && w.server.version != "" {
		same = append(same, equals(w.server.version, ref.Version))
	}
	if len(same) == 0 {
		return nil, nil
	}
	filter := both(same...)
	if w.server.has(controlAssertion) {
		compiled, err := ldap.CompileFilter(filter)
		if err != nil {
			return nil, fault.New(fault.Permanent, w.session.op(w.what), err, "")
		}
		return []ldap.Control{ldap.NewControlString(controlAssertion, true, string(compiled.Bytes()))}, nil
	}
	held, err := w.session.lookup(ctx, ref.DN, filter, "1.1")
	switch {
	case isCode(err, ldap.LDAPResultNoSuchObject), err == nil && held == nil:
		return nil, fault.New(fault.Conflict, w.session.op(w.what), errors.New("the entry is another than it was when it was read, or gone"), "")
	case err != nil:
		return nil, w.session.readFailed(w.what, err)
	}
	return nil, nil
}

func (w *write) send(ctx context.Context, exchange func(*ldap.Conn) error) error {
	err := w.session.askPatiently(ctx, exchange)
	if err == nil {
		return nil
	}
	return w.failed(err)
}

// texts are values for the library, which sends the bytes of a string as they
// are.
func texts(values [][]byte) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = string(v)
	}
	return all
}
