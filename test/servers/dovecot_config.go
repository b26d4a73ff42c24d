package servers

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"path/filepath"
	"strings"
	"text/template"
)

// dovecotConfig is the whole configuration for Dovecot 2.3. One file per
// instance and nothing from /etc, so that the machine's own server, if there
// is one, is neither read nor touched.
const dovecotConfig = `# Written by test/servers; changes are lost.
protocols = imap
listen = 127.0.0.1
base_dir = {{.Run}}
state_dir = {{.Dir}}/state
instance_name = mailmirror-{{.O.Name}}
log_path = {{.Dir}}/dovecot.log
login_greeting = {{.O.Name}} ready.

# Everything runs as one unprivileged user, so nothing can change its root.
default_internal_user = {{.A.Name}}
default_internal_group = {{.A.Group}}
default_login_user = {{.A.Name}}
first_valid_uid = 1
first_valid_gid = 1
mail_uid = {{.A.UID}}
mail_gid = {{.A.GID}}

# Thousands of log-ins by one trusted user from one address.
default_vsz_limit = 0
default_process_limit = 1000
default_client_limit = {{.ClientLimit}}
mail_max_userip_connections = 0
auth_cache_size = 10M
auth_cache_negative_ttl = 0
auth_failure_delay = 0
service anvil {
  chroot =
  # Dovecot's penalty makes every later log-in from an address slow after a
  # wrong password; tests share one address.
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service stats {
  chroot =
}
service imap-login {
  chroot =
  service_count = 0
  process_min_avail = 2
  inet_listener imap {
    port = {{if eq .TLSMode "tls"}}0{{else}}{{.Port}}{{end}}
  }
  inet_listener imaps {
    port = {{if eq .TLSMode "tls"}}{{.Port}}{{else}}0{{end}}
    ssl = {{if eq .TLSMode "tls"}}yes{{else}}no{{end}}
  }
}
service imap {
  process_min_avail = 2
{{if .O.ReuseProcesses}}  service_count = 256
{{end}}}
{{if eq .TLSMode "none"}}ssl = no
{{else}}ssl = {{if eq .TLSMode "starttls"}}required{{else}}yes{{end}}
ssl_cert = <{{.Dir}}/tls/cert.pem
ssl_key = <{{.Dir}}/tls/key.pem
{{end}}
disable_plaintext_auth = {{if eq .TLSMode "starttls"}}yes{{else}}no{{end}}
auth_mechanisms = plain login
{{if not .O.TrustedPlain}}
# The trusted user may log in for any mailbox: as "mailbox*trusted", or by
# SASL PLAIN with an authorization identity. "continue" makes Dovecot check
# that the mailbox exists.
auth_master_user_separator = *
passdb {
  driver = passwd-file
  args = {{.Dir}}/trusted
  master = yes
  result_success = continue
}
{{end}}
{{if not .O.TrustedMaster}}
passdb {
  driver = passwd-file
  args = {{.Dir}}/trusted
}
{{end}}
{{if .Limited}}
passdb {
  driver = passwd-file
  args = username_format=%u {{.Dir}}/mailboxes
}
userdb {
  driver = passwd-file
  args = username_format=%u {{.Dir}}/trusted
}
userdb {
  driver = passwd-file
  args = username_format=%u {{.Dir}}/mailboxes
}
{{else}}
passdb {
  driver = static
  args = password={{.O.MailboxPassword}}
}
userdb {
  driver = static
  args = allow_all_users=yes
}
{{end}}
mail_home = {{.Dir}}/mail/%u
mail_location = {{.O.Storage}}:~/{{.O.Storage}}
mailbox_list_index = yes
mailbox_list_index_include_inbox = yes
namespace inbox {
  inbox = yes
  separator = {{.O.Separator}}
  prefix = {{.O.Prefix}}
  mailbox Drafts {
    special_use = \Drafts
  }
  mailbox Sent {
    special_use = \Sent
  }
  mailbox Trash {
    special_use = \Trash
  }
}
{{if .Capability}}imap_capability = {{.Capability}}
{{end}}
mail_plugins ={{if .O.SharedNamespace}} acl{{end}}{{if .Quota}} quota{{end}}
protocol imap {
  mail_plugins = $mail_plugins{{if .O.SharedNamespace}} imap_acl{{end}}{{if .Quota}} imap_quota{{end}}
}
{{if .O.SharedNamespace}}
# The trusted user, logged in as itself, sees users<sep><mailbox>. The list of
# whose mailboxes it sees comes from the dictionary, the right to see them from
# the global list. acl_user makes a log-in *for* a mailbox count as its owner.
namespace shared {
  type = shared
  separator = {{.O.Separator}}
  prefix = users{{.O.Separator}}%%u{{.O.Separator}}
  location = {{.O.Storage}}:%%h/{{.O.Storage}}
  list = yes
  subscriptions = no
}
plugin {
  acl = vfile:{{.Dir}}/acl
  acl_user = %u
  acl_shared_dict = file:{{.Dir}}/shared.db
}
{{end}}
{{if .Quota}}
plugin {
  quota = count:User quota
  quota_vsizes = yes
  quota_rule = *:{{.Quota}}
  quota_grace = 0
}
{{end}}
{{if not .O.Sync}}# These servers are killed, and no machine loses its power.
mail_fsync = never
{{end}}{{.O.Extra}}
`

