package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/server_options"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// pollInterval is how often a service that is coming up is asked again.
const pollInterval = 50 * time.Millisecond

// ensureNamespace creates the namespace unless it exists, and returns when a
// workflow in it can be asked for: then frontend, history shard and namespace
// cache all work, which no health check promises.
func ensureNamespace(ctx context.Context, frontend, namespace string, retention time.Duration) error {
	conn, err := grpc.NewClient(frontend, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("reach frontend: %w", err)
	}
	defer conn.Close()
	client := workflowservice.NewWorkflowServiceClient(conn)

	_, err = client.RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
		Namespace:                        namespace,
		Description:                      "Mailmirror's workflows",
		WorkflowExecutionRetentionPeriod: durationpb.New(retention),
	}, grpc.WaitForReady(true))
	if err := serviceerror.FromStatus(status.Convert(err)); err != nil {
		if _, exists := errors.AsType[*serviceerror.NamespaceAlreadyExists](err); !exists {
			return fmt.Errorf("create namespace %s: %w", namespace, err)
		}
	}

	probe := &workflowservice.DescribeWorkflowExecutionRequest{
		Namespace: namespace,
		Execution: &commonpb.WorkflowExecution{WorkflowId: "readiness-probe-of-no-workflow"},
	}
	for {
		_, err := client.DescribeWorkflowExecution(ctx, probe)
		if err == nil {
			return nil
		}
		err = serviceerror.FromStatus(status.Convert(err))
		if _, answered := errors.AsType[*serviceerror.NotFound](err); answered {
			return nil
		}
		if !pause(ctx) {
			return fmt.Errorf("await namespace %s: %w", namespace, err)
		}
	}
}

// startUI serves the Web UI in the background until Stop. It makes no call to
// the outside world: no news, no look for newer releases.
func startUI(s settings) *uiserver.Server {
	ui := uiserver.NewServer(server_options.WithConfigProvider(&uiconfig.Config{
		TemporalGRPCAddress: address(s.frontendPort),
		Host:                loopback,
		Port:                s.uiPort,
		EnableUI:            true,
		DefaultNamespace:    s.namespace,
		DisableNewsFetch:    true,
		Distribution:        "server",
		HideLogs:            true,
		// The page is plain HTTP on loopback, where a Secure cookie would be lost.
		CORS: uiconfig.CORS{CookieInsecure: true},
	}))
	go func() {
		// Start returns when Stop is called; on any other error it ends the
		// process itself, and whoever supervises us starts it again.
		_ = ui.Start()
	}()
	return ui
}

// awaitListener returns when somebody accepts connections at addr.
func awaitListener(ctx context.Context, addr string) error {
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		if !pause(ctx) {
			return err
		}
	}
}

// pause waits for one poll interval; false means that ctx ended.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(pollInterval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// notifyReady tells a supervisor that asked for it, by the protocol of
// sd_notify(3), that clients may come.
func notifyReady() error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify supervisor: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("READY=1")); err != nil {
		return fmt.Errorf("notify supervisor: %w", err)
	}
	return nil
}
