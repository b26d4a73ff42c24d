package site

import (
	"time"

	"mailmirror/internal/directory"
)

// Directory is how a store's directory is reached, and how it holds
// mailboxes. A store without one is not part of any directory run.
type Directory struct {
	Store    string   `json:"store"`
	Address  string   `json:"ldap"` // host:port
	Security Security `json:"ldap_security"`
	CAFile   string   `json:"ldap_ca_file,omitempty"` // PEM; "" means the system's
	BindDN   string   `json:"ldap_bind_dn"`
	// SealedPassword is the bind password, sealed with the key file under the
	// identity "store/<name>/ldap_password".
	SealedPassword []byte            `json:"-"`
	Mapping        directory.Mapping `json:"mapping"`
	UpdatedAt      time.Time         `json:"updated_at"`
	// Addresses are those at which the directory was found: see ServerAddresses. Nil
	// stands for the host of Address alone.
	Addresses []string `json:"-"`
}

// DirectoryPasswordIdentity is what the password of a store's directory is
// sealed under.
func DirectoryPasswordIdentity(store string) string { return "store/" + store + "/ldap_password" }

// PlainDirectoryPassword reports whether passwords cross a network in clear.
func PlainDirectoryPassword(d Directory) bool {
	return PlainPassword(Store{IMAPAddress: d.Address, Security: d.Security})
}
