package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"mailmirror/test/servers"
)

// refreshed is what slapd logs, at its level sync, of a refresh that is over.
const refreshed = "LDAP_RES_SEARCH_RESULT"

// startReplica makes a server that holds what production holds, change numbers
// included, and follows it by syncrepl in mode refreshOnly (RFC 4533, section
// 3.3). It is down until replicate starts it.
func (r *directoryRig) startReplica(ctx context.Context) error {
	// Stopped in order, the provider writes down where it is.
	if err := r.production.Restart(ctx); err != nil {
		return err
	}
	content, err := r.production.Dump(ctx)
	if err != nil {
		return err
	}
	r.replicated, err = servers.StartSlapd(ctx, servers.SlapdOptions{
		LDIF: strings.NewReader(content), Whole: true, Debug: "sync",
		Extra: []string{fmt.Sprintf(`olcSyncrepl: {0}rid=001 provider=ldap://%s bindmethod=simple binddn="%s" credentials=%s
  searchbase="dc=example" type=refreshOnly interval=00:12:00:00 retry="1 +"`,
			r.production.Addr(), r.production.AdminDN(), r.production.AdminPassword())},
	})
	if err != nil {
		return err
	}
	_, err = r.replicate(ctx)
	return err
}

// replicate starts the follower and returns how long it takes until its refresh
// is over. It is left down.
func (r *directoryRig) replicate(ctx context.Context) (time.Duration, error) {
	before, err := os.ReadFile(r.replicated.LogPath())
	if err != nil {
		return 0, fmt.Errorf("read the follower's log: %w", err)
	}
	begin := time.Now()
	if err := r.replicated.Restart(ctx); err != nil {
		return 0, err
	}
	for {
		now, err := os.ReadFile(r.replicated.LogPath())
		if err != nil {
			return 0, fmt.Errorf("read the follower's log: %w", err)
		}
		if bytes.Contains(now[len(before):], []byte(refreshed)) {
			return time.Since(begin), nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
