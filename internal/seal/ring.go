package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
)

// The reasons why a sealed value does not open. Neither says anything of the
// value or of a key.
var (
	// ErrUnknownKey: the value was sealed with a key that the key file does not
	// hold (any more).
	ErrUnknownKey = errors.New("sealed with a key that is not in the key file")
	// ErrOpen: the value was altered, cut, or belongs to another identity.
	ErrOpen = errors.New("sealed value is damaged or belongs to something else")
)

// version is the first byte of every sealed value, so that the format can
// change without guessing.
const version = 1

// Ring is a set of keys: the first one seals, every one opens. It is safe for
// concurrent use and never changes.
type Ring struct {
	ids   []string // in the order of the key file
	aeads map[string]cipher.AEAD
	root  []byte // of what Derive returns
	// missing is why there are no keys; see Missing.
	missing error
}

// Missing returns a ring without keys: whatever it is to seal or to open fails with
// why. A process that has to run without the key file, for instance to suspend the
// mirror, uses it. What it derives is another key each time.
func Missing(why error) *Ring { return &Ring{root: []byte(rand.Text()), missing: why} }

// Missing returns why there are no keys; nil if there are.
func (r *Ring) Missing() error { return r.missing }

// newRing builds a ring from parsed keys, of which there is at least one.
func newRing(keys []key) (*Ring, error) {
	r := &Ring{aeads: make(map[string]cipher.AEAD, len(keys))}
	for _, k := range keys {
		block, err := aes.NewCipher(k.secret)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", k.id, err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", k.id, err)
		}
		r.ids = append(r.ids, k.id)
		r.aeads[k.id] = aead
	}
	r.root = bytes.Clone(keys[len(keys)-1].secret)
	return r, nil
}

// derivedBytes is how long a derived key is.
const derivedBytes = 32

// Derive returns a key of 32 bytes that is bound to a purpose, for instance
// "directory/digest": it tells nothing of the ring's keys nor of one for another
// purpose (HKDF-SHA-256, RFC 5869).
//
// It comes from the last key of the file, which a rotation keeps, so that
// processes that have read the file before and after one agree. Once the last
// key is dropped it is another one: nothing that must outlive that may hang on
// it.
func (r *Ring) Derive(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, r.root, nil, "mailmirror derived key: "+purpose, derivedBytes)
	if err != nil {
		// Only a length of more than 255 digests is refused.
		panic("seal: derive key: " + err.Error())
	}
	return key
}

// Seal encrypts a secret for one identity: what the secret is and whose, for
// instance "store/production/trusted_password". It opens under no other
// identity, so that a row copied over another one is found out.
//
// The result is: version (1 byte), length of the key id (1 byte), key id,
// nonce (12 bytes), ciphertext with tag (16 bytes more than the secret). All
// that precedes the nonce is authenticated together with the identity.
func (r *Ring) Seal(plaintext Secret, identity string) ([]byte, error) {
	if r.missing != nil {
		return nil, r.missing
	}
	id := r.ids[0]
	head := make([]byte, 0, 2+len(id)+12+len(plaintext.value)+16)
	head = append(head, version, byte(len(id)))
	head = append(head, id...)
	//nolint:gosec // the cipher draws a nonce of its own (NewGCMWithRandomNonce) and takes none
	return r.aeads[id].Seal(head, nil, []byte(plaintext.value), associated(head, identity)), nil
}

// Open decrypts what Seal returned for the same identity. The error is
// ErrUnknownKey or ErrOpen, wrapped, or the one of Missing.
func (r *Ring) Open(sealed []byte, identity string) (Secret, error) {
	if r.missing != nil {
		return Secret{}, r.missing
	}
	id, body, err := split(sealed)
	if err != nil {
		return Secret{}, fmt.Errorf("open sealed %s: %w", identity, err)
	}
	aead, ok := r.aeads[id]
	if !ok {
		return Secret{}, fmt.Errorf("open sealed %s: key %q: %w", identity, id, ErrUnknownKey)
	}
	head := sealed[:len(sealed)-len(body)]
	plain, err := aead.Open(nil, nil, body, associated(head, identity))
	if err != nil {
		// The library's own error says no more than "authentication failed".
		return Secret{}, fmt.Errorf("open sealed %s: %w", identity, ErrOpen)
	}
	return Secret{string(plain)}, nil
}

// split takes a sealed value apart without trusting any of it.
func split(sealed []byte) (id string, body []byte, err error) {
	if len(sealed) < 2 || sealed[0] != version {
		return "", nil, ErrOpen
	}
	n := int(sealed[1])
	if n == 0 || len(sealed) < 2+n {
		return "", nil, ErrOpen
	}
	if id = string(sealed[2 : 2+n]); !validID(id) {
		return "", nil, ErrOpen // an id goes into error texts, so it is never taken as it comes
	}
	return id, sealed[2+n:], nil
}

// associated is the data that is authenticated and not encrypted. The head
// tells its own length, so head and identity cannot be shifted against each
// other.
func associated(head []byte, identity string) []byte {
	out := make([]byte, 0, len(head)+len(identity))
	out = append(out, head...)
	return append(out, identity...)
}
