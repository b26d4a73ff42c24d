package conformance

import (
	"slices"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

func (s *suite) stores() {
	ctx := s.Context()
	for _, name := range []string{"prod", "dr"} {
		s.must(s.Stores.AddStore(ctx, storeNamed(name)))
	}
	s.fails("a store of a name that exists", s.Stores.AddStore(ctx, storeNamed("dr")), fault.Conflict)
	_, err := s.Stores.Store(ctx, "none")
	s.fails("a store that there is not", err, fault.NotFound)
	s.fails("a change of none", s.Stores.UpdateStore(ctx, storeNamed("none")), fault.NotFound)
	s.fails("the removal of none", s.Stores.RemoveStore(ctx, "none"), fault.NotFound)
	all, err := s.Stores.Stores(ctx)
	s.must(err)
	if len(all) != 2 || all[0].Name != "dr" || all[1].Name != "prod" {
		s.Errorf("Stores = %v, want dr and prod", all)
	}
	store := all[0]
	store.TrustedName, store.MaxSessions = "other", 7
	s.must(s.Stores.UpdateStore(ctx, store))
	if got, err := s.Stores.Store(ctx, "dr"); err != nil || got.TrustedName != "other" || got.MaxSessions != 7 || got.CreatedAt.IsZero() ||
		!slices.Equal(got.Addresses, store.Addresses) {
		s.Errorf("after a change the store is %+v, %v", got, err)
	}
	if load, err := s.Stores.StoreLoad(ctx, "dr"); err != nil || load.Capacity != 0 {
		s.Errorf("a store that nobody used has the load %+v, %v", load, err)
	}
	s.must(s.Links.AddLink(ctx, site.Link{Name: link, Source: "prod", Target: "dr"}))
	s.fails("the removal of a store of a link", s.Stores.RemoveStore(ctx, "dr"), fault.Conflict)
	store.Addresses = []string{"prod.example imap"}
	s.fails("a change to the server at the link's other end", s.Stores.UpdateStore(ctx, store), fault.Conflict)
	if got, err := s.Stores.Store(ctx, "dr"); err != nil || !slices.Equal(got.Addresses, all[0].Addresses) {
		s.Errorf("after a change that was rejected the store is %+v, %v", got, err)
	}
	s.must(s.Links.RemoveLink(ctx, link))
	s.must(s.Stores.RemoveStore(ctx, "dr"))
	_, err = s.Stores.Store(ctx, "dr")
	s.fails("a store that was removed", err, fault.NotFound)
}

func (s *suite) links() {
	ctx := s.Context()
	s.linked("2001")
	s.add("a", "prod", "other")
	s.fails("a link of a name that exists", s.Links.AddLink(ctx, site.Link{Name: "a", Source: "prod", Target: "dr"}), fault.Conflict)
	s.fails("a link from no store", s.Links.AddLink(ctx, site.Link{Name: "c", Source: "none", Target: "dr"}), fault.NotFound)
	s.fails("a link to no store", s.Links.AddLink(ctx, site.Link{Name: "c", Source: "dr", Target: "none"}), fault.NotFound)
	s.fails("a link from a store to itself", s.Links.AddLink(ctx, site.Link{Name: "c", Source: "dr", Target: "dr"}), fault.Config)
	twin := storeNamed("twin")
	twin.Addresses = storeNamed("dr").Addresses
	s.must(s.Stores.AddStore(ctx, twin))
	s.fails("a link between two names of one server", s.Links.AddLink(ctx, site.Link{Name: "c", Source: "twin", Target: "dr"}), fault.Config)
	_, err := s.Links.Link(ctx, "none")
	s.fails("a link that there is not", err, fault.NotFound)
	s.fails("the bandwidth of none", s.Links.SetBandwidth(ctx, site.Link{Name: "none"}), fault.NotFound)
	s.fails("the directory of none", s.Links.SetLinkDirectory(ctx, "none", site.LinkDirectoryOff), fault.NotFound)
	s.fails("the removal of none", s.Links.RemoveLink(ctx, "none"), fault.NotFound)
	s.must(s.Links.SetBandwidth(ctx, site.Link{Name: link, Bandwidth: 1000}))
	s.must(s.Links.SetLinkDirectory(ctx, link, site.LinkDirectoryOff))
	all, err := s.Links.Links(ctx)
	s.must(err)
	if len(all) != 2 || all[0].Name != "a" || all[1].Name != link || all[1].Bandwidth != 1000 || all[1].Directory != site.LinkDirectoryOff {
		s.Errorf("Links = %+v", all)
	}
	done := s.Write(s.T, keyOf("2001"))
	s.fails("the removal of a link that is written under", s.Links.RemoveLink(ctx, link), fault.Conflict)
	done()
	s.must(s.Links.RemoveLink(ctx, link))
	s.linked()
	if boxes, err := s.Mailboxes.Mailboxes(ctx, link, "", 0); err != nil || len(boxes) != 0 {
		s.Errorf("a link that was removed and added again has %v, %v", boxes, err)
	}
}

func (s *suite) mailboxes() {
	ctx := s.Context()
	s.linked("2001", "2003")
	if n, err := s.Mailboxes.AddMailboxes(ctx, link, []mailbox.Number{"2001", "2002"}); err != nil || n != 1 {
		s.Errorf("one of two is new: AddMailboxes = %d, %v", n, err)
	}
	for what, do := range map[string]func() error{
		"mailboxes of no link": func() error { _, err := s.Mailboxes.AddMailboxes(ctx, "none", []mailbox.Number{"2001"}); return err },
		"mailboxes back to no link": func() error {
			_, err := s.Mailboxes.ReverseMailboxes(ctx, "none", []mailbox.Number{"2001"})
			return err
		},
		"the list of no link":                  func() error { _, err := s.Mailboxes.Mailboxes(ctx, "none", "", 0); return err },
		"the removal from no link":             func() error { _, err := s.Mailboxes.RemoveMailboxes(ctx, "none", []mailbox.Number{"2001"}); return err },
		"a mailbox that takes no part":         func() error { _, err := s.Mailboxes.Mailbox(ctx, keyOf("9999")); return err },
		"a mailbox of no link":                 func() error { _, err := s.Mailboxes.Mailbox(ctx, mailbox.Key{Link: "none", Number: "1"}); return err },
		"work on a mailbox that takes no part": func() error { _, err := s.Mailboxes.MarkDirty(ctx, keyOf("9999")); return err },
	} {
		s.fails(what, do(), fault.NotFound)
	}
	before := s.box("2002")
	if before.State != site.StateNew || before.DirtyGeneration <= before.CleanGeneration || before.DirtySince.IsZero() {
		s.Errorf("a new mailbox is %+v, want one with work due", before)
	}
	if generation, err := s.Mailboxes.MarkDirty(ctx, keyOf("2002")); err != nil || generation != before.DirtyGeneration+1 {
		s.Errorf("MarkDirty = %d, %v, want %d", generation, err, before.DirtyGeneration+1)
	}
	if after := s.box("2002"); after.State != site.StateNew || !after.DirtySince.Equal(before.DirtySince) {
		s.Errorf("a new mailbox with more work due is %+v, was %+v", after, before)
	}
	for _, page := range []struct {
		after mailbox.Number
		limit int
		want  []mailbox.Number
	}{{"", 0, []mailbox.Number{"2001", "2002", "2003"}}, {"", 2, []mailbox.Number{"2001", "2002"}}, {"2001", 0, []mailbox.Number{"2002", "2003"}}, {"2003", 5, nil}} {
		boxes, err := s.Mailboxes.Mailboxes(ctx, link, page.after, page.limit)
		s.must(err)
		var got []mailbox.Number
		for _, b := range boxes {
			got = append(got, b.Number)
		}
		if !slices.Equal(got, page.want) {
			s.Errorf("those after %q, at most %d: %v, want %v", page.after, page.limit, got, page.want)
		}
	}
	done := s.Write(s.T, keyOf("2001"))
	_, err := s.Mailboxes.RemoveMailboxes(ctx, link, []mailbox.Number{"2001", "2002"})
	s.fails("the removal of a mailbox that is written to", err, fault.Conflict)
	s.box("2002") // none is removed then
	done()
	if n, err := s.Mailboxes.RemoveMailboxes(ctx, link, []mailbox.Number{"2002", "9999"}); err != nil || n != 1 {
		s.Errorf("one of two takes part: RemoveMailboxes = %d, %v", n, err)
	}
	_, err = s.Mailboxes.Mailbox(ctx, keyOf("2002"))
	s.fails("a mailbox that was removed", err, fault.NotFound)
}

// writers: a mailbox has one writer on a store, and is never its own source.
func (s *suite) writers() {
	ctx := s.Context()
	s.linked("2001")
	s.add("other-dr", "other", "dr")
	s.add("dr-prod", "dr", "prod")
	s.add("dr-third", "dr", "third", "2001")
	s.add("third-prod", "third", "prod")
	for _, l := range []string{"other-dr", "dr-prod", "third-prod"} {
		n, err := s.Mailboxes.AddMailboxes(ctx, l, []mailbox.Number{"2002", "2001"})
		s.fails("a second writer, or a circle, by "+l, err, fault.Conflict)
		if boxes, listErr := s.Mailboxes.Mailboxes(ctx, l, "", 0); n != 0 || listErr != nil || len(boxes) != 0 {
			s.Errorf("link %s has %v, %v although a mailbox was rejected", l, boxes, listErr)
		}
	}
}
