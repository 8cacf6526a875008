// Command apiserver is what the tests of the Kubernetes store run against: the real
// kube-apiserver, and with "etcd" as the first argument the real etcd that it keeps its
// objects in. Flags are those of the two. It is a module of its own for its
// requirements' sake; scripts/tools.sh builds it.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "etcd" {
		etcdmain.Main(os.Args[1:])
		return
	}
	os.Exit(cli.Run(app.NewAPIServerCommand()))
}
