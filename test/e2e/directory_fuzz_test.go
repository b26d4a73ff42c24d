//go:build integration

package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"mailmirror/test/repeat"
	"mailmirror/test/servers"
)

// TestDirectoryFuzz makes random directories on both sides: after one run they
// are equal, after a second there was nothing to do. It speaks TLS to both.
func TestDirectoryFuzz(t *testing.T) {
	t.Parallel()
	rounds := repeat.Times(2, 6)
	r := newSecureRig(t)
	r.run("guard", "set", r.link, "--directory-remove-count", "0", "--directory-remove-share", "0", "--directory-change-count", "0",
		"--directory-change-share", "0", "--directory-shrink-share", "0")
	r.run("link", "edit", r.link, "--participate", "manual", "--directory-remove-unknown")
	for round := range rounds {
		rng := rand.New(rand.NewPCG(uint64(round), 7))
		for _, s := range []*servers.Slapd{r.from, r.to} {
			now := numbersIn(r.subscribers(s))
			for range 25 {
				number := fmt.Sprint(100 + rng.IntN(40))
				i, there := slices.BinarySearch(now, number)
				switch {
				case !there:
					r.put(s, randomSubscriber(rng, number))
					now = slices.Insert(now, i, number)
				case rng.IntN(3) == 0:
					r.remove(s, number)
					now = slices.Delete(now, i, i+1)
				case rng.IntN(3) == 0:
					to := fmt.Sprint(200 + rng.IntN(1000))
					if _, taken := slices.BinarySearch(now, to); taken {
						continue
					}
					r.apply(s, ldifLine("dn", dnOf(s, number))+"changetype: modrdn\nnewrdn: MailboxNumber="+to+"\ndeleteoldrdn: 1\n\n")
					now[i] = to
					slices.Sort(now)
				default:
					e := randomSubscriber(rng, number)
					for _, name := range []string{"Password", "umRecordedName", "cn", "sn", "NumericAddress", "Misc2"} {
						r.replace(s, number, name, e[name]...)
					}
				}
			}
		}
		r.mirror(0)
		r.same(fmt.Sprint("round ", round))
		r.idle(fmt.Sprint("round ", round))
		if t.Failed() {
			t.FailNow()
		}
	}
}

func randomSubscriber(rng *rand.Rand, number string) subscriber {
	e := subscriber{"objectClass": {"umMailbox"}, "MailboxNumber": {number}, "cn": {randomText(rng)}}
	for _, name := range []string{"Password", "sn", "givenName", "Misc1", "Misc2", "Misc3"} {
		seen := map[string]bool{}
		for range rng.IntN(3) {
			v := randomText(rng)
			if seen[strings.ToLower(strings.Join(strings.Fields(v), " "))] || name == "Password" && len(e[name]) > 0 {
				continue
			}
			seen[strings.ToLower(strings.Join(strings.Fields(v), " "))] = true
			e[name] = append(e[name], v)
		}
	}
	if rng.IntN(2) == 0 {
		name := make([]byte, rng.IntN(5000))
		for i := range name {
			name[i] = byte(rng.IntN(256))
		}
		e["umRecordedName"] = []string{string(name)}
	}
	if rng.IntN(2) == 0 {
		e["NumericAddress"] = []string{fmt.Sprint(rng.IntN(1000)), fmt.Sprint(1000 + rng.IntN(1000))}
	}
	if rng.IntN(2) == 0 {
		e["avUmFindMeEnabled"] = []string{[]string{"TRUE", "FALSE"}[rng.IntN(2)]}
	}
	return e
}

// randomText is hostile to whoever puts it into a DN, a filter, LDIF or SQL.
func randomText(rng *rand.Rand) string {
	const letters = `abcABC ,+"\<>;=#*()'%${}[]/|&äöüßŁ日本`
	all := []rune(letters)
	n := 1 + rng.IntN(12)
	text := make([]rune, n)
	for i := range text {
		text[i] = all[rng.IntN(len(all))]
	}
	return "x" + string(text) + "x"
}
