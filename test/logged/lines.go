package logged

// Line is what a line at level info has to contain.
type Line struct {
	// Keys are the keys of its values, sorted, besides those of Temporal's SDK.
	Keys string
	// Without says why it has no link or no run.
	Without string
}

const (
	whole   = "it is about the mirror as a whole"
	process = "it is about a process"
	sweep   = "all links have one"
	noRun   = "it belongs to no run"
)

// Lines are all lines at level info, by their messages. test/arch keeps the list complete,
// and wants a test for each.
var Lines = map[string]Line{
	"child ready":               {"after child pid", process},
	"child stopped":             {"child pid status", process},
	"compare finished":          {"busy bytes copied differing expunged failed kind link mailboxes outcome reviewed run_id synced unchanged", ""},
	"database schema migrated":  {"from to", whole},
	"deletions held":            {"link mailbox_id messages run_id target_messages", ""},
	"directory changes held":    {"changes link run_id", ""},
	"directory run finished":    {"done due failed held joined left link moot outcome run_id source_entries state target_entries", ""},
	"left out, one is running":  {"link run_id workflow_id", ""},
	"listening finished":        {"link mailboxes outcome run_id", ""},
	"mailbox parked":            {"error_kind failures link mailbox_id retry_after run_id", ""},
	"mailbox sync finished":     {"bytes copied differences expunged flagged link mailbox_id outcome run_id state syncs", ""},
	"mirror is being suspended": {"epoch link run_id waiting who", ""},
	"mirror resumed":            {"epoch link run_id waiting who", ""},
	"mirror suspended":          {"epoch link run_id waiting who", ""},
	"retention finished":        {"archived compares dropped link outcome run_id", sweep},
	"shard adopted":             {"link reason run_id shard worker", ""},
	"shard lost":                {"link reason run_id shard worker", ""},
	"started what did not run":  {"item link loop", noRun},
	"store check finished":      {"link outcome run_id store", "a store belongs to several links"},
	"sweep finished":            {"directories due failed link outcome run_id running started", sweep},
	"the database was started again or restored, and lacks no suspension": {"state", whole},
	"verification finished": {"deep link outcome run_id", ""},
	"worker started":        {"mailboxes worker", process},
	"worker stopped":        {"worker", process},
}
