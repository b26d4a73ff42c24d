package servers

// dovecotConfig24 says the same as dovecotConfig in the language of Dovecot
// 2.4 (Debian 13, Ubuntu 25.10 and later), which shares few words with the old.
const dovecotConfig24 = `# Written by test/servers; changes are lost.
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
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
default_vsz_limit = unlimited
default_process_limit = 1000
default_client_limit = {{.ClientLimit}}
mail_max_userip_connections = unlimited
auth_cache_size = 10M
auth_cache_negative_ttl = 0
auth_failure_delay = 0
service anvil {
  chroot =
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service stats {
  chroot =
}
service imap-login {
  chroot =
  restart_request_count = unlimited
  process_min_avail = 2
  inet_listener imap {
    port = {{if eq .TLSMode "tls"}}0{{else}}{{.Port}}{{end}}
  }
  inet_listener imaps {
    port = {{if eq .TLSMode "tls"}}{{.Port}}{{else}}0{{end}}
    ssl = {{if eq .TLSMode "tls"}}yes{{else}}no{{end}}
  }
}
{{if .O.ReuseProcesses}}service imap {
  restart_request_count = 256
}
{{end}}{{if eq .TLSMode "none"}}ssl = no
{{else}}ssl = {{if eq .TLSMode "starttls"}}required{{else}}yes{{end}}
ssl_server_cert_file = {{.Dir}}/tls/cert.pem
ssl_server_key_file = {{.Dir}}/tls/key.pem
{{end}}
auth_allow_cleartext = {{if eq .TLSMode "starttls"}}no{{else}}yes{{end}}
auth_mechanisms = plain login
auth_username_format = %{user}
{{if not .O.TrustedPlain}}
# The trusted user may log in for any mailbox: as "mailbox*trusted", or by
# SASL PLAIN with an authorization identity.
auth_master_user_separator = *
passdb master {
  driver = passwd-file
  passwd_file_path = {{.Dir}}/trusted
  master = yes
  result_success = continue
}
{{end}}
passdb trusted {
  driver = passwd-file
  passwd_file_path = {{.Dir}}/trusted
}
{{if .Limited}}
passdb mailboxes {
  driver = passwd-file
  passwd_file_path = {{.Dir}}/mailboxes
}
userdb trusted {
  driver = passwd-file
  passwd_file_path = {{.Dir}}/trusted
}
userdb mailboxes {
  driver = passwd-file
  passwd_file_path = {{.Dir}}/mailboxes
}
{{else}}
passdb anyone {
  driver = static
  static_password = {{.O.MailboxPassword}}
}
userdb anyone {
  driver = static
  static_allow_all_users = yes
}
{{end}}
mail_home = {{.Dir}}/mail/%{user}
mail_driver = {{.O.Storage}}
mail_path = ~/{{.O.Storage}}
mail_inbox_path =
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
mail_plugins {
{{if .O.SharedNamespace}}  acl = yes
{{end}}{{if .Quota}}  quota = yes
{{end}}}
protocol imap {
  mail_plugins {
{{if .O.SharedNamespace}}    imap_acl = yes
{{end}}{{if .Quota}}    imap_quota = yes
{{end}}  }
}
{{if .O.SharedNamespace}}
namespace shared {
  type = shared
  separator = {{.O.Separator}}
  prefix = users{{.O.Separator}}$user{{.O.Separator}}
  mail_driver = {{.O.Storage}}
  mail_path = %{owner_home}/{{.O.Storage}}
  list = yes
  subscriptions = no
}
acl_driver = vfile
acl_user = %{user}
acl_global_path = {{.Dir}}/acl
acl_sharing_map {
  dict file {
    path = {{.Dir}}/shared.db
  }
}
{{end}}
{{if .Quota}}
quota "User quota" {
  driver = count
{{if .O.QuotaBytes}}  storage_size = {{.O.QuotaBytes}}B
{{end}}{{if .O.QuotaMessages}}  message_count = {{.O.QuotaMessages}}
{{end}}  storage_grace = 0
}
{{end}}
{{if not .O.Sync}}# These servers are killed, and no machine loses its power.
mail_fsync = never
{{end}}{{.O.Extra}}
`