type dovecotAccount struct {
	Name, Group string
	UID, GID    int
}

// writeConfig writes the configuration for the given port, and the copies of
// the certificate that the server's own user can read.
func (d *Dovecot) writeConfig(port int) error {
	text := dovecotConfig
	if d.modern {
		text = dovecotConfig24
	}
	tmpl, err := template.New("dovecot.conf").Parse(text)
	if err != nil {
		return fmt.Errorf("parse configuration template: %w", err)
	}
	mode := TLSNone
	if t := d.opts.TLS; t != nil {
		mode = t.Mode
		if err := d.account.copyTLS(t, filepath.Join(d.opts.Dir, "tls")); err != nil {
			return err
		}
	}
	var quota []string
	if d.opts.QuotaBytes > 0 {
		quota = append(quota, fmt.Sprintf("bytes=%dB", d.opts.QuotaBytes))
	}
	if d.opts.QuotaMessages > 0 {
		quota = append(quota, fmt.Sprintf("messages=%d", d.opts.QuotaMessages))
	}
	var buf bytes.Buffer
	err = tmpl.Execute(&buf, map[string]any{
		"O": d.opts, "Dir": d.opts.Dir, "Run": d.runDir(), "Port": port,
		"A":           dovecotAccount{d.account.name, d.account.group, d.account.uid, d.account.gid},
		"TLSMode":     string(mode),
		"Limited":     d.opts.Mailboxes != nil,
		"Capability":  strings.Join(d.hide, " "),
		"Quota":       strings.Join(quota, ":"),
		"ClientLimit": 4000,
	})
	if err != nil {
		return fmt.Errorf("fill configuration template: %w", err)
	}
	return d.account.writeFile(d.conf, buf.Bytes())
}

// writeUsers writes who exists, who is trusted, and who is listed to whom.
func (d *Dovecot) writeUsers() error {
	trusted := fmt.Sprintf("%s:{PLAIN}%s::::::\n", d.opts.TrustedName, d.opts.TrustedPassword)
	if err := d.account.writeFile(filepath.Join(d.opts.Dir, "trusted"), []byte(trusted)); err != nil {
		return err
	}
	var users, shared strings.Builder
	for _, n := range d.opts.Mailboxes {
		fmt.Fprintf(&users, "%s:{PLAIN}%s::::::\n", n, d.opts.MailboxPassword)
		// Dovecot's file dictionary: key and value on lines of their own.
		fmt.Fprintf(&shared, "shared/shared-boxes/user/%s/%s\n1\n", d.opts.TrustedName, n)
	}
	if err := d.account.writeFile(filepath.Join(d.opts.Dir, "mailboxes"), []byte(users.String())); err != nil {
		return err
	}
	if !d.opts.SharedNamespace {
		return nil
	}
	if err := d.account.writeFile(filepath.Join(d.opts.Dir, "shared.db"), []byte(shared.String())); err != nil {
		return err
	}
	acl := fmt.Sprintf("* user=%s lrwstipekxa\n", d.opts.TrustedName)
	return d.account.writeFile(filepath.Join(d.opts.Dir, "acl"), []byte(acl))
}

func hash32(s string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s)) // a hash never fails
	return h.Sum32()
}
