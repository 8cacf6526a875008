// Command grpcserver is a gRPC server as a task.
package main

import (
	"context"
	"log"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func main() {
	sup, err := taskvisor.New(taskvisor.WithSignals())
	if err != nil {
		log.Fatal(err)
	}
	server := taskvisor.Restartable("grpc", serve("127.0.0.1:9090", func(srv *grpc.Server) {
		grpc_health_v1.RegisterHealthServer(srv, health.NewServer())
	}), taskvisor.WithReadiness())
	if err := sup.Run(context.Background(), server); err != nil {
		log.Fatal(err)
	}
}

// serve makes a server in each attempt, since one that has stopped cannot serve again.
func serve(addr string, register func(*grpc.Server)) taskvisor.Func {
	return func(ctx context.Context) error {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		srv := grpc.NewServer()
		register(srv)
		taskvisor.Ready(ctx)
		drained := make(chan struct{})
		context.AfterFunc(ctx, func() {
			defer close(drained)
			until, _ := taskvisor.StopDeadline(ctx)
			late := time.AfterFunc(time.Until(until)-time.Second, srv.Stop) // streams may never end
			defer late.Stop()
			srv.GracefulStop()
		})
		if err := srv.Serve(ln); err != nil {
			return err
		}
		<-drained // Serve returns nil as soon as the stop begins
		return nil
	}
}
