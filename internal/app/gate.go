package app

import (
	"context"
	"log/slog"
	"time"

	"mailmirror/internal/imapstore"
	"mailmirror/internal/quota"
	"mailmirror/internal/site"
	"mailmirror/internal/sleep"
	"mailmirror/internal/throttle"
)

// gate bounds the load on one store by the shares of this process.
type gate struct {
	shares *shares
	store  string
	bounds quota.Bounds
	logins *throttle.Limiter
	log    *slog.Logger
}

var _ imapstore.Gate = (*gate)(nil)

func newGate(s *shares, store site.Store, source bool) *gate {
	return &gate{shares: s, store: store.Name, bounds: store.Bounds(source), log: s.log,
		logins: throttle.NewLogins(loginPace{s}, sleep.Clock{}, store.Name, store.Bounds(source).Logins)}
}

// Login implements imapstore.Gate.
func (g *gate) Login(ctx context.Context) error { return g.logins.Wait(ctx, 1) }

// WorthListing implements imapstore.Gate.
func (g *gate) WorthListing(ctx context.Context, mailboxes int) error {
	load, err := g.shares.repo.StoreLoad(ctx, g.store)
	if err != nil {
		return err
	}
	if why := load.NotWorthListing(mailboxes, time.Now()); why != "" {
		return &throttle.RefusedError{Why: why}
	}
	return nil
}

// longListing is from how long on a list of all mailboxes is worth a line in the
// log.
const longListing = 5 * time.Second

// Listing implements imapstore.Gate. The place of the list comes before that of
// the session: nobody who has a session waits for the former without end.
func (g *gate) Listing(ctx context.Context, session bool) (func(mailboxes int, complete bool), error) {
	keys := []quota.Kind{quota.Listings}
	if session {
		keys = append(keys, quota.Sessions)
	}
	var leaves []func()
	leave := func() {
		for _, l := range leaves {
			l()
		}
	}
	for _, kind := range keys {
		l, err := g.shares.acquire(ctx, g.bounds, throttle.Key{Store: g.store, Kind: kind})
		if err != nil {
			leave()
			return nil, err
		}
		leaves = append(leaves, l)
	}
	began := time.Now()
	return func(mailboxes int, complete bool) {
		took := time.Since(began)
		if complete && mailboxes > 0 || !complete {
			g.shares.load.Listed(g.store, took, mailboxes, complete)
		}
		level := slog.LevelDebug
		if took > longListing || !complete {
			level = slog.LevelInfo
		}
		g.log.Log(ctx, level, "list of all mailboxes ended", "store", g.store, "duration", took, "mailboxes", mailboxes, "complete", complete)
		leave()
	}, nil
}

// Session implements imapstore.Gate.
func (g *gate) Session(ctx context.Context) (func(), error) {
	return g.shares.acquire(ctx, g.bounds, throttle.Key{Store: g.store, Kind: quota.Sessions})
}

// Go implements imapstore.Gate.
func (g *gate) Go(_ context.Context, f func(context.Context)) {
	g.shares.group.Go(func() { f(g.shares.process) })
}

// LoggedIn implements imapstore.Gate.
func (g *gate) LoggedIn(took time.Duration) func() { return g.shares.load.LoggedIn(g.store, took) }

// TurnedAway implements imapstore.Gate.
func (g *gate) TurnedAway(silent bool) { g.shares.load.TurnedAway(g.store, silent) }

// MailboxFull implements imapstore.Gate.
func (g *gate) MailboxFull(open int) { g.shares.load.MailboxFull(g.store, open) }

// loginPace gives away the logins of stores. If the database does not answer,
// this process goes on by itself, at the pace of one process.
type loginPace struct{ shares *shares }

// ReserveBandwidth implements throttle.Pace for logins.
func (p loginPace) ReserveBandwidth(ctx context.Context, store string, span time.Duration) (time.Duration, error) {
	wait, err := p.shares.repo.ReserveLogins(ctx, store, span)
	if err != nil && ctx.Err() == nil {
		return span, nil // listeners connect again although the database is away
	}
	return wait, err
}
