package directory

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"slices"
)

// Digester makes digests of what is secret or large, that are equal where values
// are. Those of Secret columns tell nothing to who has not the key, though equal
// secrets have equal ones.
type Digester struct{ key []byte }

// NewDigester returns one with a key of at least 16 bytes, which is the same for
// both sides of a run.
func NewDigester(key []byte) Digester { return Digester{bytes.Clone(key)} }

// Digest returns the SHA-256 of a value of a Binary column, and the HMAC-SHA-256
// of one of a Secret column (RFC 2104).
func (d Digester) Digest(column Column, value []byte) []byte {
	if natureOf(column) == Binary {
		sum := sha256.Sum256(value)
		return sum[:]
	}
	mac := hmac.New(sha256.New, d.key)
	mac.Write([]byte(column))
	mac.Write([]byte{0})
	mac.Write(value)
	return mac.Sum(nil)
}

func natureOf(column Column) Nature {
	for _, a := range attributes {
		if a.Column == column {
			return a.Nature
		}
	}
	return Secret // what nobody knows is shown to nobody
}

// NewRecord keeps of an entry what a compare needs. Several values of one column
// have the digest of their digests, in an order of its own (RFC 4512, 2.3).
func NewRecord(e Entry, digest func(Column, []byte) []byte) Record {
	r := Record{Ref: e.Ref, Number: e.Number, Login: e.Login, Protected: e.Protected,
		Texts: map[Column][]string{}, Digests: map[Column][]byte{}}
	for column, values := range e.Values {
		switch {
		case len(values) == 0:
		case natureOf(column) == Text:
			for _, v := range values {
				r.Texts[column] = append(r.Texts[column], string(v))
			}
			slices.Sort(r.Texts[column])
		case len(values) == 1:
			r.Digests[column] = digest(column, values[0])
		default:
			all := make([][]byte, len(values))
			for i, v := range values {
				all[i] = digest(column, v)
			}
			r.Digests[column] = digest(column, bytes.Join(sorted(all), nil))
		}
	}
	for column := range e.Tags {
		if names := e.Tagged(column); len(names) > 0 {
			if r.Tags == nil {
				r.Tags = map[Column][]byte{}
			}
			r.Tags[column] = tagDigest(column, names, e.Tags[column], digest)
		}
	}
	return r
}

// tagDigest is one digest of all values with options.
func tagDigest(column Column, names []string, tags Tags, digest func(Column, []byte) []byte) []byte {
	plain := sha256.New()
	for _, options := range names {
		_, _ = fmt.Fprintf(plain, "%d %s", len(options), options) // a hash takes everything
		for _, value := range sorted(tags[options]) {
			one := value
			if natureOf(column) != Text {
				one = digest(column, value)
			}
			_, _ = fmt.Fprintf(plain, " %d ", len(one))
			_, _ = plain.Write(one)
		}
		_, _ = plain.Write([]byte{'\n'})
	}
	return plain.Sum(nil)
}
