package kubelease_test

import (
	"context"
	"log"
	"net/http"
	"os"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/taskvisor/taskvisor-go/lease"
	kubelease "github.com/taskvisor/taskvisor-go/lease/kubernetes"
	healthsub "github.com/taskvisor/taskvisor-go/subscribers/health"
	slogsub "github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// What the manifests in deploy are for; terminationGracePeriodSeconds there is above the
// sum of the second, the third and the drain of the subscribers, 5 s.
const (
	leaseTTL     = 15 * time.Second
	preStopDelay = 5 * time.Second
	grace        = 3 * time.Second // at most leaseTTL/4
)

// The program that the manifests in deploy are for. One of its replicas bills; all of them
// answer probes.
func Example() {
	config, err := rest.InClusterConfig()
	if err != nil {
		log.Fatal(err)
	}
	config.QPS = -1 // 5 a second would have renewals wait for each other
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatal(err)
	}
	store := kubelease.New(client.CoordinationV1().Leases(os.Getenv("POD_NAMESPACE")))
	owner, err := lease.New(store, lease.WithTTL(leaseTTL))
	if err != nil {
		log.Fatal(err)
	}
	health := healthsub.New(healthsub.WithLevel(healthsub.Critical, "billing"))
	sup, err := taskvisor.New(taskvisor.WithSignals(),
		taskvisor.WithPreStopDelay(preStopDelay), taskvisor.WithGrace(grace),
		taskvisor.WithSubscriber(owner.Subscriber()), taskvisor.WithSubscriber(health), taskvisor.WithSubscriber(slogsub.New(nil)))
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/livez", health.Live())
	mux.Handle("/readyz", health.Ready())
	// And promhttp's handler at /metrics, with a promsub among the subscribers.
	srv := &http.Server{Addr: ":8080", Handler: mux, ReadHeaderTimeout: time.Second}
	go func() { log.Print(srv.ListenAndServe()) }() // until the process ends: probes are answered to the last

	err = sup.Run(context.Background(), taskvisor.Restartable("billing", bill, owner.Singleton("billing")))
	if err != nil {
		log.Fatal(err)
	}
}

func bill(ctx context.Context) error {
	token, _ := lease.Token(ctx)
	log.Print("this replica bills, under token ", token)
	<-ctx.Done()
	return ctx.Err()
}
