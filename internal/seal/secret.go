package seal

import "log/slog"

// Secret is a password or key that must not be shown. Every usual way of
// printing it yields "[redacted]"; Reveal is the only way to its value.
type Secret struct{ value string }

// NewSecret wraps a value.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal returns the value, for handing to a server or a cipher.
func (s Secret) Reveal() string { return s.value }

// Empty reports whether there is no value.
func (s Secret) Empty() bool { return s.value == "" }

const redacted = "[redacted]"

// String implements fmt.Stringer without showing the value.
func (s Secret) String() string { return redacted }

// GoString implements fmt.GoStringer without showing the value.
func (s Secret) GoString() string { return redacted }

// LogValue implements slog.LogValuer without showing the value.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the value out of JSON, TOML and payloads.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
