package temporalclient

import (
	"errors"
	"log/slog"

	"go.opentelemetry.io/otel/metric"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	sdkmetrics "go.temporal.io/sdk/contrib/opentelemetry"
	sdklog "go.temporal.io/sdk/log"

	"mailmirror/internal/fault"
	"mailmirror/internal/seal"
)

// defaultNamespace is Temporal's own.
const defaultNamespace = "default"

// Options says which cluster to use. What is empty comes from Temporal's
// standard environment configuration (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE,
// TEMPORAL_API_KEY, TEMPORAL_TLS…, TEMPORAL_CONFIG_FILE, TEMPORAL_PROFILE),
// unless that is about a cluster at another address: then none of it counts,
// above all not its API key.
type Options struct {
	// Address is host:port of the frontend.
	Address   string
	Namespace string
	APIKey    seal.Secret
	TLS       TLS
	// Local says that the cluster is the private one of a stack: plain, on
	// loopback, and none of the environment's business.
	Local bool
	// Logger gets the messages of the SDK; nil means slog.Default.
	Logger *slog.Logger
	// Meter gets what the SDK counts; nil counts nothing.
	Meter metric.Meter

	// base is what the environment says, set by Resolve.
	base *envconfig.ClientConfigProfile
}

// TLS protects the connection; the other settings need Enabled. With an API
// key, and no TLS settings at all, TLS is used with the system's CAs.
type TLS struct {
	Enabled bool
	// Files in PEM format; all optional.
	CAFile, CertFile, KeyFile string
	// ServerName is expected in the server's certificate instead of the host
	// in the address.
	ServerName string
}

// Resolve fills in what the environment says, so that the caller can read the
// address and namespace that Dial will use. Resolving twice changes nothing.
func Resolve(o Options) (Options, error) { return resolve(o, envconfig.EnvLookupOS) }

func resolve(o Options, env envconfig.EnvLookup) (Options, error) {
	if o.base != nil {
		return o, nil
	}
	base := envconfig.ClientConfigProfile{}
	if !o.Local {
		var err error
		base, err = envconfig.LoadClientConfigProfile(envconfig.LoadClientConfigProfileOptions{EnvLookup: env})
		if err != nil {
			return Options{}, fault.New(fault.Config, "read Temporal's environment configuration", err,
				"see the variables TEMPORAL_* and the file that TEMPORAL_CONFIG_FILE names")
		}
		if o.Address != "" && base.Address != "" && base.Address != o.Address {
			base = envconfig.ClientConfigProfile{}
		}
	}
	if o.Address != "" {
		base.Address = o.Address
	}
	if base.Address == "" {
		return Options{}, fault.New(fault.Config, "find Temporal", errors.New("no address is known"),
			"give --data DIR of a stack that `mailmirror up` runs, or --temporal HOST:PORT, or set TEMPORAL_ADDRESS")
	}
	if o.Namespace != "" {
		base.Namespace = o.Namespace
	}
	if base.Namespace == "" {
		base.Namespace = defaultNamespace
	}
	if !o.APIKey.Empty() {
		base.APIKey = o.APIKey.Reveal()
	}
	if o.TLS.Enabled {
		base.TLS = &envconfig.ClientConfigTLS{
			ClientCertPath: o.TLS.CertFile, ClientKeyPath: o.TLS.KeyFile,
			ServerCACertPath: o.TLS.CAFile, ServerName: o.TLS.ServerName,
		}
	}
	o.Address, o.Namespace, o.base = base.Address, base.Namespace, &base
	return o, nil
}

// clientOptions are resolved options in the SDK's form.
func (o Options) clientOptions() (client.Options, error) {
	options, err := o.base.ToClientOptions(envconfig.ToClientOptionsRequest{})
	if err != nil {
		return client.Options{}, fault.New(fault.Config, "prepare connection to Temporal", err,
			"check the certificate and key files")
	}
	logger := o.Logger
	if logger == nil {
		logger = slog.Default()
	}
	options.Logger = sdklog.NewStructuredLogger(logger)
	if o.Meter != nil {
		options.MetricsHandler = sdkmetrics.NewMetricsHandler(sdkmetrics.MetricsHandlerOptions{
			Meter: o.Meter, UseMonotonicCounters: true,
			OnError: func(err error) { logger.Warn("a figure of Temporal's SDK is not counted", "error", err.Error()) },
		})
	}
	return options, nil
}
