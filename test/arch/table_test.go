package arch

// layer is a package's place: pure ← orchestration ← adapter ← composition.
type layer int

const (
	// pure packages decide. They use the standard library only, without I/O
	// and without the clock, so that every decision can be tested by itself.
	pure layer = iota
	// support packages hold settings, logs and ciphertext: standard library
	// and one library of their own, no feature.
	support
	// orchestration says what happens in which order, over ports of its own.
	orchestration
	// adapter packages each speak to one outside system. They never import one
	// another; only internal/app constructs them.
	adapter
	// composition builds the whole and starts it.
	composition
	// helper packages are for tests and measurements; no product imports them.
	helper
)

// row is what one package may import. Paths inside the module are written
// without its name; what is not listed is forbidden.
type row struct {
	layer layer
	// inside lists packages of this module, outside modules or packages of
	// others; a package is allowed with all that lies below it.
	inside, outside []string
	// std lists what a pure package may use of the standard library although
	// it can do I/O, with the reason in a comment.
	std []string
	// never lists what the package must not reach, not even through others.
	never []string
	// anything lifts the rules on direct imports.
	anything bool
}

// What the outside systems are reached by.
const (
	imap     = "github.com/emersion/go-imap"
	ldap     = "github.com/go-ldap/ldap"
	postgres = "github.com/jackc/pgx"
	temporal = "go.temporal.io"
	cobra    = "github.com/spf13/cobra"
)

