package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
)

const (
	loopback    = "127.0.0.1"
	clusterName = "active"
	// readyTimeout bounds everything from the start of the services to the
	// first answer; a machine that is slower than this has another trouble.
	readyTimeout = 2 * time.Minute
)

// run serves until ctx ends and returns nil after a clean stop.
func run(ctx context.Context, s settings) error {
	logger := log.NewZapLogger(log.BuildZapLogger(log.Config{Stdout: true, Level: s.logLevel}))
	if err := prepareDatabases(ctx, s.database, logger); err != nil {
		return err
	}
	server, err := newServer(s, logger)
	if err != nil {
		return fmt.Errorf("build server: %w", err)
	}
	if err := server.Start(); err != nil {
		return fmt.Errorf("start server: %w", err)
	}
	serveErr := serve(ctx, s)
	if err := server.Stop(); err != nil {
		serveErr = errors.Join(serveErr, fmt.Errorf("stop server: %w", err))
	}
	return serveErr
}

// serve does what comes after the services run: namespace, Web UI, readiness;
// then it waits for ctx.
func serve(ctx context.Context, s settings) error {
	readyCtx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := ensureNamespace(readyCtx, address(s.frontendPort), s.namespace, s.retention); err != nil {
		return ignoreStop(ctx, err)
	}
	if s.uiPort != 0 {
		ui := startUI(s)
		defer ui.Stop()
		if err := awaitListener(readyCtx, address(s.uiPort)); err != nil {
			return ignoreStop(ctx, fmt.Errorf("start web ui: %w", err))
		}
	}
	if err := notifyReady(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// ignoreStop drops the error of a step that failed only because we were told
// to stop in the middle of it.
func ignoreStop(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func address(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }

// newServer wires Temporal's services. Hosts are static: one process needs no
// gossip to find its own services, no membership ports, and waits for no dead
// predecessor to be forgotten after a kill.
func newServer(s settings, logger log.Logger) (temporal.Server, error) {
	ports := map[primitives.ServiceName]int{
		primitives.FrontendService: s.frontendPort,
		primitives.HistoryService:  s.historyPort,
		primitives.MatchingService: s.matchingPort,
		primitives.WorkerService:   s.workerPort,
	}
	hosts := make(map[primitives.ServiceName]static.Hosts, len(ports))
	services := make(map[string]config.Service, len(ports))
	for name, port := range ports {
		hosts[name] = static.SingleLocalHost(address(port))
		services[string(name)] = config.Service{RPC: config.RPC{GRPCPort: port, BindOnLocalHost: true}}
	}
	cfg := serverConfig(s, services)
	claimMapper, err := authorization.GetClaimMapperFromConfig(&cfg.Global.Authorization, logger)
	if err != nil {
		return nil, err
	}
	return temporal.NewServer(
		temporal.WithConfig(cfg),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts),
		temporal.WithLogger(logger),
		temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return claimMapper }),
		temporal.WithDynamicConfigClient(dynamicConfig()),
	)
}

// dynamicConfig holds what differs from Temporal's defaults. One partition per
// task queue: on a single machine more of them only add polls and let a task
// wait on a partition that no poller looks at just now.
func dynamicConfig() dynamicconfig.Client {
	return dynamicconfig.StaticClient{
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,
	}
}

func serverConfig(s settings, services map[string]config.Service) *config.Config {
	main, visibility := stores()[0], stores()[1]
	return &config.Config{
		Services: services,
		Persistence: config.Persistence{
			DefaultStore:     main.database,
			VisibilityStore:  visibility.database,
			NumHistoryShards: int32(s.shards),
			DataStores: map[string]config.DataStore{
				main.database:       {SQL: main.sqlConfig(s.database)},
				visibility.database: {SQL: visibility.sqlConfig(s.database)},
			},
		},
		Global: config.Global{
			Membership: config.Membership{MaxJoinDuration: 30 * time.Second, BroadcastAddress: loopback},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {
					Enabled:                true,
					InitialFailoverVersion: 1,
					RPCAddress:             address(s.frontendPort),
				},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		PublicClient:        config.PublicClient{HostPort: address(s.frontendPort)},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: config.ArchivalDisabled},
			Visibility: config.VisibilityArchival{State: config.ArchivalDisabled},
		},
		NamespaceDefaults: config.NamespaceDefaults{
			Archival: config.ArchivalNamespaceDefaults{
				History:    config.HistoryArchivalNamespaceDefaults{State: config.ArchivalDisabled},
				Visibility: config.VisibilityArchivalNamespaceDefaults{State: config.ArchivalDisabled},
			},
		},
	}
}
