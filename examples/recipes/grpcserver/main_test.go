package main

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// start runs the server and returns its supervisor, its handle, their events, and a client of it.
func start(t *testing.T, opts ...taskvisor.TaskOption) (*taskvisor.Supervisor, *taskvisor.Handle, *taskvisortest.Recorder, grpc_health_v1.HealthClient) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	sup, rec := taskvisortest.Start(t)
	h, err := sup.Add(t.Context(), taskvisor.Restartable("grpc", serve(addr, func(srv *grpc.Server) {
		grpc_health_v1.RegisterHealthServer(srv, health.NewServer())
	}), opts...))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return sup, h, rec, grpc_health_v1.NewHealthClient(conn)
}

func TestServesAndStops(t *testing.T) {
	sup, h, rec, client := start(t)
	answer, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil || answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Fatalf("%v, %v", answer, err)
	}
	if _, err := h.Cancel(t.Context()); err != nil {
		t.Error(err)
	}
	if err := sup.Shutdown(t.Context()); err != nil { // who waits for a task is told before its last event comes
		t.Error(err)
	}
	if got, want := rec.Trace("grpc"), "A S Q ✓ D"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A stream that its client keeps open is cut a second before the grace ends.
func TestOpenStreamDoesNotHoldUpTheStop(t *testing.T) {
	_, h, rec, client := start(t, taskvisor.WithGrace(1300*time.Millisecond))
	stream, err := client.Watch(context.Background(), &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	outcome, err := h.Cancel(t.Context())
	if err != nil || outcome.Kind != taskvisor.OutcomeCanceled {
		t.Errorf("%v, %v: %s", outcome.Kind, err, rec.Trace("grpc"))
	}
	if _, err := stream.Recv(); err == nil {
		t.Error("the stream lives on")
	}
}