// table has one row for every package of the module. Rows of packages that do
// not exist yet are kept, so that the rule is there before the code is.
var table = map[string]row{
	// context: the entry of a command is carried by it, and nothing waits.
	"internal/audit":   {layer: pure, std: []string{"context"}},
	"internal/fault":   {layer: pure},
	"internal/blame":   {layer: pure, inside: []string{"internal/fault"}},
	"internal/mailbox": {layer: pure, inside: []string{"internal/fault"}},
	// log/slog: as for copier below.
	"internal/lease":  {layer: pure, std: []string{"log/slog"}, inside: []string{"internal/mailbox", "internal/fault"}},
	"internal/mirror": {layer: pure, inside: []string{"internal/mailbox", "internal/fault"}},
	// log/slog: the logger is injected, and a lease that could not be released
	// is nowhere else to be told.
	"internal/copier": {layer: pure, std: []string{"log/slog"},
		inside: []string{"internal/mailbox", "internal/mirror", "internal/fault", "internal/blame", "internal/lease"},
		never:  []string{imap, ldap, postgres, temporal, "net/http", "database/sql"}},
	"internal/quota":     {layer: pure},
	"internal/directory": {layer: pure, inside: []string{"internal/fault", "internal/mailbox"}},
	"internal/verdict":   {layer: pure, inside: []string{"internal/fault", "internal/mailbox", "internal/site"}},
	"internal/alert":     {layer: pure},

	// The vocabulary. net: addresses are parsed, and nothing is connected to.
	"internal/site": {layer: pure, std: []string{"net", "net/netip"},
		inside: []string{"internal/mailbox", "internal/quota", "internal/copier", "internal/directory"}},
	"internal/suspension": {layer: pure, std: []string{"context"}, inside: []string{"internal/audit"}},
	"internal/guard":      {layer: pure, inside: []string{"internal/fault", "internal/mailbox", "internal/mirror", "internal/directory"}},
	// log/slog: as for copier above.
	"internal/dirsync": {layer: pure, std: []string{"log/slog"},
		inside: []string{"internal/fault", "internal/blame", "internal/mailbox", "internal/lease", "internal/copier", "internal/directory"},
		never:  []string{imap, ldap, postgres, temporal, "net/http", "database/sql"}},
	"internal/background": {layer: pure, inside: []string{"internal/site", "internal/suspension"}},

	"internal/seal":      {layer: support},
	"internal/sleep":     {layer: support},
	"internal/telemetry": {layer: support, outside: []string{"github.com/prometheus/client_golang", "go.opentelemetry.io"}},
	"internal/config":    {layer: support, inside: []string{"internal/directory"}, outside: []string{"github.com/pelletier/go-toml"}},

	"internal/control": {layer: orchestration,
		inside: append([]string{"internal/seal", "internal/sleep"}, purePackages...),
		never:  []string{"net/http", cobra, imap, ldap, postgres, temporal}},
	"internal/storecheck": {layer: orchestration, inside: purePackages,
		never: []string{"net/http", cobra, imap, ldap, postgres, temporal}},
	"internal/throttle": {layer: orchestration, inside: []string{"internal/quota"},
		never: []string{imap, postgres, temporal}},
	"internal/watch": {layer: orchestration, inside: []string{"internal/site", "internal/mailbox", "internal/fault", "internal/quota", "internal/sleep"},
		never: []string{imap, postgres, temporal}},
	"internal/supervise": {layer: orchestration, inside: []string{"internal/audit", "internal/site", "internal/suspension", "internal/background", "internal/fault"},
		never: []string{imap, ldap, postgres, temporal}},
	"activities": {layer: orchestration,
		inside:  append([]string{"internal/sleep", "internal/watch"}, purePackages...),
		outside: []string{"go.temporal.io/sdk/activity", "go.temporal.io/sdk/temporal", "go.temporal.io/sdk/worker"},
		never:   []string{imap, ldap, postgres, cobra}},
	"workflows": {layer: orchestration,
		inside:  append([]string{"activities", "internal/watch"}, purePackages...),
		outside: []string{"go.temporal.io/sdk/workflow", "go.temporal.io/sdk/temporal", "go.temporal.io/sdk/worker", "go.temporal.io/api/enums"},
		never:   []string{imap, ldap, postgres, cobra}},

	"internal/endpoint": {layer: support, inside: []string{"internal/fault", "internal/site"}},
	"internal/imapstore": {layer: adapter,
		inside:  append([]string{"internal/endpoint", "internal/seal", "internal/sleep", "internal/watch"}, purePackages...),
		outside: []string{imap, "github.com/emersion/go-sasl"},
		never:   []string{temporal, postgres, ldap, cobra}},
	"internal/ldapdir": {layer: adapter,
		inside:  append([]string{"internal/endpoint", "internal/seal", "internal/sleep"}, purePackages...),
		outside: []string{ldap},
		never:   []string{temporal, postgres, imap, cobra}},
	"internal/pgstore": {layer: adapter,
		inside:  append([]string{"internal/watch", "internal/pgstore/sqlcgen", "internal/throttle"}, purePackages...),
		outside: []string{postgres, "github.com/pressly/goose"},
		never:   []string{"net/http", imap, ldap, temporal, cobra}},
	"internal/pgstore/sqlcgen": {layer: adapter, outside: []string{postgres}},
	"internal/notify/smtp": {layer: adapter, inside: []string{"internal/alert", "internal/fault"},
		outside: []string{"github.com/wneessen/go-mail"}},
	"internal/notify/snmp": {layer: adapter, inside: []string{"internal/alert", "internal/fault"},
		outside: []string{"github.com/gosnmp/gosnmp"}},
	"internal/temporalclient": {layer: adapter,
		inside:  append([]string{"workflows", "internal/seal"}, purePackages...),
		outside: []string{temporal, "go.opentelemetry.io/otel/metric"},
		never:   []string{imap, ldap, postgres, cobra}},
	"internal/temporalrunner": {layer: adapter,
		inside:  append([]string{"workflows", "activities", "internal/sleep"}, purePackages...),
		outside: []string{temporal},
		never:   []string{imap, ldap, postgres, cobra}},
	"internal/web": {layer: adapter,
		inside:  append([]string{"internal/control"}, purePackages...),
		outside: []string{"github.com/alexedwards/scs", "golang.org/x/crypto"},
		never:   []string{imap, ldap, temporal}},

	// The stack starts and watches child processes. It asks PostgreSQL only
	// whether it is up, and makes the databases in it.
	"internal/stack": {layer: composition,
		inside:  []string{"internal/fault", "internal/sleep"},
		outside: []string{postgres, "golang.org/x/sys"},
		never:   []string{imap, ldap, temporal}},
	"internal/stack/sdnotify": {layer: support},
	"internal/cli": {layer: composition,
		inside:  append([]string{"internal/control", "internal/config", "internal/seal", "internal/stack", "internal/telemetry"}, purePackages...),
		outside: []string{cobra, "github.com/spf13/pflag", "github.com/vbauerster/mpb", "golang.org/x/term"},
		never:   []string{imap, ldap, temporal}},
	"internal/app": {layer: composition, anything: true},
	"worker": {layer: composition,
		inside: []string{"internal/app", "internal/config", "internal/fault", "internal/stack/sdnotify", "internal/telemetry"}},
	"starter": {layer: composition, inside: []string{"internal/app", "internal/cli"}},

	// What the engine is simulated over must be as free of real stores as the
	// engine is.
	"internal/copier/copiersim":        {layer: helper, inside: purePackages},
	"internal/dirsync/dirsim":          {layer: helper, inside: purePackages},
	"internal/dirsync/dirsynctest":     {layer: helper, inside: append([]string{"internal/sleep"}, purePackages...)},
	"internal/control/controltest":     {layer: helper, anything: true, never: []string{imap, postgres, temporal}},
	"internal/imapstore/imapstoretest": {layer: helper, anything: true, never: []string{postgres, temporal}},
	"internal/ldapdir/ldapdirtest":     {layer: helper, anything: true, never: []string{postgres, temporal}},
	"internal/pgstore/pgtest":          {layer: helper, anything: true, never: []string{imap, temporal}},
	"internal/stack/stacktest":         {layer: helper, anything: true},
	"activities/activitytest":          {layer: helper, anything: true, never: []string{imap, postgres}},

	// An observer that shares code with what it observes shares its mistakes:
	// what proves equality, breaks connections or measures knows no product.
	"test/reader":      {layer: helper},
	"test/corpus":      {layer: helper, inside: []string{"test/reader"}},
	"test/faults":      {layer: helper},
	"test/servers":     {layer: helper, outside: []string{"golang.org/x/sys"}},
	"test/bench":       {layer: helper, inside: []string{"test"}},
	"test/demo":        {layer: helper, inside: []string{"test"}},
	"test/arch":        {layer: helper},
	"test/system":      {layer: helper, inside: []string{"test/servers"}},
	"test/output":      {layer: helper},
	"test/logged":      {layer: helper, inside: []string{"test/output"}},
	"test/repeat":      {layer: helper},
	"test/shape":       {layer: helper},
	"test/soak":        {layer: helper, inside: []string{"test/repeat"}},
	"test/user":        {layer: helper, inside: []string{"test/reader"}},
	"test/engine":      {layer: helper, anything: true},
	"test/e2e":         {layer: helper, anything: true},
	"test/hostile":     {layer: helper, anything: true},
	"test/browser":     {layer: helper, anything: true},
	"test/replay":      {layer: helper, anything: true},
	"test/conformance": {layer: helper, anything: true, never: []string{imap, ldap, postgres}},
	"test/docs":        {layer: helper, anything: true, never: []string{imap, ldap, postgres, temporal}},
	"test/olddata":     {layer: helper, anything: true},
	"test/scripts":     {layer: helper, anything: true},
}

var purePackages = []string{"internal/audit", "internal/fault", "internal/blame", "internal/mailbox", "internal/mirror", "internal/lease", "internal/copier",
	"internal/quota", "internal/directory", "internal/alert",
	"internal/site", "internal/suspension", "internal/guard", "internal/dirsync", "internal/background", "internal/verdict"}
