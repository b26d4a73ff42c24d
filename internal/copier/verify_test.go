package copier

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

func seen(size, date int64, header, body byte, flags mailbox.Flags) seenMessage {
	return seenMessage{Fingerprint: mirror.Fingerprint{Size: size, Date: date, Header: [32]byte{header}, Body: [32]byte{body}}, flags: flags}
}

func TestVerdict(t *testing.T) {
	a := seen(10, 1, 1, 1, `\seen`)
	for _, tt := range []struct {
		name           string
		source, target []seenMessage
		want           FolderVerdict
	}{
		{"two empty folders", nil, nil, FolderVerdict{}},
		{"equal", []seenMessage{a}, []seenMessage{a}, FolderVerdict{Source: 1, Target: 1, Equal: 1}},
		{"missing", []seenMessage{a}, nil, FolderVerdict{Source: 1, Missing: 1}},
		{"extra", nil, []seenMessage{a}, FolderVerdict{Target: 1, Extra: 1}},
		{"doubled on the target", []seenMessage{a}, []seenMessage{a, a}, FolderVerdict{Source: 1, Target: 2, Equal: 1, Extra: 1}},
		{"one twin lost", []seenMessage{a, a}, []seenMessage{a}, FolderVerdict{Source: 2, Target: 1, Equal: 1, Missing: 1}},
		{"other flags", []seenMessage{a}, []seenMessage{seen(10, 1, 1, 1, "")}, FolderVerdict{Source: 1, Target: 1, Flags: 1}},
		{"other date", []seenMessage{a}, []seenMessage{seen(10, 2, 1, 1, `\seen`)}, FolderVerdict{Source: 1, Target: 1, Date: 1}},
		{"other date and flags", []seenMessage{a}, []seenMessage{seen(10, 2, 1, 1, "")}, FolderVerdict{Source: 1, Target: 1, Date: 1}},
		{"other bytes", []seenMessage{a}, []seenMessage{seen(10, 1, 1, 2, `\seen`)}, FolderVerdict{Source: 1, Target: 1, Content: 1}},
		{"other size", []seenMessage{a}, []seenMessage{seen(11, 1, 1, 2, `\seen`)}, FolderVerdict{Source: 1, Target: 1, Content: 1}},
		{"other header", []seenMessage{a}, []seenMessage{seen(10, 1, 2, 2, `\seen`)}, FolderVerdict{Source: 1, Target: 1, Content: 1}},
		{"nothing in common", []seenMessage{a}, []seenMessage{seen(11, 2, 2, 2, "")}, FolderVerdict{Source: 1, Target: 1, Missing: 1, Extra: 1}},
		{"an equal one is not taken by a lesser kin", []seenMessage{seen(10, 1, 1, 1, ""), a}, []seenMessage{a, seen(10, 1, 1, 1, `\deleted`)},
			FolderVerdict{Source: 2, Target: 2, Equal: 1, Flags: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got FolderVerdict
			got.compare(tt.source, tt.target)
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if same := tt.want.Missing+tt.want.Extra+tt.want.Flags+tt.want.Date+tt.want.Content == 0; got.Same() != same {
				t.Errorf("Same is %v", got.Same())
			}
		})
	}
}

// TestVerdictAddsUp: every message is counted once on each side, and a folder is
// called the same if and only if it is.
func TestVerdictAddsUp(t *testing.T) {
	message := rapid.Custom(func(t *rapid.T) seenMessage {
		return seen(rapid.Int64Range(1, 2).Draw(t, "size"), rapid.Int64Range(1, 2).Draw(t, "date"),
			rapid.ByteRange(1, 2).Draw(t, "header"), rapid.ByteRange(1, 2).Draw(t, "body"),
			rapid.SampledFrom([]mailbox.Flags{"", `\seen`}).Draw(t, "flags"))
	})
	rapid.Check(t, func(t *rapid.T) {
		source := rapid.SliceOfN(message, 0, 8).Draw(t, "source")
		target := rapid.SliceOfN(message, 0, 8).Draw(t, "target")
		if rapid.Bool().Draw(t, "nearly equal") {
			target = rapid.Permutation(append(slices.Clip(source), target[:min(1, len(target))]...)).Draw(t, "shuffled")
		}
		var v, other, back FolderVerdict
		v.compare(source, target)
		both := v.Equal + v.Flags + v.Date + v.Content
		if v.Source != len(source) || v.Target != len(target) || both+v.Missing != len(source) || both+v.Extra != len(target) {
			t.Fatalf("%+v does not add up to %d and %d", v, len(source), len(target))
		}
		equal := map[seenMessage]int{}
		for _, m := range source {
			equal[m]++
		}
		n := 0
		for _, m := range target {
			if equal[m] > 0 {
				equal[m]--
				n++
			}
		}
		if v.Equal != n || v.Same() != (n == len(source) && n == len(target)) {
			t.Fatalf("%+v: %d are equal", v, n)
		}
		// How those are called that are not equal may depend on their order,
		// whether they are may not.
		other.compare(rapid.Permutation(source).Draw(t, "another order"), target)
		if other.Equal != v.Equal || other.Same() != v.Same() || other.Missing-other.Extra != v.Missing-v.Extra {
			t.Fatalf("in another order %+v becomes %+v", v, other)
		}
		back.compare(target, source)
		if back.Equal != v.Equal || back.Same() != v.Same() || back.Missing-back.Extra != v.Extra-v.Missing {
			t.Fatalf("the other way round %+v becomes %+v", v, back)
		}
	})
}

func TestVerdictOfFolders(t *testing.T) {
	for name, v := range map[string]FolderVerdict{
		"missing folder": {MissingFolder: true}, "extra folder": {ExtraFolder: true}, "subscription": {Subscription: true},
	} {
		t.Run(name, func(t *testing.T) {
			if v.Same() {
				t.Error("is called the same")
			}
		})
	}
}
